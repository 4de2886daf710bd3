"""What `metrics.json` says of a set of labelled scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from medtl.errors import InputError
from medtl.measures.calibration import brier, ece, nll
from medtl.measures.intervals import auroc, average_precision, bootstrap_auroc, percentile_interval

Task = Literal["binary", "multiclass", "multilabel"]
_SCORES = (
    "auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv",
    "prevalence", "nll", "brier", "ece",
)  # fmt: skip


def task_of(label: ArrayLike, classes: Sequence[str]) -> Task:
    """The task that labels of this shape belong to: (N, K) is multi-label, (N,) is binary for two classes."""
    if np.ndim(label) == 2:
        return "multilabel"
    return "binary" if len(classes) == 2 else "multiclass"


def evaluate(
    label: ArrayLike,
    probabilities: ArrayLike,
    patient: ArrayLike | None,
    classes: Sequence[str],
    threshold: float | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    threshold_rule: str | None = None,
) -> dict[str, Any]:
    """The numbers of `metrics.json`, ready for JSON: what is undefined (one class only) is None.

    Args:
        label: (N,) class numbers, negative where unlabelled (left out); or (N, K) 0, 1 or nan (left out) for labels
            that may hold together.
        probabilities: (N, K).
        patient: (N,) names; the interval resamples patients. None: every scan is a patient of its own.
        classes: the K class names; of two, `classes[1]` is the positive one.
        threshold: binary: a scan is called positive from this probability on. None: 0.5. Multi-label: the same for
            every label. Multi-class: the likeliest class is called, and this is ignored.
        n_bootstrap: resamples for the 95 % interval of the AUROC; 0: no interval.
        seed: of the resampling.
        threshold_rule: how the threshold was chosen; stands beside it as `threshold_rule` where given.

    Returns:
        task, threshold, auroc, auroc_ci [low, high], average_precision, accuracy, balanced_accuracy, sensitivity,
        specificity, ppv, npv, prevalence, nll, brier, ece, n_scans, n_patients. With more than two classes or several
        labels also `classes`: the same for each, one against the rest; then the whole's AUROC, average precision,
        sensitivity, specificity, ppv and npv are the mean over the classes, and prevalence is None.

    Raises:
        InputError: no labelled scan.
    """
    label, probabilities = np.asarray(label), np.asarray(probabilities, float)
    names = np.arange(len(label)) if patient is None else np.asarray(patient)
    task = task_of(label, classes)
    known = label >= 0 if label.ndim == 1 else ~np.all(np.isnan(label.astype(float)), axis=1)
    if not known.any():
        raise InputError(
            "no labelled scan to measure on: give a manifest with labels (medtl index --labels labels.csv)"
        )
    label, probabilities, names = label[known], probabilities[known], names[known]
    if task == "binary":
        cut = 0.5 if threshold is None else float(threshold)
        found = _binary(label, probabilities[:, 1], probabilities[:, 1] >= cut, names, n_bootstrap, seed)
        found |= {"task": task, "threshold": cut}
    else:
        found = _several(task, label, probabilities, names, classes, threshold, n_bootstrap, seed)
    if threshold_rule is not None:
        found["threshold_rule"] = threshold_rule
    first = [key for key in ("task", "threshold", "threshold_rule") if key in found]
    return _plain({key: found[key] for key in first} | found)


def _binary(
    label: np.ndarray, score: np.ndarray, called: np.ndarray, patient: np.ndarray, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    label = label.astype(int)
    so, not_so = label == 1, label != 1
    hit, passed = np.sum(called & so), np.sum(~called & not_so)
    sensitivity, specificity = _share(hit, so.sum()), _share(passed, not_so.sum())
    recalls = [value for value in (sensitivity, specificity) if not np.isnan(value)]
    draws = bootstrap_auroc(label, score, patient, n_bootstrap, seed)
    return {
        "auroc": auroc(label, score),
        "auroc_ci": list(percentile_interval(draws)),
        "average_precision": average_precision(label, score),
        "accuracy": _share(hit + passed, len(label)),
        "balanced_accuracy": float(np.mean(recalls)),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _share(hit, called.sum()),
        "npv": _share(passed, (~called).sum()),
        "prevalence": _share(so.sum(), len(label)),
        "nll": nll(label, score),
        "brier": brier(label, score),
        "ece": ece(label, score),
        "n_scans": len(label),
        "n_patients": len(np.unique(patient)),
    }


def _several(
    task: Task, label: np.ndarray, probabilities: np.ndarray, patient: np.ndarray, classes: Sequence[str],
    threshold: float | None, n_bootstrap: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """More than two classes, or several labels: each against the rest, and their mean."""
    cut = None
    if task == "multilabel":
        truth = label.astype(float)
        cut = 0.5 if threshold is None else float(threshold)
        called = probabilities >= cut
    else:
        numbers = np.arange(len(classes))
        truth = (label[:, None] == numbers).astype(float)
        called = probabilities.argmax(axis=1)[:, None] == numbers
    each = {}
    for k, name in enumerate(classes):
        known = ~np.isnan(truth[:, k])
        if known.any():
            each[name] = _binary(
                truth[known, k], probabilities[known, k], called[known, k], patient[known], n_bootstrap, seed
            )
    found: dict[str, Any] = {"task": task, "threshold": cut}
    found |= {key: _mean([values[key] for values in each.values()]) for key in _SCORES}
    found["prevalence"] = None
    draws = bootstrap_auroc(truth, probabilities, patient, n_bootstrap, seed)
    found["auroc_ci"] = list(percentile_interval(draws))
    if task == "multiclass":
        found["accuracy"] = float(np.mean(probabilities.argmax(axis=1) == label))
        present = [values["sensitivity"] for values in each.values() if not np.isnan(values["sensitivity"])]
        found["balanced_accuracy"] = float(np.mean(present))
    found |= {"nll": nll(label, probabilities), "brier": brier(label, probabilities), "ece": ece(label, probabilities)}
    found |= {"n_scans": len(label), "n_patients": len(np.unique(patient)), "classes": each}
    return found


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _plain(value: Any) -> Any:
    """As JSON may hold it: no nan, no NumPy numbers."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        plain = [_plain(inner) for inner in value]
        return None if plain and all(inner is None for inner in plain) else plain
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
