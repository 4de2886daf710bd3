"""What a model does at one threshold: sensitivity, specificity, PPV and NPV; and the threshold for a target."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.errors import InputError
from medtl.measures.proportions import share_interval

KINDS = 'write "specificity=0.90", "sensitivity=0.95", "threshold=0.3" or "youden"'


class OperatingPoint(NamedTuple):
    """A threshold and what it does; a number that is undefined (no scan of that class) is nan.

    Attributes:
        name: what was asked for: "specificity=0.90", "youden", "threshold=0.3".
        threshold: a scan is called positive from this score on.
        sensitivity, specificity: shares in [0, 1].
        ppv, npv: at `prevalence`.
        n_positive, n_negative: labelled scans behind it.
        sensitivity_ci, specificity_ci: 95 % intervals, (low, high).
        prevalence: at which PPV and NPV are given: the user's, or that of these scans.
    """

    name: str
    threshold: float
    sensitivity: float
    specificity: float
    ppv: float
    npv: float
    n_positive: int
    n_negative: int
    sensitivity_ci: tuple[float, float]
    specificity_ci: tuple[float, float]
    prevalence: float


def operating_point(
    label: ArrayLike, score: ArrayLike, at: str, patient: ArrayLike | None = None, prevalence: float | None = None
) -> OperatingPoint:
    """Find the threshold that reaches a target on these scans, and say what it does on them.

    The target is never missed on these scans: of a specificity the lowest threshold that reaches it, of a sensitivity
    the highest, midway between two neighbouring scores. What it does on the scans that it was chosen on is flattered:
    give the threshold to `apply_threshold` with other scans.

    Args:
        label: (N,) 0 or 1; negative or nan: not labelled, left out.
        score: (N,), any scale, higher is more positive.
        at: "specificity=0.90", "sensitivity=0.95", "threshold=0.3" or "youden".
        patient: (N,) names; None: every scan is a patient of its own.
        prevalence: for PPV and NPV; None: that of these scans.

    Raises:
        InputError: `at` is none of these, or there is no scan of a class that is needed to find the threshold.
    """
    kind, value = _read(at)
    positive, score, names = _labelled(label, score, patient)
    if kind == "threshold":
        cut = value
    elif kind == "youden":
        cut = youden_threshold(positive, score)
    else:
        cut = _reaching(kind, value, positive, score)
    return apply_threshold(positive, score, cut, names, prevalence)._replace(name=at)


def apply_threshold(
    label: ArrayLike,
    score: ArrayLike,
    threshold: float,
    patient: ArrayLike | None = None,
    prevalence: float | None = None,
) -> OperatingPoint:
    """What a threshold does on labelled scans, with Wilson's intervals (scans of one patient taken together).

    PPV and NPV follow from sensitivity and specificity by Bayes' rule; at the scans' own prevalence that is the share
    of the positive calls that are right.

    Args:
        label: (N,) 0 or 1; negative or nan: not labelled, left out.
        score: (N,), any scale.
        threshold: a scan is called positive from this score on.
        patient: (N,) names; None: every scan is a patient of its own.
        prevalence: for PPV and NPV, in [0, 1]; None: that of these scans.

    Raises:
        InputError: a prevalence outside [0, 1].
    """
    if prevalence is not None and not 0 <= prevalence <= 1:
        raise InputError(f"a prevalence of {prevalence:g} is no share: give a number from 0 to 1, such as 0.05")
    positive, score, names = _labelled(label, score, patient)
    called = score >= threshold
    sensitivity, *sensitivity_ci = share_interval(called[positive], names[positive])
    specificity, *specificity_ci = share_interval(~called[~positive], names[~positive])
    share = float(positive.mean()) if len(positive) else float("nan")
    share = share if prevalence is None else float(prevalence)
    ppv, npv = predictive_values(sensitivity, specificity, share)
    return OperatingPoint(
        name=f"threshold={threshold:g}",
        threshold=float(threshold),
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=ppv,
        npv=npv,
        n_positive=int(positive.sum()),
        n_negative=int((~positive).sum()),
        sensitivity_ci=(sensitivity_ci[0], sensitivity_ci[1]),
        specificity_ci=(specificity_ci[0], specificity_ci[1]),
        prevalence=share,
    )


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """PPV and NPV by Bayes' rule; nan where nothing is called positive (or negative), or what it needs is unknown."""
    # A class that is not there (prevalence 0 or 1) brings no calls, whatever its unknown share would be.
    hit = sensitivity * prevalence if prevalence > 0 else 0.0
    missed = (1 - sensitivity) * prevalence if prevalence > 0 else 0.0
    passed = specificity * (1 - prevalence) if prevalence < 1 else 0.0
    alarm = (1 - specificity) * (1 - prevalence) if prevalence < 1 else 0.0
    return _ratio(hit, hit + alarm), _ratio(passed, passed + missed)


