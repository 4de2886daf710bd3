"""The numbers behind the curves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

GRID = np.linspace(0.0, 1.0, 101)


class RocBand(NamedTuple):
    """A ROC curve on an even grid of false positive rates, with a pointwise 95 % band."""

    false_positive: np.ndarray  # (101,)
    sensitivity: np.ndarray  # (101,)
    low: np.ndarray  # (101,)
    high: np.ndarray  # (101,)


def roc_band(
    label: np.ndarray, probabilities: np.ndarray, patient: np.ndarray, n_bootstrap: int = 200, seed: int = 0
) -> RocBand:
    """The ROC curve and its band, resampling patients; the mean over classes where there are more than two.

    Args:
        label: (N,) class numbers, or (N, K) of 0, 1, nan.
        probabilities: (N, K).
        patient: (N,).
        n_bootstrap: 200 is enough for a band that the eye reads; the interval in the table takes more.
        seed: of the resampling.
    """
    truths = one_versus_rest(label, probabilities.shape[1])
    scores = probabilities if truths.shape[1] == probabilities.shape[1] else probabilities[:, 1:2]
    rng = np.random.default_rng(seed)
    groups = _rows_of(patient)
    draws = []
    for _ in range(n_bootstrap):
        rows = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        curve = _mean_curve(truths[rows], scores[rows])
        if curve is not None:
            draws.append(curve)
    middle = _mean_curve(truths, scores)
    if middle is None:
        middle = GRID
    low, high = np.quantile(draws, [0.025, 0.975], axis=0) if draws else (middle, middle)
    return RocBand(GRID, middle, low, high)


def said(label: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probabilities that a reliability curve judges, as `medtl.measures.reliability_curve` takes them.

    Two classes: the positive one's. More: the likeliest one's. Several labels a scan: all of them, where known.
    """
    if label.ndim == 2:
        return probabilities[~np.isnan(label)]
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)


def one_versus_rest(label: np.ndarray, n_classes: int) -> np.ndarray:
    """Labels as columns of 0, 1, nan: one column, the positive class, where there are two classes."""
    if label.ndim == 2:
        return label.astype(float)
    if n_classes == 2:
        return (label == 1).astype(float)[:, None]
    return (label[:, None] == np.arange(n_classes)).astype(float)


def _mean_curve(truths: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
    curves = []
    for truth, score in zip(truths.T, scores.T, strict=True):
        known = ~np.isnan(truth)
        if len(np.unique(truth[known])) < 2:
            continue
        false_positive, sensitivity, _ = roc_curve(truth[known], score[known])
        curve = np.interp(GRID, false_positive, sensitivity)
        curve[0] = 0.0
        curves.append(curve)
    return np.mean(curves, axis=0) if curves else None


def _rows_of(patient: np.ndarray) -> list[np.ndarray]:
    _, number = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
