"""Whether acting on a model does more good than harm: the decision curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.errors import InputError


class DecisionCurve(NamedTuple):
    """Net benefit, in true positives a scan; that of treating none is 0.

    Attributes:
        threshold: (T,) probability from which on one acts: one false alarm weighs threshold / (1 - threshold) of one
            patient found.
        net_benefit: (T,) of acting on the model.
        treat_all: (T,) of acting on everyone.
    """

    threshold: np.ndarray
    net_benefit: np.ndarray
    treat_all: np.ndarray


def decision_curve(label: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None) -> DecisionCurve:
    """Net benefit at each threshold: TP / n - FP / n * threshold / (1 - threshold).

    Vickers and Elkin, Medical Decision Making 26, 2006. It means what it says only with calibrated probabilities. Of
    more than two classes, and of several labels, give one at a time: `label == k` and `probabilities[:, k]`.

    Args:
        label: (N,) 0 or 1; negative or nan: not labelled, left out.
        probabilities: (N,) of the positive class, or (N, 2).
        thresholds: (T,) in [0, 1); None: 0.01, 0.02 to 0.99.

    Returns:
        The curve; nan throughout where no scan is labelled.

    Raises:
        InputError: a threshold outside [0, 1).
        ValueError: more than two columns.
    """
    label, said = np.asarray(label, float), np.asarray(probabilities, float)
    if said.ndim == 2:
        if said.shape[1] != 2:
            raise ValueError(f"a decision curve is of one class: give probabilities[:, k], not all {said.shape[1]}")
        said = said[:, 1]
    cut = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, float)
    if not ((cut >= 0) & (cut < 1)).all():
        raise InputError(
            "the thresholds of a decision curve lie from 0 to below 1: at 1 no number of alarms is worth it"
        )
    known = label >= 0
    positive, said = label[known] > 0.5, said[known]
    if not len(positive):
        return DecisionCurve(cut, *(np.full(len(cut), np.nan),) * 2)
    hits, alarms = (_called(said[of], cut) / len(said) for of in (positive, ~positive))
    harm = cut / (1 - cut)
    prevalence = positive.mean()
    return DecisionCurve(cut, hits - alarms * harm, prevalence - (1 - prevalence) * harm)


def _called(said: np.ndarray, cut: np.ndarray) -> np.ndarray:
    return len(said) - np.searchsorted(np.sort(said), cut, side="left")
