"""The tables of `hospital_shift_methods.py`: a row a method, a column a pair; gains, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _pairs import SHIFTS, Shift
from _rows import Rows, markdown

from medtl.measures import auroc

SHORT = {
    "brazil": "B", "egypt": "E", "poland": "P", "new-delhi": "ND", "yakutia": "Y", "guangzhou": "G", "nih": "N",
    "barcelona": "Ba", "jiangxi": "J", "cellavision": "CV",
}  # fmt: skip
DRAWS = 1000


def metric_of(shift: Shift) -> str:
    """Balanced accuracy for cells, AUROC for the others."""
    return "balanced" if shift.folder == "cells" else "auroc"


def heading(shift: Shift) -> str:
    """Such as "B+P→E"."""
    return f"{'+'.join(SHORT[site] for site in shift.sources)}→{SHORT[shift.target]}"


def values(rows: Rows, method: str, shift: Shift) -> dict[int, float]:
    """Seed -> the figure of the target's test half."""
    found = (row for row in rows if row["key"]["method"] == method and row["key"]["pair"] == shift.name)
    return {row["key"]["seed"]: row["result"][f"{metric_of(shift)}_test"] for row in found}


def methods_of(rows: Rows) -> list[str]:
    """In the order of their mean gain over source-only."""
    names = {row["key"]["method"] for row in rows} - {"source-only", "all-labels"}
    return [
        "source-only",
        *sorted(names, key=lambda name: -np.mean(list(gains(rows, name).values()) or [-1])),
        "all-labels",
    ]


def gains(rows: Rows, method: str) -> dict[str, float]:
    """Honest pair -> mean gain over source-only of the same seeds."""
    found = {}
    for shift in SHIFTS.values():
        ours, base = values(rows, method, shift), values(rows, "source-only", shift)
        both = [ours[seed] - base[seed] for seed in ours if seed in base]
        if both and shift.honest:
            found[shift.name] = float(np.mean(both))
    return found


def tables(rows: Rows, packs: Path) -> None:
    """Print what docs/benchmarks.md shows."""
    lines = []
    for method in methods_of(rows):
        cells = [_cell(values(rows, method, shift)) for shift in SHIFTS.values()]
        each = gains(rows, method)
        mean = "" if method == "source-only" else f"{np.mean(list(each.values())):+.3f}" if each else ""
        lines.append([method, *cells, mean])
    print(markdown(["method", *map(heading, SHIFTS.values()), "mean gain, honest pairs"], lines))


def _cell(found: dict[int, float]) -> str:
    if not found:
        return ""
    mean, n = np.mean(list(found.values())), len(found)
    return f"{mean:.3f}" if n == 1 else f"{mean:.3f} ± {np.std(list(found.values()), ddof=1):.3f}"


def paired_draws(
    label: np.ndarray, patient: np.ndarray, better: Sequence[np.ndarray], base: Sequence[np.ndarray], seed: int = 0
) -> np.ndarray:
    """(DRAWS,) mean gain in AUROC over the seeds: patients and seeds are resampled, the same for both.

    Args:
        label: (N,) 0 or 1, or class numbers.
        patient: (N,).
        better: for each seed, scores (N,), or (N, K) where there are more than two classes (one against rest).
        base: likewise.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    names, of = np.unique(patient, return_inverse=True)
    members = [np.flatnonzero(of == number) for number in range(len(names))]
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[number] for number in rng.integers(len(names), size=len(names))])
        seeds = rng.integers(len(better), size=len(better))
        drawn.append(np.mean([_area(label[rows], better[s][rows]) - _area(label[rows], base[s][rows]) for s in seeds]))
    return np.array(drawn)


def _area(label: np.ndarray, score: np.ndarray) -> float:
    if score.ndim == 1:
        return auroc(label, score)
    return float(np.mean([auroc(label == c, score[:, c]) for c in np.unique(label)]))