def youden_threshold(label: ArrayLike, score: ArrayLike) -> float:
    """The threshold with the highest sensitivity + specificity - 1 (Youden, Cancer 3, 1950).

    Of several equally good ones, that whose share of positive calls is closest to the prevalence. It lies midway
    between two neighbouring scores.

    Args:
        label: (N,) 0 or 1, both present.
        score: (N,), any scale; positive from the threshold on.

    Raises:
        InputError: one class only.
    """
    positive, score = np.asarray(label).astype(int) == 1, np.asarray(score, float)
    _need(positive, "positive")
    _need(~positive, "negative")
    cuts = _cuts(score)
    gain = _called(score[positive], cuts) - _called(score[~positive], cuts)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    nearest = best[np.argmin(np.abs(_called(score, cuts[best]) - positive.mean()))]
    return float(cuts[nearest])


def _read(at: str) -> tuple[str, float]:
    kind, _, text = str(at).partition("=")
    kind = kind.strip()
    if kind == "youden" and not text:
        return kind, float("nan")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if kind not in ("specificity", "sensitivity", "threshold") or not np.isfinite(value):
        raise InputError(f"{at!r} is no operating point: {KINDS}")
    if kind != "threshold" and not 0 < value <= 1:
        raise InputError(f"{at!r}: a {kind} lies above 0 and is at most 1: {KINDS}")
    return kind, value


def _labelled(
    label: ArrayLike, score: ArrayLike, patient: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each labelled scan is positive, its score and its patient."""
    label, score = np.asarray(label, float), np.asarray(score, float)
    names = np.arange(len(label)) if patient is None else np.asarray(patient)
    known = label >= 0
    return label[known] > 0.5, score[known], names[known]


def _reaching(kind: str, target: float, positive: np.ndarray, score: np.ndarray) -> float:
    of = positive if kind == "sensitivity" else ~positive
    _need(of, "positive" if kind == "sensitivity" else "negative")
    cuts = _cuts(score)
    called = _called(score[of], cuts)
    if kind == "sensitivity":
        return float(cuts[np.flatnonzero(called >= target - 1e-12)[-1]])
    return float(cuts[np.flatnonzero(1 - called >= target - 1e-12)[0]])


def _need(of: np.ndarray, name: str) -> None:
    if not of.any():
        raise InputError(f"a threshold cannot be chosen without any {name} scan: label some")


def _cuts(score: np.ndarray) -> np.ndarray:
    """Every way to split the scores: below all, midway between neighbours, above all."""
    seen = np.unique(score)
    midway = np.maximum((seen[1:] + seen[:-1]) / 2, np.nextafter(seen[:-1], np.inf))
    return np.r_[seen[0], midway, np.nextafter(seen[-1], np.inf)]


def _called(score: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The share of the scores that each cut calls positive."""
    return 1 - np.searchsorted(np.sort(score), cuts, side="left") / len(score)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
