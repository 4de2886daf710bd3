"""From a few labelled scans of the new site: better than chance here, not, or cannot tell yet."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.intervals import Interval, delong

Kind = Literal["better than chance", "not", "cannot tell yet"]
USEFUL = 0.66  # ranks two pairs of scans in three right
SURE = 0.95
_TOLD = 1.645 + 0.842  # errors between a limit and the truth for a verdict four times in five


@dataclass(frozen=True)
class Verdict:
    """What labelled scans say of a model at their site.

    Attributes:
        kind: "better than chance", "not" or "cannot tell yet".
        auroc: None where only one class is labelled.
        interval: 90 % interval of the AUROC (each end is sure at 95 %), None as above.
        sentence: for the user.
        labels_needed: further scans to label of each class, for a verdict four times in five if the AUROC is what it
            seems; 0 where there is a verdict.
    """

    kind: Kind
    auroc: float | None
    interval: tuple[float, float] | None
    sentence: str
    labels_needed: int


def scans_to_label() -> int:
    """How many scans of each class to label for the verdict: 50, see the table in `verdict`."""
    return 50


def verdict(
    label: ArrayLike,
    score: ArrayLike,
    patient: ArrayLike | None = None,
    useful: float = USEFUL,
    counted: str = "scans",
) -> Verdict:
    """Whether a model is better than chance at the site of these scans.

    "Better than chance": the AUROC is above 0.5, with 95 % confidence. "Not": it is below `useful`, with 95 %
    confidence: no better than chance, or too little better to be of use. In between, "cannot tell yet". With many scans
    both can hold, an AUROC surely between 0.5 and `useful`: that is "better than chance", and the sentence adds that it
    is of little use. The interval is DeLong's with the scans of a patient taken together (`measures.delong`).

    How often each is said with 50 scans of each class, one a patient, binormal scores (8,000 draws; worst of equal and
    of 1.5 times wider positives; `tests/trust/test_verdict.py` draws it again):

        true AUROC         0.42  0.50  0.54  0.58  0.60  0.62  0.65  0.66  0.71  0.76  0.80
        better than chance 0.00  0.05  0.17  0.39  0.52  0.67  0.83  0.87  0.98  1.00  1.00
        not                1.00  0.87  0.69  0.41  0.29  0.18  0.07  0.05  0.00  0.00  0.00
        cannot tell yet    0.00  0.08  0.17  0.22  0.21  0.18  0.10  0.08  0.02  0.00  0.00

    So it is wrong in at most 5 % ("better" at 0.50 or below, "not" at 0.66 or above; the worst are these two), and
    cannot tell in at most 22 % (the worst is 0.57 to 0.58). No rule could do both if "not" meant "0.50 or below": 50
    scans of each class cannot tell 0.58 from 0.50 (the standard error is 0.057). Read that strictly, "not" is said
    wrongly of a truth between: at 0.60 in 29 %, at 0.65 in 7 %. The sentence says which of the two it means.

    Args:
        label: (N,) class numbers, negative where unlabelled (left out); or (N, K) 0, 1 or nan for several labels.
        score: (N,) of the positive class, or (N, K): more than two classes are each taken against the rest, and the
            mean AUROC is judged.
        patient: (N,) names; None: every scan is a patient of its own.
        useful: the smallest AUROC that is of use. 0.66 ranks two pairs in three right; it is the smallest with which
            50 scans of each class reach the figures above.
        counted: what the sentence calls them.
    """
    truth, score = np.asarray(label), np.asarray(score, float)
    if truth.ndim == 1:
        known = truth >= 0
        truth, score = truth[known], score[known]
        patient = None if patient is None else np.asarray(patient)[known]
        if score.ndim == 2 and score.shape[1] == 2:
            score = score[:, 1]
        elif score.ndim == 2:
            truth = (truth[:, None] == np.arange(score.shape[1])).astype(float)
    found = delong(truth, score, patient, confidence=2 * SURE - 1)
    n, smaller = len(truth), _smaller_class(truth)
    if np.isnan(found.auroc):
        need = max(scans_to_label() - smaller, 0)
        said = f"The {n} labelled {counted} are all of one class" if n else "No scan is labelled"
        return Verdict("cannot tell yet", None, None, f"{said}: cannot tell yet; label {need} of each class.", need)
    kind: Kind = "cannot tell yet"
    if found.low > 0.5:
        kind = "better than chance"
    elif found.high < useful:
        kind = "not"
    need = _more(found.auroc, smaller, useful) if kind == "cannot tell yet" else 0
    return Verdict(
        kind, found.auroc, (found.low, found.high), _sentence(kind, found, f"{n} of your {counted}", useful, need), need
    )


def _sentence(kind: Kind, found: Interval, on: str, useful: float, need: int) -> str:
    start = f"On {on} the AUROC is {found.auroc:.2f} (90 % interval {found.low:.2f} to {found.high:.2f})"
    if kind == "better than chance":
        return f"{start}: better than chance here{_but(found, useful)}."
    if kind == "not":
        return f"{start}: not better than chance here, or too little to be of use (surely below {useful:.2f})."
    return f"{start}: cannot tell yet whether it is better than chance here; label about {need} more of each class."


def _but(found: Interval, useful: float) -> str:
    return f", but of little use (surely below {useful:.2f})" if found.high < useful else ""


def _more(area: float, smaller: int, useful: float) -> int:
    """Further scans of each class, in tens: the standard error is about 1 / sqrt(6 n) with n scans of each."""
    gap = max(area - 0.5, useful - area)
    enough = (_TOLD / gap) ** 2 / 6
    return max(10, 10 * ceil((enough - smaller) / 10))


def _smaller_class(label: np.ndarray) -> int:
    if not len(label):
        return 0
    if label.ndim == 2:
        counts = [min((column == 0).sum(), (column == 1).sum()) for column in label.T]
        return int(min(counts))
    return int(min((label > 0).sum(), (label <= 0).sum()))
