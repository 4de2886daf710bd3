"""What the figures claim."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from medtl.reports import figures
from medtl.reports.drawing import svg
from medtl.reports.projection import project

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


def test_what_a_method_measures_is_no_loss() -> None:
    measured = dict.fromkeys(["sure", "diversity", "restored", "source_norm", "target_norm", "share_of_source_1"], 0.5)
    assert figures.losses_of(LOG.assign(**measured)) == ["task"]


def test_one_value_is_no_line() -> None:
    assert figures.losses_of(LOG.assign(task=[1.0] + [np.nan] * (len(LOG) - 1))) == []


def test_the_discriminator_is_drawn_by_step() -> None:
    axes = figures.discriminator(LOG.assign(domain_accuracy=0.7)).axes[0]
    assert list(axes.lines[-2].get_xdata()) == [0, 50, 100, 100, 150, 175]


def test_the_legend_of_many_classes_leaves_room_for_the_features() -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 48, 4))
    classes = [f"a class with a long name {i % 12}" for i in range(48)]
    drawn = project(one, two, one, two, classes, ("the hospital of the source", "here"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.features(drawn, "before")
        svg(figure, "before", "features")
    assert figure.axes[0].get_position().height > 0.3
