"""Whether one model is better than another on the same scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from medtl.measures.intervals import mean_influence, patient_bootstrap, percentile_interval
from medtl.measures.ranks import ranks


class Comparison(NamedTuple):
    """Model a less model b; above 0 is better for a where higher is better."""

    difference: float
    low: float
    high: float
    p: float  # two-sided, of no difference


def compare_auroc(
    label: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    patient: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Paired test of two AUROCs on the same scans, with the scans of one patient taken together.

    DeLong et al., Biometrics 44, 1988; by patient as Obuchowski, Biometrics 53, 1997. With one scan a patient it is
    DeLong's exactly. Models that rank all scans alike do not differ. Where else no patient varies (two models that rank
    everything right, on few scans) the estimated error is 0 and says nothing; there the bound is exact instead, from
    pairs that share no patient: see `_without_error`.

    Args:
        label: (N,) 0 or 1; or (N, K) 0, 1 or nan for the mean over K columns.
        score_a: (N,) or (N, K), any scale.
        score_b: as `score_a`; its scale may be another.
        patient: (N,) names; None: every scan is a patient of its own.
        confidence: of the two-sided interval.

    Returns:
        AUROC of a less that of b; nan throughout where one class only is present.
    """
    area_a, pull_a, smaller = mean_influence(label, score_a, patient)
    area_b, pull_b, _ = mean_influence(label, score_b, patient)
    difference = area_a - area_b
    if np.isnan(difference):
        return Comparison(*(float("nan"),) * 4)
    if _same_order(score_a, score_b):
        return Comparison(0.0, 0.0, 0.0, 1.0)
    error = float(np.sqrt(np.sum((pull_a - pull_b) ** 2)))
    if error < 1e-9 or smaller < 2:
        return _without_error(difference, smaller, confidence)
    half = float(-ndtri((1 - confidence) / 2)) * error
    p = float(2 * ndtr(-abs(difference) / error))
    return Comparison(difference, max(difference - half, -1.0), min(difference + half, 1.0), p)


def bootstrap_difference(
    metric: Callable[[np.ndarray, np.ndarray], float],
    label: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    patient: ArrayLike | None = None,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Any metric of two models on the same resamples of the patients.

    Args:
        metric: (label, what the model said) -> number, nan where undefined.
        label: (N,) or (N, K).
        a: what the first model said of each scan, first axis N.
        b: what the second said.
        patient: (N,) names; None: every scan is a patient of its own.
        n_bootstrap: resamples.
        confidence: of the two-sided interval (percentiles).
        seed: of the resampling.

    Returns:
        The metric of a less that of b; the p-value is twice the share of the resamples on the other side of 0 (Efron
        and Tibshirani, An Introduction to the Bootstrap, 1993), never below 2 / (n_bootstrap + 1).
    """
    label, a, b = np.asarray(label), np.asarray(a), np.asarray(b)
    names = np.arange(len(label)) if patient is None else np.asarray(patient)
    draws = patient_bootstrap(
        lambda truth, one, other: metric(truth, one) - metric(truth, other),
        names, label, a, b, n_bootstrap=n_bootstrap, seed=seed,
    )  # fmt: skip
    low, high = percentile_interval(draws, confidence)
    difference = float(metric(label, a) - metric(label, b))
    if np.isnan(difference) or np.isnan(low):
        return Comparison(difference, low, high, float("nan"))
    known = draws[~np.isnan(draws)]
    sides = min(np.sum(known <= 0), np.sum(known >= 0))
    return Comparison(difference, low, high, float(min(1.0, 2 * (sides + 1) / (len(known) + 1))))


def _same_order(score_a: ArrayLike, score_b: ArrayLike) -> bool:
    """Whether both models rank all scans alike, as one and its calibrated self do."""
    a, b = (np.asarray(score, float).reshape(len(np.asarray(score)), -1) for score in (score_a, score_b))
    return all(np.array_equal(ranks(x), ranks(y)) for x, y in zip(a.T, b.T, strict=True))


def _without_error(difference: float, smaller: int, confidence: float) -> Comparison:
    """Where the estimated error is 0: from `smaller` pairs of a positive and a negative that share no patient.

    Both models ranked all of them alike, which a true difference of D allows with a probability of at most
    (1 - |D|)**m; or a ranked all of them right and b wrong, at most ((1 + D) / 2)**m. Else nothing can be said.
    """
    tail = (1 - confidence) / 2
    if smaller >= 1 and abs(difference) < 1e-9:
        bound = 1 - tail ** (1 / smaller)
        return Comparison(0.0, -bound, bound, 1.0)
    if smaller >= 1 and abs(difference) > 1 - 1e-9:
        bound = 2 * tail ** (1 / smaller) - 1
        p = min(1.0, 2 * 0.5**smaller)
        return Comparison(1.0, bound, 1.0, p) if difference > 0 else Comparison(-1.0, -1.0, -bound, p)
    return Comparison(difference, -1.0, 1.0, 1.0)
