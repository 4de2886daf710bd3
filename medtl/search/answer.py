"""What a learning curve says to the person who asks how many scans to label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtl.search.curve import Curve, Point

#: Numbers of labels a class that are looked ahead at.
AHEAD = (20, 50, 100, 150, 200, 300, 400)
#: "Each further 50".
STEP = 50
#: When 50 more labels a class add no more than this to the AUROC, they are not worth their while. A convention: a
#: tenth of a reader's day against a hundredth of AUROC; the report has the whole curve for those who weigh otherwise.
WORTH = 0.01


@dataclass(frozen=True)
class Answer:
    """A learning curve in words and numbers.

    Attributes:
        sentence: how many to label.
        now: labels a class that there are.
        auroc: with all of them, as measured.
        ahead: labels a class that the sentence looks ahead to.
        expected: rows for curve.json, from `now` on: labels_a_class, auroc; low and high, between which 90 % of the
            models are expected that are measured on the same patients; lowest and highest, on ever so many new ones.
        apart: whether it was measured on patients whom no model learns from; else low and high are for new patients.
    """

    sentence: str
    now: int
    auroc: float
    ahead: int
    expected: tuple[dict[str, float], ...]
    apart: bool = True


def answer(curve: Curve, how: str, apart: bool = True) -> Answer:
    """Put a fitted curve into words.

    Args:
        curve: of labels a class.
        how: what the AUROC was measured on, such as "on 84 patients held apart".
        apart: these are patients whom no model learns from, so that what is expected can be measured on them too.
    """
    now = int(max(point.shots for point in curve.points))
    measured = mean_of(curve.points, now)
    pool = int(curve.pool)
    ahead = 100 if pool <= 70 else 2 * pool
    middle, low, high = curve.expect(ahead, same_patients=apart)
    _, lowest, highest = curve.expect(ahead, same_patients=False)
    interval = f"90 % interval {low:.2f} to {high:.2f}"
    if apart:
        interval = f"{interval} on these patients, {lowest:.2f} to {highest:.2f} on new ones"
    further = curve.gain(ahead, STEP)[0]
    looked = [pool, *(n for n in AHEAD if n > pool)]
    enough = next((n for n in looked if curve.gain(n, STEP)[0] <= WORTH), None)
    said = (
        f"With {_labels(now)} the AUROC is {measured:.2f} ({how}); at {ahead} expect {middle:.2f} "
        f"({interval}); each further {STEP} add {_amount(further)}."
    )
    if enough is None:
        said += f" More labels are worth their while: even at {looked[-1]} a class, {STEP} more add over {WORTH}."
    elif enough == pool:
        said += " Labelling more brings little."
    else:
        said += f" Label about {enough} a class: beyond that, {STEP} more add no more than {WORTH}."
    levels = sorted({now, *(n for n in (20, 50, 100, 200, ahead, 2 * ahead) if n > now)})
    return Answer(said, now, measured, ahead, tuple(_row(curve, n, apart) for n in levels), apart)


def mean_of(points: Sequence[Point], shots: float) -> float:
    """The mean AUROC over the draws of so many labels a class."""
    return float(np.mean([point.auroc for point in points if point.shots == shots]))


def table(points: Sequence[Point]) -> list[dict[str, Any]]:
    """learning_curve.csv: a row a draw."""
    return [
        {
            "labels_a_class": int(point.shots),
            "draw": point.draw,
            "labels": point.labelled,
            "auroc": round(point.auroc, 4),
            "standard_error": round(point.standard_error, 4),
        }
        for point in points
    ]


def _row(curve: Curve, n: float, apart: bool) -> dict[str, float]:
    middle, low, high = curve.expect(n, same_patients=apart)
    _, lowest, highest = curve.expect(n, same_patients=False)
    found = {"auroc": middle, "low": low, "high": high, "lowest": lowest, "highest": highest}
    return {"labels_a_class": n, **{name: round(value, 4) for name, value in found.items()}}


def _labels(n: int) -> str:
    return f"{n} label{'' if n == 1 else 's'} a class"


def _amount(gain: float) -> str:
    return "less than 0.01" if gain < 0.005 else f"about {gain:.2f}"
