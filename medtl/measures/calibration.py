"""Whether 0.8 means eight in ten: calibration error, Brier score, NLL, the reliability curve.

`probabilities` are (N,) of the positive class, (N, 2) for a binary task, (N, K) for K classes, and `label` is (N,)
class numbers; or both are (N, K) for K labels that may hold together, with nan where a label is not known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_TINY = np.finfo(float).eps  # as scikit-learn's log_loss clips


class ReliabilityCurve(NamedTuple):
    """Each bin that holds scans: what was said, what was so, and between which bounds (95 %)."""

    predicted: np.ndarray  # (B,) mean probability said
    observed: np.ndarray  # (B,) share that was so
    scans: np.ndarray  # (B,) how many scans the bin holds
    low: np.ndarray  # (B,) Wilson's band of `observed`
    high: np.ndarray  # (B,)


def brier(label: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared error of the probability (binary: of the positive class; K classes: summed over them).

    Brier, Monthly Weather Review 78, 1950. Equals scikit-learn's `brier_score_loss`; several labels: their mean.
    """
    label, probabilities = np.asarray(label), np.asarray(probabilities, float)
    if label.ndim == 2 or probabilities.ndim == 1 or probabilities.shape[1] == 2:
        said, so = _binary_pairs(label, probabilities)
        return _mean((said - so) ** 2)
    return _mean(np.sum((probabilities - np.eye(probabilities.shape[1])[label.astype(int)]) ** 2, axis=1))


def nll(label: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean negative log-likelihood, in nats. Equals scikit-learn's `log_loss`; several labels: their mean."""
    label, probabilities = np.asarray(label), np.asarray(probabilities, float)
    if label.ndim == 2 or probabilities.ndim == 1:
        said, so = _binary_pairs(label, probabilities)
        said = np.clip(said, _TINY, 1 - _TINY)
        return _mean(-(so * np.log(said) + (1 - so) * np.log(1 - said)))
    of_true = probabilities[np.arange(len(label)), label.astype(int)]
    return _mean(-np.log(np.clip(of_true, _TINY, 1 - _TINY)))


def ece(label: ArrayLike, probabilities: ArrayLike, bins: int = 15, equal_mass: bool = False) -> float:
    """Expected calibration error: mean gap between what was said and what was so, over bins of what was said.

    Guo et al., ICML 2017, arXiv:1706.04599. Binary: the probability of the positive class; K classes: the confidence
    in the class that was chosen; several labels: all their probabilities together. With bins of equal width it equals
    torchmetrics' `BinaryCalibrationError` and `MulticlassCalibrationError` (norm l1, 15 bins). It is biased upwards
    in small sets: see `excess_ece`.

    Args:
        label: class numbers, or 0/1/nan for several labels.
        probabilities: see the top of the file.
        bins: number of bins.
        equal_mass: bins of equal count instead of equal width.

    Returns:
        A number in [0, 1]; nan for no scans.
    """
    said, so = _said_and_so(label, probabilities)
    return float(_binned_error(so[None], said, bins, equal_mass)[0])


def ece_expected_if_perfect(
    probabilities: ArrayLike,
    n_draws: int = 1000,
    bins: int = 15,
    equal_mass: bool = False,
    seed: int = 0,
    several_labels: bool = False,
) -> float:
    """The calibration error that a perfectly calibrated model shows on so many scans: labels are drawn from its word.

    The idea is the consistency resampling of Bröcker and Smith, Weather and Forecasting 22, 2007. It is about 0.07 at
    160 scans and 15 bins.
    """
    said = _said(np.asarray(probabilities, float), several_labels)[0]
    drawn = np.random.default_rng(seed).random((n_draws, len(said))) < said
    return float(np.mean(_binned_error(drawn.astype(float), said, bins, equal_mass)))


def excess_ece(label: ArrayLike, probabilities: ArrayLike, bins: int = 15, equal_mass: bool = False) -> float:
    """Calibration error less what a perfectly calibrated model would show on so many scans; may be below 0."""
    label = np.asarray(label)
    probabilities = np.asarray(probabilities, float)
    if label.ndim == 2:
        probabilities = np.where(np.isnan(label.astype(float)), np.nan, probabilities)
    perfect = ece_expected_if_perfect(probabilities, bins=bins, equal_mass=equal_mass, several_labels=label.ndim == 2)
    return ece(label, probabilities, bins, equal_mass) - perfect


def reliability_curve(
    label: ArrayLike, probabilities: ArrayLike, bins: int = 10, equal_mass: bool = True
) -> ReliabilityCurve:
    """What was said against what was so, with the scans and a 95 % band (Wilson) in each bin that is not empty.

    Bins of equal count by default: a few hundred scans leave bins of equal width nearly empty in the middle.
    """
    said, so = _said_and_so(label, probabilities)
    number = _bin_numbers(said, bins, equal_mass)
    count = np.bincount(number, minlength=bins)
    held = count > 0
    count = count[held]
    predicted = np.bincount(number, said, minlength=bins)[held] / np.maximum(count, 1)
    observed = np.bincount(number, so, minlength=bins)[held] / np.maximum(count, 1)
    low, high = _wilson(observed, count)
    return ReliabilityCurve(predicted, observed, count, low, high)


def _said(probabilities: np.ndarray, several_labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The probabilities that are judged, and the class each belongs to (None: the positive one)."""
    if several_labels:
        return probabilities[~np.isnan(probabilities)], None
    if probabilities.ndim == 1:
        return probabilities, None
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], None
    return probabilities.max(axis=1), probabilities.argmax(axis=1)


def _said_and_so(label: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    label, probabilities = np.asarray(label), np.asarray(probabilities, float)
    if label.ndim == 2 or probabilities.ndim == 1 or probabilities.shape[1] == 2:
        return _binary_pairs(label, probabilities)
    said, chosen = _said(probabilities, several_labels=False)
    return said, (label == chosen).astype(float)


def _binary_pairs(label: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if label.ndim == 2:
        label = label.astype(float)
        known = ~np.isnan(label)
        return probabilities[known], label[known]
    return _said(probabilities, several_labels=False)[0], label.astype(float)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _bin_numbers(said: np.ndarray, bins: int, equal_mass: bool) -> np.ndarray:
    if equal_mass:
        edges = np.quantile(said, np.linspace(0, 1, bins + 1)[1:-1]) if len(said) else np.zeros(bins - 1)
        return np.searchsorted(edges, said, side="right")
    return np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), said, side="right") - 1, 0, bins - 1)


def _binned_error(so: np.ndarray, said: np.ndarray, bins: int, equal_mass: bool) -> np.ndarray:
    """Calibration error of each row of `so` (D, N)."""
    if not len(said):
        return np.full(len(so), np.nan)
    member = np.eye(bins)[_bin_numbers(said, bins, equal_mass)]
    return np.abs(so @ member - said @ member).sum(axis=1) / len(said)


def _wilson(share: np.ndarray, count: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    count = np.maximum(count, 1)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
