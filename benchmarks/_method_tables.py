"""The tables of `hospital_shift_methods.py`: a row a method, a column a pair; gains; what the rule chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _packed import Packed
from _pairs import FULL, LEAST_GAP, OTHERS_ON, SHIFTS, Shift, decoded
from _rows import Rows, markdown

from medtl.finetuning.heads import margin_scale
from medtl.measures import auroc
from medtl.training.choice import choose

SHORT = {
    "brazil": "B", "egypt": "E", "poland": "P", "new-delhi": "ND", "yakutia": "Y", "guangzhou": "G", "nih": "N",
    "barcelona": "Ba", "jiangxi": "J", "cellavision": "CV",
}  # fmt: skip
DRAWS = 1000
HEADER = ["pair", "chosen, each seed", "gain over source-only (95 %)", "gain of all labels", "closed"]


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


def mean_gain(rows: Rows, method: str, shift: Shift, seeds: Sequence[int] | None = None) -> float:
    """Mean gain over source-only of the same seeds; nan where there is none."""
    ours, base = values(rows, method, shift), values(rows, "source-only", shift)
    both = [ours[seed] - base[seed] for seed in ours if seed in base and (seeds is None or seed in seeds)]
    return float(np.mean(both)) if both else float("nan")


def tables(rows: Rows, packs: Path) -> None:
    """Print what docs/benchmarks.md shows."""
    honest = [shift for shift in SHIFTS.values() if shift.honest]
    worth = {method: float(np.mean([mean_gain(rows, method, shift) for shift in honest])) for method in FULL}
    lines = []
    for method in ("source-only", *sorted(worth, key=lambda name: -worth[name]), "all-labels"):
        cells = [_cell(values(rows, method, shift)) for shift in SHIFTS.values()]
        lines.append([method, *cells, f"{worth[method]:+.3f}" if method in worth else ""])
    print(markdown(["method", *map(heading, SHIFTS.values()), "mean gain, honest pairs"], lines), "\n")

    some = [SHIFTS[name] for name in OTHERS_ON]
    each = {row["key"]["method"]: [] for row in rows if row["key"]["method"] not in ("source-only", "all-labels")}
    each = {method: [mean_gain(rows, method, shift, seeds=[0]) for shift in some] for method in each}
    order = sorted(each, key=lambda method: -np.mean(each[method]))
    lines = [
        [method, *(f"{value:+.3f}" for value in each[method]), f"{np.mean(each[method]):+.3f}"] for method in order
    ]
    print(markdown(["method", *map(heading, some), "mean"], lines), "\n")

    for both in (False, True):
        print("with_source_only" if both else "alone", "\n")
        print(markdown(HEADER, _choices(rows, packs, both)), "\n")


def _choices(rows: Rows, packs: Path, both: bool) -> list[list[str]]:
    """What the rule chooses on each pair, how much that gains, and the mean over the honest pairs."""
    lines, drawn, closed = [], [], []
    for shift in SHIFTS.values():
        test = shift.cohorts(packs)["test"]
        found = chosen(rows, shift, len(test.classes), both)
        if not found:
            continue
        draws = paired_draws(
            test.label, test.patient, [each for _, each, _ in found], [base for _, _, base in found], metric_of(shift)
        )
        gap = np.mean(list(values(rows, "all-labels", shift).values())) - _mean(values(rows, "source-only", shift))
        gain = float(np.mean([_figure(shift, test, each) - _figure(shift, test, base) for _, each, base in found]))
        names = ", ".join(name for name, _, _ in found)
        share = f"{gain / gap:.0%}" if gap > LEAST_GAP else "no bound"
        if shift.honest:
            drawn.append(draws)
            closed += [gain / gap] if gap > LEAST_GAP else []
        low, high = np.percentile(draws, [2.5, 97.5])
        lines.append([heading(shift), names, f"{gain:+.3f} ({low:+.3f} to {high:+.3f})", f"{gap:+.3f}", share])
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    mean = f"{np.mean(drawn):+.3f} ({low:+.3f} to {high:+.3f})"
    lines.append(["mean, honest pairs", "", mean, "", f"{np.mean(closed):.0%} of {len(closed)}"])
    return lines


def chosen(rows: Rows, shift: Shift, classes: int, both: bool) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """For each seed: what `--select auto` hands over of the full methods, its logits at the test half, source-only's.

    With `both`, its logits and source-only's averaged, as large as each other at the half that was adapted to.
    """
    found = []
    for seed in sorted(values(rows, "source-only", shift)):
        kept = {
            row["key"]["method"]: row["result"]
            for row in rows
            if (row["key"]["pair"], row["key"]["seed"]) == (shift.name, seed)
        }
        tried = {name: kept[name] for name in ("source-only", *FULL, "soup") if name in kept}
        if len(tried) <= len(FULL):
            continue  # cut off: not all were trained
        name, _ = choose({name: result["signals"] for name, result in tried.items()})
        own, base = (decoded(tried[each]["logits"]["test"], classes) for each in (name, "source-only"))
        if both:
            sizes = [
                margin_scale(decoded(tried[each]["logits"]["target"], classes), multilabel=False)
                for each in (name, "source-only")
            ]
            own = own / sizes[0] + base / sizes[1]
        found.append((name, own, base))
    return found


def _cell(found: dict[int, float]) -> str:
    if not found:
        return ""
    mean, n = np.mean(list(found.values())), len(found)
    return f"{mean:.3f}" if n == 1 else f"{mean:.3f} ± {np.std(list(found.values()), ddof=1):.3f}"


def _mean(found: dict[int, float]) -> float:
    return float(np.mean(list(found.values())))


def _figure(shift: Shift, test: Packed, logits: np.ndarray) -> float:
    return METRICS[metric_of(shift)](test.label, logits)


def balanced(label: np.ndarray, logits: np.ndarray) -> float:
    """Balanced accuracy over the classes that are there: label (N,), logits (N, K)."""
    guess = logits.argmax(axis=1)
    return float(np.mean([(guess[label == c] == c).mean() for c in np.unique(label)]))


def area(label: np.ndarray, logits: np.ndarray) -> float:
    """AUROC of two classes: label (N,), logits (N, 2)."""
    return auroc(label, logits[:, 1] - logits[:, 0])


METRICS = {"auroc": area, "balanced": balanced}


def paired_draws(
    label: np.ndarray,
    patient: np.ndarray,
    better: Sequence[np.ndarray],
    base: Sequence[np.ndarray],
    metric: str = "auroc",
) -> np.ndarray:
    """(DRAWS,) mean gain over the seeds: patients and seeds are resampled, the same for both.

    Args:
        label: (N,) class numbers.
        patient: (N,).
        better: for each seed, logits (N, K).
        base: likewise.
        metric: a name in METRICS.
    """
    rng, measure = np.random.default_rng(0), METRICS[metric]
    names, of = np.unique(patient, return_inverse=True)
    members = [np.flatnonzero(of == number) for number in range(len(names))]
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[number] for number in rng.integers(len(names), size=len(names))])
        seeds = rng.integers(len(better), size=len(better))
        drawn.append(
            np.mean([measure(label[rows], better[s][rows]) - measure(label[rows], base[s][rows]) for s in seeds])
        )
    return np.array(drawn)
