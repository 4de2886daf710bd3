"""Which source scans counted when the model was adapted, and which did not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medtl.measures.effective import effective_sample_size
from medtl.reports.contents import SourceWeights
from medtl.reports.drawing import styled
from medtl.reports.palette import ADAPTED, MUTED

#: Scans named at each end.
NAMED = 5


def source_weights_of(run: Path) -> SourceWeights | None:
    """What a Run's folder says of it; None where all source scans counted alike."""
    file = run / "features.npz"
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as held:
        if "source_weight" not in held.files:
            return None
        weight, scan_id = held["source_weight"].astype(float), held["source_weight_id"].astype(str)
    order = np.argsort(-weight, kind="stable")
    named = min(NAMED, len(order) // 2)
    return SourceWeights(
        weight=weight,
        effective=effective_sample_size(weight),
        most=tuple((str(scan_id[i]), float(weight[i])) for i in order[:named]),
        least=tuple((str(scan_id[i]), float(weight[i])) for i in order[len(order) - named :][::-1]),
    )


def as_numbers(weights: SourceWeights) -> dict[str, Any]:
    """What metrics.json holds of it."""
    return {
        "effective_sample_size": weights.effective,
        "n_source": len(weights.weight),
        "most": dict(weights.most),
        "least": dict(weights.least),
    }


@styled
def histogram(weights: SourceWeights) -> Figure:
    """How many source scans count how much; 1 is what each would count if all did alike."""
    figure = Figure(figsize=(4.7, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.hist(weights.weight, bins=30, color=ADAPTED, alpha=0.75, rwidth=0.9)
    axes.axvline(1.0, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.annotate("all alike", (1.0, 1.0), (4, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
                  color=MUTED, fontsize=8.5, va="top")  # fmt: skip
    axes.set(xlabel="How much a source scan counts", ylabel="Source scans")
    axes.set_xlim(left=0)
    axes.grid(axis="x", visible=False)
    return figure
