"""What the parameters of a step may be, so that a recipe which cannot be meant is refused before any scan is read."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from medtl.intensity.histograms import LANDMARKS, QUANTILES


class Allowed(NamedTuple):
    """What a parameter may be.

    Attributes:
        says: the same in words, after "give".
        holds: whether a value is so.
    """

    says: str
    holds: Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _several(value: Any, count: int, each: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(each, value))


def _learnt(points: int) -> Allowed:
    def holds(value: Any) -> bool:
        each = isinstance(value, list) and all(_several(channel, points, _number) for channel in value)
        return value is None or (each and len(value) > 0)

    return Allowed(f"{points} numbers for each channel, or leave it out: it is learnt", holds)


NUMBER = Allowed("a number", _number)
POSITIVE = Allowed("a number above 0", lambda value: _number(value) and value > 0)
LENGTH = Allowed("a number of 0 or more", lambda value: _number(value) and value >= 0)
SHARE = Allowed("a number above 0 and at most 1", lambda value: _number(value) and 0 < value <= 1)
OF_A_SIDE = Allowed("a number from 0 and below 0.5", lambda value: _number(value) and 0 <= value < 0.5)
PERCENTILE = Allowed("a number from 0 to 100", lambda value: _number(value) and 0 <= value <= 100)
VOXELS = Allowed("a whole number of 0 or more", lambda value: _whole(value) and value >= 0)
COUNT = Allowed("a whole number of 1 or more", lambda value: _whole(value) and value >= 1)
ODD = Allowed("an odd number, so that one is the middle", lambda value: _whole(value) and value >= 1 and value % 2 == 1)
SPACING = Allowed(
    "mm between slices, rows and columns, null for an axis that stays",
    lambda value: _several(value, 3, lambda mm: mm is None or POSITIVE.holds(mm)),
)

#: Step -> its parameters. The names of `windows` are checked where they are counted.
ALLOWED: Mapping[str, Mapping[str, Allowed]] = {
    "crop_to_foreground": {"above": NUMBER, "margin": VOXELS},
    "crop_to_body": {"above": NUMBER, "margin": LENGTH},
    "crop_to_breast": {"margin": OF_A_SIDE},
    "crop_border": {"tolerance": SHARE, "most": OF_A_SIDE},
    "fill_overlay": {"margin": VOXELS},
    "clahe": {"clip_limit": SHARE, "kernel": SHARE},
    "balance_stain": {
        **dict.fromkeys(("red", "green", "blue"), SHARE),
        **{"strength": POSITIVE, "share": SHARE, "percentile": PERCENTILE},
    },
    "percentile_window": {"lower": PERCENTILE, "upper": PERCENTILE},
    "window": {"level": NUMBER, "width": POSITIVE},
    "clip_percentiles": {"lower": PERCENTILE, "upper": PERCENTILE},
    "z_score": {"limit": POSITIVE},
    "correct_bias": {"shrink": COUNT},
    "landmarks": {"scale": _learnt(len(LANDMARKS))},
    "match_histogram": {"quantiles": _learnt(QUANTILES)},
    "resample": {"spacing": SPACING},
    "choose_slices": {"most": COUNT},
    "neighbouring_slices": {"most": COUNT, "n": ODD},
}


def fault_of(step: str, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the parameters of a step and what to give instead; "" where nothing is.

    Args:
        step: a name in `STEPS`.
        arguments: all its parameters, in JSON's types.
    """
    for name, allowed in ALLOWED.get(step, {}).items():
        if not allowed.holds(arguments[name]):
            return f"{name} is {reprlib.repr(arguments[name])}; give {allowed.says}"
    lower, upper = arguments.get("lower", 0), arguments.get("upper", 100)
    if not lower < upper:
        return f"lower is {lower:g} and upper is {upper:g}; give upper the larger"
    return ""
