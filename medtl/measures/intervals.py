"""How sure an AUROC or an average precision is: DeLong by patient, and resampling of patients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from medtl.measures.ranks import ranks

Weighted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # label (N,), score (N,), weight (B, N) -> (B,)
_CHUNK = 2_000_000  # weights held at once by the bootstrap: 16 MB


class Interval(NamedTuple):
    """An AUROC and how far it may be off; nan where it is undefined (one class only)."""

    auroc: float
    low: float
    high: float
    standard_error: float


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scan scores above a negative one; ties count half.

    Args:
        label: (N,) 0 or 1.
        score: (N,) any scale, higher means more positive.

    Returns:
        A number in [0, 1], nan where only one class is present.
    """
    return _influence(label, score)[0]


def delong(label: ArrayLike, score: ArrayLike, patient: ArrayLike | None = None, confidence: float = 0.95) -> Interval:
    """AUROC with DeLong's interval on the logit scale, with the scans of one patient taken together.

    DeLong et al., Biometrics 44, 1988; by patient as Obuchowski, Biometrics 53, 1997, table 1. With one scan a patient
    it is DeLong's exactly. Where all pairs are ranked right (or all wrong) the estimated error is 0 and says nothing;
    there the bound is exact instead: with m patients in the smaller class, m pairs that share no patient were all won,
    which an AUROC of A allows with a probability of at most A**m.

    Args:
        label: (N,) 0 or 1; or (N, K) 0, 1 or nan for the mean over K columns (one-vs-rest, or several labels).
        score: (N,) or (N, K), any scale.
        patient: (N,) names or numbers; None: every scan is a patient of its own.
        confidence: of the two-sided interval.
    """
    area, pull, smaller = mean_influence(label, score, patient)
    return _logit_interval(area, float(np.sqrt(np.sum(pull**2))), smaller, confidence)


def mean_influence(
    label: ArrayLike, score: ArrayLike, patient: ArrayLike | None = None
) -> tuple[float, np.ndarray, int]:
    """The AUROC (mean over the columns), how much each patient pulls on it, and the patients of the smaller class.

    The squares of the pulls sum to the AUROC's variance, the products of two models' pulls to their covariance.

    Args:
        label: (N,) 0 or 1; or (N, K) 0, 1 or nan.
        score: (N,) or (N, K).
        patient: (N,); None: every scan is a patient of its own.

    Returns:
        The AUROC; (P,) in the order of the sorted patients; the number of patients in the smaller class, of the column
        that has fewest. (nan, zeros, 0) where every column holds one class only.
    """
    label, score = _columns(label), _columns(score)
    patient_number = _numbers(patient, len(label))
    values, influences, sizes = [], [], []
    for truth, value in zip(label.T, score.T, strict=True):
        known = ~np.isnan(truth)
        area, influence, size = _influence(truth[known], value[known], patient_number[known])
        if np.isnan(area):
            continue
        whole = np.zeros(len(label))
        whole[known] = influence
        values.append(area)
        influences.append(whole)
        sizes.append(size)
    if not values:
        return float("nan"), np.zeros(len(np.unique(patient_number))), 0
    by_patient = np.bincount(patient_number, weights=np.mean(influences, axis=0))
    return float(np.mean(values)), by_patient, min(sizes)


def average_precision(label: ArrayLike, score: ArrayLike) -> float:
    """Mean precision at each positive scan, from the highest score down: the area under the precision-recall steps.

    Equals scikit-learn's `average_precision_score`, without the second that importing it costs.

    Args:
        label: (N,) 0 or 1; or (N, K) 0, 1 or nan: then the mean over the columns.
        score: (N,) or (N, K), any scale.

    Returns:
        A number in [0, 1]; a model that tells nothing gets about the prevalence; nan where no scan is positive.
    """
    label, score = _columns(label), _columns(score)
    return float(_mean_of_columns(_weighted_precision, label, score, np.ones((1, len(label))))[0])


def bootstrap_average_precision(
    label: ArrayLike, score: ArrayLike, patient: ArrayLike | None = None, n_bootstrap: int = 1000, seed: int = 0
) -> np.ndarray:
    """As `bootstrap_auroc`, of the average precision: (n_bootstrap,), nan where a resample holds no positive scan."""
    return _bootstrap(_weighted_precision, label, score, patient, n_bootstrap, seed)


def bootstrap_auroc(
    label: ArrayLike, score: ArrayLike, patient: ArrayLike | None = None, n_bootstrap: int = 1000, seed: int = 0
) -> np.ndarray:
    """AUROC of `n_bootstrap` resamples of the patients (not of the images).

    The same seed and patients give the same resamples, so that two models' draws can be subtracted: that is the
    paired comparison.

    Args:
        label: (N,) 0 or 1; or (N, K) 0, 1 or nan: then the mean over the columns.
        score: (N,) or (N, K), any scale.
        patient: (N,) names or numbers; None: every scan is a patient of its own.
        n_bootstrap: number of resamples.
        seed: of the resampling.

    Returns:
        (n_bootstrap,) numbers in [0, 1]; nan where a resample holds one class only.
    """
    return _bootstrap(_weighted_auroc, label, score, patient, n_bootstrap, seed)


