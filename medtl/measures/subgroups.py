"""How a model does on parts of the scans: by sex, age band, scanner, site."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.intervals import delong

NOT_GIVEN = "not given"
#: Upper ends (years) and names of `age_bands`.
BANDS = ((18, "0 to 17"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"), (float("inf"), "80 and over"))
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([DWMY]?)\s*", re.IGNORECASE)


class Subgroup(NamedTuple):
    """One part of the scans; a number that is undefined (one class only) is nan.

    Attributes:
        name: the value that its scans share; "not given" for those without.
        n_scans, n_patients: labelled ones.
        n_positive: positive scans; of several classes or labels, those of the rarest that is there.
        auroc: of several classes or labels the mean, each against the rest.
        auroc_ci: its 95 % interval by patient, (low, high).
        small: too few patients of one class to say anything; see `subgroups`.
        sensitivity, specificity: at the threshold; of several classes or labels the mean.
    """

    name: str
    n_scans: int
    n_patients: int
    n_positive: int
    auroc: float
    auroc_ci: tuple[float, float]
    small: bool
    sensitivity: float
    specificity: float


def subgroups(
    values: ArrayLike,
    label: ArrayLike,
    score: ArrayLike,
    patient: ArrayLike | None = None,
    least: int = 20,
    threshold: float = 0.5,
) -> list[Subgroup]:
    """The scans by the values of one column of the manifest, numbers in order, those without a value last.

    Args:
        values: (N,) of any kind; empty, None and nan are "not given".
        label: (N,) class numbers, negative where unlabelled (left out); or (N, K) 0, 1 or nan for several labels.
        score: (N,) of the positive class, (N, 2), or (N, K).
        patient: (N,) names; None: every scan is a patient of its own.
        least: a group with fewer patients in its smaller class (of several: in the rarest that is there) is `small`.
            With 20 of each the 95 % interval of an AUROC of 0.80 is about 0.28 wide.
        threshold: a scan is called positive from this score on; of several classes the likeliest is called.
    """
    truth, score, called = _truth_score_called(label, score, threshold)
    names = np.arange(len(truth)) if patient is None else np.asarray(patient)
    groups = np.array([_name(value) for value in np.asarray(values, object)], object)
    known = ~np.all(np.isnan(truth), axis=1)
    found = []
    for name in sorted(set(groups[known]), key=_order):
        own = known & (groups == name)
        found.append(_one(str(name), truth[own], score[own], called[own], names[own], least))
    return found


def age_bands(values: Iterable[Any]) -> np.ndarray:
    """Ages as bands of about 20 years: "0 to 17", "18 to 39", "40 to 59", "60 to 79", "80 and over".

    Children stand apart, as most models are cleared for adults only; bands of 20 years leave enough scans in each of a
    few hundred to measure on.

    Args:
        values: years as numbers or text, or DICOM's age strings ("045Y", "018M", "003W", "010D").

    Returns:
        (N,) text; "not given" for what is no age.
    """
    return np.array([_band(value) for value in values], dtype=object)


def _one(
    name: str, truth: np.ndarray, score: np.ndarray, called: np.ndarray, patient: np.ndarray, least: int
) -> Subgroup:
    interval = delong(truth, score, patient)
    positive = [int(np.sum(column == 1)) for column in truth.T]
    return Subgroup(
        name=name,
        n_scans=len(truth),
        n_patients=len(np.unique(patient)),
        n_positive=min((n for n in positive if n), default=0),
        auroc=interval.auroc,
        auroc_ci=(interval.low, interval.high),
        small=_smaller_class(truth, patient) < least,
        sensitivity=_mean_share(called, truth == 1),
        specificity=_mean_share(~called, truth == 0),
    )


def _smaller_class(truth: np.ndarray, patient: np.ndarray) -> int:
    """Patients in the smaller class, of the column that has fewest; a class that is nowhere does not count."""
    sizes = [
        min(len(np.unique(patient[column == 1])), len(np.unique(patient[column == 0])))
        for column in truth.T
        if truth.shape[1] == 1 or np.any(column == 1)
    ]
    return min(sizes, default=0)


def _truth_score_called(
    label: ArrayLike, score: ArrayLike, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, K) 0, 1 or nan; (N, K) scores; (N, K) what is called. K is 1 for a binary task."""
    label, score = np.asarray(label, float), np.asarray(score, float)
    if label.ndim == 2:
        return label, score, score >= threshold
    if score.ndim == 1 or score.shape[1] == 2:
        score = score.reshape(len(score), -1)[:, -1:]
        truth = np.where(label >= 0, label, np.nan)[:, None]
        return truth, score, score >= threshold
    numbers = np.arange(score.shape[1])
    truth = np.where(label[:, None] >= 0, label[:, None] == numbers, np.nan)
    return truth, score, score.argmax(axis=1)[:, None] == numbers


def _mean_share(right: np.ndarray, of: np.ndarray) -> float:
    shares = [np.mean(right[of[:, k], k]) for k in range(of.shape[1]) if of[:, k].any()]
    return float(np.mean(shares)) if shares else float("nan")


def _name(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return NOT_GIVEN
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or NOT_GIVEN


def _order(name: str) -> tuple[bool, list[tuple[bool, float, str]]]:
    """Numbers inside a name count as numbers; "not given" is last."""
    parts = re.split(r"(\d+(?:\.\d+)?)", name)
    return name == NOT_GIVEN, [(i % 2 == 0, float(x) if i % 2 else 0.0, x) for i, x in enumerate(parts) if x]


def _band(value: Any) -> str:
    text = _AGE.fullmatch(str(value))
    if text is None:
        return NOT_GIVEN
    years = float(text[1]) * _YEARS[text[2].upper() or "Y"]
    return next(name for end, name in BANDS if years < end)
