"""Sets of classes that hold the true one as often as promised: split conformal prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def conformal_scores(label: ArrayLike, probabilities: ArrayLike, task: str) -> np.ndarray:
    """One minus the probability of what was true: (N,), or for "multilabel" one for each label that is known."""
    label, p = np.asarray(label), np.asarray(probabilities, float)
    if task == "multilabel":
        label = label.astype(float)
        of_true = np.where(label > 0.5, p, 1 - p)
        return 1 - of_true[~np.isnan(label)]
    return 1 - p[np.arange(len(label)), label.astype(int)]


def conformal_quantile(scores: ArrayLike, n_patients: int, level: float = 0.9) -> tuple[float, float]:
    """The score up to which a class stays in the set, and the coverage that this promises.

    The ceil((n + 1) level)-th smallest of n scores (Vovk et al. 2005; Sadinle et al., JASA 114, 2019), n counted in
    patients, since it is they who are exchangeable: with several scans a patient this errs towards larger sets. With
    too few patients for `level` (fewer than 9 for 0.9) the largest score is taken and n / (n + 1) is promised.

    Returns:
        (quantile, promised): each in [0, 1].
    """
    scores = np.asarray(scores, float)
    rank = int(np.ceil((n_patients + 1) * level - 1e-9))
    if rank > n_patients:
        return float(scores.max()), n_patients / (n_patients + 1)
    place = -(-rank * len(scores) // n_patients)  # in whole numbers: a quantile's rounding may be one score off
    return float(np.sort(scores)[place - 1]), level


def prediction_sets(probabilities: ArrayLike, quantile: float, task: str) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The classes that stay, and whether that decides the scan.

    Args:
        probabilities: (N, K).
        quantile: of `conformal_quantile`.
        task: "binary", "multiclass" or "multilabel".

    Returns:
        A tuple of class numbers for each scan, which may be empty; and (N,) bool, whether exactly one class stays.
        "multilabel": the labels that may be present; decided where each label is surely present or surely absent.
    """
    p = np.asarray(probabilities, float)
    stays = 1 - p <= quantile + 1e-12
    sets = [tuple(int(k) for k in np.flatnonzero(row)) for row in stays]
    if task == "multilabel":
        return sets, np.all(stays != (p <= quantile + 1e-12), axis=1)
    return sets, stays.sum(axis=1) == 1
