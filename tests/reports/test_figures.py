"""What the figures claim."""

from __future__ import annotations

import numpy as np
import pandas as pd

from medtl.reports import figures

LOG = pd.DataFrame(
    {
        "phase": ["source-only"] * 3 + ["dann"] * 3,
        "step": [0, 50, 100, 0, 50, 75],
        "task": [np.nan, 0.6, 0.5, np.nan, 0.4, 0.3],
        "source_auroc": 0.8,
        "target_information": [np.nan] * 3 + [0.1, 0.2, 0.3],
    }
)


def test_the_losses_are_drawn_by_step_and_nothing_else_is_called_a_loss() -> None:
    axes = figures.losses(LOG).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["task"]
    assert list(axes.lines[0].get_xdata()) == [0, 50, 100, 100, 150, 175]
    assert axes.get_xlim() == (0, 175)


def test_the_discriminator_is_drawn_by_step() -> None:
    axes = figures.discriminator(LOG.assign(domain_accuracy=0.7)).axes[0]
    assert list(axes.lines[-2].get_xdata()) == [0, 50, 100, 100, 150, 175]