def patient_bootstrap(
    statistic: Callable[..., float],
    patient: ArrayLike,
    *arrays: ArrayLike,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Any statistic of `arrays` on resamples of the patients: `statistic(*resampled_arrays) -> float`.

    Slower than `bootstrap_auroc`, which resamples the same patients for the same seed.

    Returns:
        (n_bootstrap,) values of the statistic.
    """
    patient_number = _numbers(patient, len(np.asarray(patient)))
    held = [np.asarray(a) for a in arrays]
    generator = np.random.default_rng(seed)
    draws = np.empty(n_bootstrap)
    for i in range(n_bootstrap):
        chosen = np.repeat(np.arange(len(patient_number)), _resamples(patient_number, 1, generator)[0].astype(int))
        draws[i] = statistic(*(a[chosen] for a in held))
    return draws


def percentile_interval(draws: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """The middle `confidence` of bootstrap draws, (nan, nan) where fewer than half of them are defined."""
    values = np.asarray(draws, float)
    values_known = values[~np.isnan(values)]
    if 2 * len(values_known) < len(values) or not len(values_known):
        return float("nan"), float("nan")
    low, high = np.quantile(values_known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _columns(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, float)
    return values[:, None] if values.ndim == 1 else values


def _numbers(patient: ArrayLike | None, n: int) -> np.ndarray:
    if patient is None:
        return np.arange(n)
    return np.unique(np.asarray(patient), return_inverse=True)[1].reshape(-1)


def _influence(label: ArrayLike, score: ArrayLike, patient: np.ndarray | None = None) -> tuple[float, np.ndarray, int]:
    """AUROC, each scan's pull on it (N,), and the number of patients in the smaller class."""
    label, score = np.asarray(label, float), np.asarray(score, float)
    positive = label > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan"), np.zeros(len(label)), 0
    rank = ranks(score)
    beaten = (rank[positive] - ranks(score[positive])) / n_negative
    beaten_by = 1 - (rank[~positive] - ranks(score[~positive])) / n_positive
    area = float(beaten.mean())
    groups = np.arange(len(label)) if patient is None else patient
    patients = len(np.unique(groups[positive])), len(np.unique(groups[~positive]))
    influence = np.empty(len(label))
    influence[positive] = _small_sample(patients[0]) * (beaten - area) / n_positive
    influence[~positive] = _small_sample(patients[1]) * (beaten_by - area) / n_negative
    return area, influence, min(patients)


def _small_sample(n: int) -> float:
    return float(np.sqrt(n / (n - 1))) if n > 1 else 1.0


def _logit_interval(area: float, error: float, smaller: int, confidence: float) -> Interval:
    if np.isnan(area):
        return Interval(*(float("nan"),) * 4)
    tail = (1 - confidence) / 2
    exact = tail ** (1 / smaller)
    if area == 1.0:
        return Interval(area, exact, 1.0, error)
    if area == 0.0:
        return Interval(area, 0.0, 1 - exact, error)
    if smaller < 2:
        return Interval(area, 0.0, 1.0, error)
    half = -ndtri(tail) * error / (area * (1 - area))
    centre = np.log(area / (1 - area))
    low, high = 1 / (1 + np.exp(-(centre - half))), 1 / (1 + np.exp(-(centre + half)))
    # A set that is not perfectly ranked is never surer than a perfect one of its size.
    return Interval(area, float(min(low, exact)), float(max(high, 1 - exact)), error)


def _bootstrap(
    weighted: Weighted, label: ArrayLike, score: ArrayLike, patient: ArrayLike | None, n_bootstrap: int, seed: int
) -> np.ndarray:
    label, score = _columns(label), _columns(score)
    patient_number = _numbers(patient, len(label))
    generator = np.random.default_rng(seed)
    draws = np.full(n_bootstrap, np.nan)
    step = max(1, _CHUNK // max(1, len(label)))
    for start in range(0, n_bootstrap, step):
        stop = min(start + step, n_bootstrap)
        weight = _resamples(patient_number, stop - start, generator)
        draws[start:stop] = _mean_of_columns(weighted, label, score, weight)
    return draws


def _mean_of_columns(weighted: Weighted, label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(B,) mean over the columns where it is defined, nan where it is in none."""
    columns = np.stack([weighted(t, s, weight) for t, s in zip(label.T, score.T, strict=True)])
    known = ~np.isnan(columns)
    total = np.where(known, columns, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _resamples(patient: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """How often each scan stands in each of `n` resamples of the patients: (n, N)."""
    patients = int(patient.max()) + 1 if len(patient) else 0
    drawn = generator.integers(0, patients, (n, patients))
    counts = np.bincount((drawn + np.arange(n)[:, None] * patients).ravel(), minlength=n * patients)
    return counts.reshape(n, patients)[:, patient].astype(float)


def _weighted_auroc(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """AUROC of each row of weights (B, N): one sort for all."""
    known = ~np.isnan(label)
    order = np.argsort(score[known], kind="stable")
    score, label, weight = score[known][order], label[known][order] > 0.5, weight[:, known][:, order]
    if not len(score):
        return np.full(len(weight), np.nan)
    first = np.flatnonzero(np.r_[True, np.diff(score) > 0])  # where each distinct score begins
    positive = np.add.reduceat(weight * label, first, axis=1)
    negative = np.add.reduceat(weight * ~label, first, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    wins = np.sum(positive * (below + negative / 2), axis=1)
    return np.where(pairs > 0, wins / np.where(pairs > 0, pairs, 1.0), np.nan)


def _weighted_precision(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Average precision of each row of weights (B, N): one sort for all."""
    known = ~np.isnan(label)
    order = np.argsort(-score[known], kind="stable")
    score, label, weight = score[known][order], label[known][order] > 0.5, weight[:, known][:, order]
    if not len(score):
        return np.full(len(weight), np.nan)
    first = np.flatnonzero(np.r_[True, np.diff(score) < 0])  # where each distinct score begins
    positive = np.add.reduceat(weight * label, first, axis=1)
    called = np.cumsum(np.add.reduceat(weight, first, axis=1), axis=1)
    precision = np.cumsum(positive, axis=1) / np.where(called > 0, called, 1.0)
    total = positive.sum(axis=1)
    return np.where(total > 0, np.sum(positive * precision, axis=1) / np.where(total > 0, total, 1.0), np.nan)
