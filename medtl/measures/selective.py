"""What is gained by leaving the doubtful scans to a reader: the risk-coverage curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class RiskCoverage(NamedTuple):
    """Errors among the scans that the model is surest of.

    Attributes:
        coverage: (N,) share of the scans that the model answers, 1/N to 1.
        risk: (N,) share of those that it gets wrong.
        aurc: mean risk over the coverages; lower is better.
        e_aurc: that less what the best order of the same errors would give (all of them last); 0 is best.
    """

    coverage: np.ndarray
    risk: np.ndarray
    aurc: float
    e_aurc: float


def risk_coverage(label: ArrayLike, probabilities: ArrayLike, prediction: ArrayLike | None = None) -> RiskCoverage:
    """Errors among the scans that the model is surest of, at each share of them.

    El-Yaniv and Wiener, JMLR 11, 2010; its area Geifman et al., ICLR 2019, arXiv:1805.08206. A scan's sureness is the
    probability of what it is called. Scans that are equally sure share their errors, so that their order does not
    matter.

    Args:
        label: (N,) class numbers, negative where unlabelled (left out); or (N, K) 0, 1 or nan for several labels:
            a scan's error is then the share of its known labels that are called wrongly, its sureness their mean.
        probabilities: (N,) of the positive class, (N, 2) or (N, K).
        prediction: what was called, in the shape of `label`; None: the likeliest class, of two classes and of several
            labels from 0.5 on.

    Returns:
        The curve; empty, with nan areas, where no scan is labelled.
    """
    sureness, error = _sureness_and_error(label, probabilities, prediction)
    n = len(error)
    if not n:
        return RiskCoverage(np.zeros(0), np.zeros(0), float("nan"), float("nan"))
    answered = np.arange(1, n + 1)
    risk = np.cumsum(_by_sureness(sureness, error)) / answered
    best = np.cumsum(np.sort(error)) / answered
    return RiskCoverage(answered / n, risk, float(risk.mean()), float((risk - best).mean()))


def accuracy_without(
    label: ArrayLike, probabilities: ArrayLike, share: float = 0.2, prediction: ArrayLike | None = None
) -> float:
    """Accuracy on the rest when the least sure `share` of the scans is left to a reader.

    Args:
        label: as in `risk_coverage`.
        probabilities: as there.
        share: in [0, 1]; rounded to whole scans. 0.2 is the issue's "refer the doubtful 20 %".
        prediction: as there.

    Returns:
        A number in [0, 1]; nan where no scan is left.
    """
    risk = risk_coverage(label, probabilities, prediction).risk
    left = len(risk) - round(share * len(risk))
    return float(1 - risk[left - 1]) if left > 0 else float("nan")


def _sureness_and_error(
    label: ArrayLike, probabilities: ArrayLike, prediction: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """How sure each labelled scan's call is, and how wrong: both (N,) in [0, 1]."""
    label, p = np.asarray(label, float), np.asarray(probabilities, float)
    if label.ndim == 2:
        called = p >= 0.5 if prediction is None else np.asarray(prediction) > 0.5
        known = ~np.isnan(label)
        some = known.any(axis=1)
        labels = np.maximum(known.sum(axis=1), 1)
        sureness = np.where(known, np.where(called, p, 1 - p), 0.0).sum(axis=1) / labels
        error = (known & (called != (label > 0.5))).sum(axis=1) / labels
        return sureness[some], error[some]
    p = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    likeliest = (p[:, 1] >= 0.5).astype(int) if p.shape[1] == 2 else p.argmax(axis=1)
    chosen = likeliest if prediction is None else np.asarray(prediction).astype(int)
    known = label >= 0
    return p[np.arange(len(p)), chosen][known], (chosen != label)[known].astype(float)


def _by_sureness(sureness: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The errors from the surest scan down, the mean of its tie for each."""
    _, place, count = np.unique(-sureness, return_inverse=True, return_counts=True)
    return np.repeat(np.bincount(place.reshape(-1), error) / count, count)
