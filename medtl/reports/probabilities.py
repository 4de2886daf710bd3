"""What a model's probabilities are worth: calibration, net benefit, errors, and what referring the doubtful saves."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtl import measures
from medtl.reports.contents import BenefitCurve, ConfusionTable, Doubt
from medtl.reports.curves import one_versus_rest

REFERRED = 0.2  # issue 4: "refer the doubtful 20 % to a reader"


def calibration_of(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Every measure of calibration, each error also less what a perfectly calibrated model shows on so many scans.

    Args:
        label: (N,) class numbers, or (N, K) of 0, 1, nan.
        probabilities: (N, K).
    """
    several = label.ndim == 2
    known = np.where(np.isnan(label), np.nan, probabilities) if several else probabilities
    found: dict[str, float] = {}
    for name, equal_mass in (("ece", False), ("ece_equal_mass", True)):
        found[name] = measures.ece(label, probabilities, equal_mass=equal_mass)
        perfect = measures.ece_expected_if_perfect(known, equal_mass=equal_mass, several_labels=several)
        found[f"{name}_expected"], found[f"{name}_excess"] = perfect, found[name] - perfect
    parts = measures.brier_decomposition(label, probabilities)
    return found | {
        "classwise_ece": measures.classwise_ece(label, probabilities),
        "ks": measures.ks_calibration_error(label, probabilities),
        "brier": measures.brier(label, probabilities),
        **{part: getattr(parts, part) for part in ("reliability", "resolution", "uncertainty", "within")},
        "sharpness": measures.sharpness(known, several_labels=several),
        "nll": measures.nll(label, probabilities),
    }


def average_precision_interval(
    label: np.ndarray, probabilities: np.ndarray, patient: np.ndarray, n_bootstrap: int, seed: int
) -> tuple[float, float] | None:
    """95 % interval of the average precision, resampling patients; of several classes, of their mean."""
    truth = one_versus_rest(label, probabilities.shape[1])
    score = probabilities if truth.shape[1] == probabilities.shape[1] else probabilities[:, 1:]
    draws = measures.bootstrap_average_precision(truth, score, patient, n_bootstrap, seed)
    low, high = measures.percentile_interval(draws)
    return None if np.isnan(low) else (low, high)


def benefit_curves(label: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> tuple[BenefitCurve, ...]:
    """A decision curve for the positive class of two, or for each class or label against the rest."""
    truth = one_versus_rest(label, probabilities.shape[1])
    columns = [1] if truth.shape[1] < probabilities.shape[1] else range(truth.shape[1])
    curves = []
    for column, k in zip(truth.T, columns, strict=True):
        curve = measures.decision_curve(np.where(np.isnan(column), -1, column), probabilities[:, k])
        curves.append(BenefitCurve(classes[k], curve.threshold, curve.net_benefit, curve.treat_all))
    return tuple(curves)


def called(label: np.ndarray, probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """What the model says: (N,) class numbers, or (N, K) of 0 and 1 where labels are (N, K).

    Args:
        label: for its shape.
        probabilities: (N, K).
        threshold: from which on a scan is called positive; None: the likeliest class, and of several labels 0.5.
    """
    if label.ndim == 2:
        return (probabilities >= (0.5 if threshold is None else threshold)).astype(int)
    if threshold is not None and probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= threshold).astype(int)
    return probabilities.argmax(axis=1)


def confusion_tables(label: np.ndarray, said: np.ndarray, classes: tuple[str, ...]) -> tuple[ConfusionTable, ...]:
    """How often each class is called each class; of several labels a two-by-two table each, of the scans known.

    Args:
        label: (N,) class numbers, or (N, K) of 0, 1, nan.
        said: as `called` gives it.
        classes: K names.
    """
    if label.ndim == 1:
        return (ConfusionTable("", classes, _counts(label, said, len(classes))),)
    known = ~np.isnan(label)
    return tuple(
        ConfusionTable(name, ("no", "yes"), _counts(label[known[:, k], k], said[known[:, k], k], 2))
        for k, name in enumerate(classes)
    )


def doubt(label: np.ndarray, probabilities: np.ndarray, said: np.ndarray, share: float = REFERRED) -> Doubt:
    """What referring the scans that the model is least sure of leaves in errors."""
    curve = measures.risk_coverage(label, probabilities, said)
    n = len(curve.risk)
    shown = np.unique(np.ceil(np.linspace(0.01, 1, min(n, 100)) * n).astype(int)) - 1
    return Doubt(
        coverage=curve.coverage[shown],
        risk=curve.risk[shown],
        aurc=curve.aurc,
        e_aurc=curve.e_aurc,
        share=share,
        accuracy=float(1 - curve.risk[-1]),
        accuracy_kept=measures.accuracy_without(label, probabilities, share, said),
        n_kept=n - round(share * n),
    )


def plain_numbers(result: Any) -> dict[str, Any]:
    """What metrics.json says of one model beyond the numbers that it always had, by key."""
    return {
        "average_precision_ci": result.average_precision_ci,
        "operating_points": [vars(row) for row in result.operating],
        "decision_curve": {curve.of: {k: v for k, v in vars(curve).items() if k != "of"} for curve in result.benefit},
        "confusion": [vars(table) for table in result.confusion],
        "calibration": result.calibration,
        "selective": None if result.doubt is None else vars(result.doubt),
    }


def _counts(label: np.ndarray, said: np.ndarray, n: int) -> np.ndarray:
    table = np.zeros((n, n), dtype=int)
    np.add.at(table, (label.astype(int), said.astype(int)), 1)
    return table
