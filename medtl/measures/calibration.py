"""Whether 0.8 means eight in ten: calibration error, Brier score, NLL, the reliability curve.

`probabilities` are (N,) of the positive class, (N, 2) for a binary task, (N, K) for K classes, and `label` is (N,)
class numbers; or both are (N, K) for K labels that may hold together, with nan where a label is not known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.proportions import wilson

_TINY = np.finfo(float).eps  # as scikit-learn's log_loss clips


class ReliabilityCurve(NamedTuple):
    """Each bin that holds scans: what was said, what was so, and between which bounds (95 %)."""

    predicted: np.ndarray  # (B,) mean probability said
    observed: np.ndarray  # (B,) share that was so
    scans: np.ndarray  # (B,) how many scans the bin holds
    low: np.ndarray  # (B,) Wilson's band of `observed`
    high: np.ndarray  # (B,)


class BrierDecomposition(NamedTuple):
    """What the Brier score is made of: reliability - resolution + uncertainty + within = the Brier score."""

    reliability: float  # how far what was said lies from what was so, over the bins; lower is better
    resolution: float  # how far the bins lie from the prevalence; higher is better
    uncertainty: float  # of always saying the prevalence; no model changes it
    within: float  # what the bins hide: variance of what was said inside them, less twice its covariance with the truth


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


def classwise_ece(label: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Calibration error of every class's probability, not of the chosen one only; mean over the classes.

    Kull et al., NeurIPS 2019, arXiv:1910.12656, equation 2; bins of equal width. Two classes: both of them; several
    labels: mean over the labels that are known of some scan.

    Returns:
        A number in [0, 1]; nan for no scans.
    """
    pairs = _class_pairs(np.asarray(label), np.asarray(probabilities, float))
    return _mean(np.array([_binned_error(so[None], said, bins, equal_mass=False)[0] for said, so in pairs]))


def ks_calibration_error(label: ArrayLike, probabilities: ArrayLike) -> float:
    """The largest gap between what was said and what was so, summed up from the lowest probability: no bins.

    Gupta et al., ICLR 2021, arXiv:2006.12800, after Kolmogorov and Smirnov. What is judged is as in `ece`. Scans with
    the same probability are taken in one step, so that their order does not matter.

    Returns:
        A number in [0, 1]; nan for no scans.
    """
    said, so = _said_and_so(label, probabilities)
    if not len(said):
        return float("nan")
    order = np.argsort(said, kind="stable")
    gap = np.cumsum(said[order] - so[order]) / len(said)
    last = np.r_[np.diff(said[order]) > 0, True]
    return float(np.abs(gap[last]).max())


def brier_decomposition(label: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> BrierDecomposition:
    """Murphy's decomposition of the Brier score (Journal of Applied Meteorology 12, 1973), over bins of equal width.

    Bins lose what varies inside them; the term that makes the parts sum to `brier` again is Stephenson et al.'s
    (Weather and Forecasting 23, 2008): variance within the bins less twice the covariance within them. K classes:
    summed over the classes, as `brier` is; several labels: mean over the labels, by how many scans each is known of.
    """
    label, probabilities = np.asarray(label), np.asarray(probabilities, float)
    if label.ndim == 1 and (probabilities.ndim == 1 or probabilities.shape[1] == 2):
        pairs = [_binary_pairs(label, probabilities)] if len(label) else []
    else:
        pairs = _class_pairs(label, probabilities)
    parts = np.array([_murphy(said, so, bins) for said, so in pairs]).reshape(-1, 4)
    if not len(parts):
        return BrierDecomposition(*(float("nan"),) * 4)
    scans = np.array([len(said) for said, _ in pairs])
    weight = scans / scans.sum() if label.ndim == 2 else np.ones(len(pairs))
    return BrierDecomposition(*(float(value) for value in weight @ parts))


def sharpness(probabilities: ArrayLike, several_labels: bool = False) -> float:
    """Variance of what was said: 0 for a model that says the same of every scan, whatever it is worth.

    Gneiting et al., Journal of the Royal Statistical Society B 69, 2007: of two calibrated models the sharper is the
    better. Binary: of the positive class's probability, at most 0.25; K classes: summed over them; several labels:
    their mean.
    """
    said = np.asarray(probabilities, float)
    if not several_labels and (said.ndim == 1 or said.shape[1] == 2):
        said = _said(said, several_labels=False)[0][:, None]
    if not len(said):
        return float("nan")
    variance = np.nanvar(said, axis=0)
    return float(np.nanmean(variance) if several_labels else variance.sum())


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
    low, high = wilson(observed, count)
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


def _class_pairs(label: np.ndarray, probabilities: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What was said and what was so of each class, where it is known; classes of no scan are left out."""
    if probabilities.ndim == 1:
        probabilities = np.stack([1 - probabilities, probabilities], axis=1)
    if label.ndim == 1:
        label = (label[:, None] == np.arange(probabilities.shape[1])).astype(float)
    pairs = [_binary_pairs(so[:, None], said[:, None]) for so, said in zip(label.T, probabilities.T, strict=True)]
    return [(said, so) for said, so in pairs if len(said)]


def _murphy(said: np.ndarray, so: np.ndarray, bins: int) -> tuple[float, float, float, float]:
    number = _bin_numbers(said, bins, equal_mass=False)
    count = np.maximum(np.bincount(number, minlength=bins), 1)
    forecast, observed = (np.bincount(number, values, minlength=bins) / count for values in (said, so))
    reliability = np.mean((forecast - observed)[number] ** 2)
    resolution = np.mean((observed[number] - so.mean()) ** 2)
    inside, truth_inside = said - forecast[number], so - observed[number]
    within = np.mean(inside**2) - 2 * np.mean(inside * truth_inside)
    return float(reliability), float(resolution), float(so.mean() * (1 - so.mean())), float(within)


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
