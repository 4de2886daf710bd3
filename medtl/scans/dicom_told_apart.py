"""Slices that lie at one place, told apart: echoes, b-values, magnitude and phase ... and time points.

What tells them apart is used only where it must be, and where it deals the slices into volumes: a field that differs
from slice to slice (a time, an acquisition number of an axial CT) never tears a stack into single slices. Where nothing
tells them apart they are refused: two volumes are never mixed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from medtl.scans.dicom_heights import Heights
from medtl.scans.dicom_place import LAST, UNKNOWN, UNSAID, Plane, dot, grouped
from medtl.scans.dicom_times import time_points

SAME_DIRECTION = 1e-3  # of a unit vector
SAME_NUMBER = 0.02  # part by which echo times and b-values of one volume may differ
FEWEST = 3  # slices from which on those between the slices of another stack are a stack
BESIDE = 1.0  # mm from which on slices at one height lie beside one another
PARTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}

Named = tuple[str, list[Plane]]  # the words for what sets a group apart, and its planes


class Volume(NamedTuple):
    """Slices of which no two lie at one place.

    Attributes:
        words: what sets it apart, "" for the only one.
        planes: its slices, in any order.
        expected: numbers of the places that it should fill.
        twice: numbers of the places at which two different slices lay, without a reason.
        tangled: whether its slices may belong to several volumes, which nothing tells apart.
    """

    words: str
    planes: list[Plane]
    expected: list[int]
    twice: Sequence[int] = ()
    tangled: bool = False


def told_apart(planes: list[Plane], heights: Heights, expected: list[int] | None = None) -> list[Volume]:
    """Deal slices of one direction and type into volumes.

    Args:
        planes: the slices.
        heights: at which places they lie.
        expected: numbers of the places that each volume should fill; by default all that the slices take.
    """
    if expected is None:
        expected = sorted(set(map(heights.place, planes)))
    most = heights.most(planes)
    if most > 1:
        for attribute in _attributes(planes):
            parts = attribute(planes, heights)
            if 1 < len(parts) <= most and all(heights.most(part) < most for _, part in parts):
                return _each_told_apart(parts, heights, None if attribute in COVER_LESS else expected)
        times = time_points(planes, heights, most)
        if times is not None:
            volumes, own_places = times
            return [
                Volume(
                    f"time {number} of {len(volumes)}",
                    volume,
                    sorted(map(heights.place, volume)) if own_places else expected,
                )
                for number, volume in enumerate(volumes, 1)
            ]
    between = _between_each_other(planes, heights)
    if between:
        return _each_told_apart(between, heights, None)
    return [Volume("", planes, expected) if most == 1 else _one_of_several(planes, heights, expected)]


def _each_told_apart(parts: list[Named], heights: Heights, expected: list[int] | None) -> list[Volume]:
    return [
        volume._replace(words=joined(words, volume.words))
        for words, part in parts
        for volume in told_apart(part, heights, expected)
    ]


def _one_of_several(planes: list[Plane], heights: Heights, expected: list[int]) -> Volume:
    """Slices of which some lie at one place without a reason: those of one value of a fact, else the first of each.

    Where that happens at most places, they are several volumes, and the first of each place might mix them.
    """
    places = heights.places(planes)
    twice = [heights.place(place[0]) for place in places if len(place) > 1]
    for attribute in (*_attributes(planes), *NUMBERED):
        for _, part in attribute(planes, heights):
            if len(part) == len(places) and heights.most(part) == 1:
                return Volume("", part, expected, twice)
    return Volume("", [place[0] for place in places], expected, twice, 2 * len(twice) > len(places))


def _between_each_other(planes: list[Plane], heights: Heights) -> list[Named] | None:
    """Stacks of which one has its slices between those of another, or None.

    Told by a fact that each of them has throughout, and by their numbers: the parts of one stack (the even slices, say)
    are numbered among one another, or lie above one another. What makes a whole stack together is dealt into whole
    stacks only.
    """
    if len(planes) < 2 * FEWEST:
        return None
    for attribute in (_by_type, *_attributes(planes), *NUMBERED):
        parts = attribute(planes, heights)
        if len(parts) < 2 or min(len(part) for _, part in parts) < FEWEST:
            continue
        alone = [part for _, part in parts]
        if not _numbered_apart(alone) or not heights.overlap(alone):
            continue
        if attribute is _by_acquisition and _interleaved(alone, heights):
            continue
        stacks = all(heights.whole(part) or _between_each_other(part, heights) for part in alone)
        if stacks or not heights.whole(planes):
            return parts
    return None


def _numbered_apart(parts: list[list[Plane]]) -> bool:
    """Whether each has its own run of numbers, or begins to count anew."""
    numbers = [[(plane.order, plane.frame) for plane in part] for part in parts]
    if any(len(set(own)) < len(own) or max(own)[0] == LAST for own in numbers):
        return False
    if all(max(before) < min(after) for before, after in pairwise(sorted(numbers, key=min))):
        return True
    often = Counter(number for own in numbers for number in own)
    return all(2 * sum(often[number] > 1 for number in own) >= len(own) for own in sorted(numbers, key=len)[:-1])


def _interleaved(parts: list[list[Plane]], heights: Heights) -> bool:
    """Whether they are one MR stack, scanned in turns so that no slice disturbs the next: none lies in another."""
    first = parts[0]
    if first[0].modality != "MR":
        return False
    taken = [heights.values[place] for place in sorted(heights.place(plane) for part in parts for plane in part)]
    nearest = min(above - below for below, above in pairwise(taken))
    own = sorted(heights.values[heights.place(plane)] for plane in first)
    thick = first[0].thickness if math.isfinite(first[0].thickness) else (own[1] - own[0]) / len(parts)
    return nearest > 0.99 * thick


def _attributes(planes: list[Plane]) -> Sequence[Callable[[list[Plane], Heights], list[Named]]]:
    """Those of `ATTRIBUTES` in which the slices may differ."""
    return (_by_thickness, _by_field) if len({plane.kind for plane in planes}) == 1 else ATTRIBUTES


def _by_type(planes: list[Plane], _: Heights) -> list[Named]:
    """The first three words of ImageType."""
    return in_words(grouped(planes, lambda plane: plane.kind.type))


def _by_part(planes: list[Plane], _: Heights) -> list[Named]:
    """Magnitude, phase, real and imaginary part."""
    groups = grouped(planes, lambda plane: next((word for word in plane.kind.extras if word in PARTS), ""))
    return [
        (PARTS.get(part, ""), group) for part, group in sorted(groups.items(), key=lambda item: "MPRI".find(item[0]))
    ]


def _by_origin(planes: list[Plane], _: Heights) -> list[Named]:
    """Original or derived, primary or secondary."""
    return in_words(grouped(planes, lambda plane: plane.kind.type[:2]))


def _by_extras(planes: list[Plane], _: Heights) -> list[Named]:
    """The maker's own words in ImageType (water, fat, in phase ...)."""
    return in_words(grouped(planes, lambda plane: plane.kind.extras))


def _by_window(planes: list[Plane], _: Heights) -> list[Named]:
    groups = sorted(grouped(planes, lambda plane: plane.kind.window).items())
    return [(f"energy window {number} of {len(groups)}", group) for number, (_, group) in enumerate(groups, 1)]


def _by_kernel(planes: list[Plane], _: Heights) -> list[Named]:
    groups = sorted(grouped(planes, lambda plane: plane.kind.kernel).items())
    return [(f"kernel {kernel}" if kernel else "no kernel", group) for kernel, group in groups]


def _by_voltage(planes: list[Plane], _: Heights) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.voltage)
    return [(f"{value:.4g} kV" if value >= 0 else "no kV", group) for value, group in groups]


def _by_phase(planes: list[Plane], _: Heights) -> list[Named]:
    return _counted("phase", _by_number(planes, lambda plane: plane.kind.phase, 0.0))


def _by_echo(planes: list[Plane], _: Heights) -> list[Named]:
    return _counted("echo", _by_number(planes, lambda plane: plane.kind.echo))


def _by_echo_number(planes: list[Plane], _: Heights) -> list[Named]:
    return _counted("echo", _by_number(planes, lambda plane: plane.kind.echo_number, 0.0))


def _by_exact_echo(planes: list[Plane], _: Heights) -> list[Named]:
    """Echo times nearer to each other than those of one volume usually are."""
    return _counted("echo", _by_number(planes, lambda plane: plane.kind.echo, 0.0))


def _by_inversion(planes: list[Plane], _: Heights) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.inversion)
    return [(f"inversion time {value:.4g} ms" if value >= 0 else "no inversion", group) for value, group in groups]


def _by_flip(planes: list[Plane], _: Heights) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.flip)
    return [(f"flip angle {value:.4g}" if value >= 0 else "no flip angle", group) for value, group in groups]


def _by_b_value(planes: list[Plane], _: Heights) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.b_value)
    return [("no b-value" if value < 0 else f"b = {value:.0f}", group) for value, group in groups]


def _by_direction(planes: list[Plane], _: Heights) -> list[Named]:
    same = clusters([plane.kind.direction for plane in planes], lambda _: SAME_DIRECTION)
    groups = sorted(
        grouped(planes, lambda plane: same[plane.kind.direction]).values(), key=lambda group: group[0].sequence
    )
    return [(f"direction {number} of {len(groups)}", group) for number, group in enumerate(groups, 1)]


def _by_thickness(planes: list[Plane], _: Heights) -> list[Named]:
    known = [plane for plane in planes if plane.thickness == plane.thickness]
    if len(known) < len(planes):
        return [("", planes)]
    return [(f"{value:.3g} mm thick", group) for value, group in _by_number(planes, lambda plane: plane.thickness)]


def _by_field(planes: list[Plane], heights: Heights) -> list[Named]:
    """Slices at one height, but beside one another."""
    if not any(
        max(map(_apart, plane.position or (), place[0].position or ())) >= BESIDE
        for place in heights.places(planes)
        for plane in place
    ):
        return [("", planes)]

    def beside(plane: Plane) -> tuple[float, ...]:
        assert plane.position is not None
        height = dot(plane.position, heights.axis)
        return tuple(part - height * along for part, along in zip(plane.position, heights.axis, strict=True))

    same = clusters([beside(plane) for plane in planes], lambda _: BESIDE)
    groups = sorted(grouped(planes, lambda plane: same[beside(plane)]).values(), key=lambda group: group[0].sequence)
    return [(f"field {number} of {len(groups)}", group) for number, group in enumerate(groups, 1)]


def _by_position_in_time(planes: list[Plane], _: Heights) -> list[Named]:
    return _counted("time", _by_number(planes, lambda plane: plane.times[0] if plane.times else UNSAID, 0.0))


def _by_acquisition(planes: list[Plane], _: Heights) -> list[Named]:
    return _counted("time", _by_number(planes, lambda plane: plane.times[1] if plane.times else UNSAID, 0.0))


ATTRIBUTES: tuple[Callable[[list[Plane], Heights], list[Named]], ...] = (
    _by_part, _by_origin, _by_extras, _by_window, _by_kernel, _by_voltage, _by_phase, _by_echo, _by_echo_number,
    _by_exact_echo, _by_inversion, _by_flip, _by_b_value, _by_direction, _by_thickness, _by_field,
)  # fmt: skip
COVER_LESS = (_by_origin, _by_kernel, _by_thickness, _by_field)  # whose groups may each have places of their own
NUMBERED = (_by_position_in_time, _by_acquisition)  # which tell time points apart where no slice lies at one place


def _by_number(
    planes: list[Plane], key: Callable[[Plane], float], near: float = SAME_NUMBER
) -> list[tuple[float, list[Plane]]]:
    """Groups of nearly the same number (apart by a part `near` of it, at most), rising, each with its first."""
    groups: list[tuple[float, list[Plane]]] = []
    before = UNKNOWN
    for value, group in sorted(grouped(planes, key).items()):
        if groups and value - before <= near * abs(value):
            groups[-1][1].extend(group)
        else:
            groups.append((value, group))
        before = value
    return [(value, sorted(group, key=lambda plane: plane.sequence)) for value, group in groups]


def _counted(word: str, groups: Sequence[tuple[float, list[Plane]]]) -> list[Named]:
    return [(f"{word} {number} of {len(groups)}", group) for number, (_, group) in enumerate(groups, 1)]


def in_words(groups: dict[tuple[str, ...], list[Plane]]) -> list[Named]:
    """Groups by words of ImageType, named by the words that they do not share."""
    shared = set.intersection(*map(set, groups))
    return [
        (
            " ".join(PARTS.get(word, word.lower()) for word in words if word not in shared).replace(
                "localizer", "localiser"
            ),
            group,
        )
        for words, group in groups.items()
    ]


def clusters(values: Iterable[Any], reach: Callable[[Any], float]) -> dict[Any, Any]:
    """Each vector's group, named by its smallest: chains of vectors no part of which is farther off than `reach`.

    No rounding, and no order of the files.
    """
    ordered = sorted(set(values))
    group: dict[Any, Any] = {}
    start = 0
    for number, value in enumerate(ordered):
        amount = reach(value) if value else 0.0
        while len(ordered[start]) < len(value) or (value and ordered[start][0] < value[0] - amount):
            start += 1
        near = sorted({group[other] for other in ordered[start:number] if max(map(_apart, other, value)) <= amount})
        group[value] = near[0] if near else value
        if len(near) > 1:
            group = {other: near[0] if name in near else name for other, name in group.items()}
    return group


def _apart(one: float, other: float) -> float:
    return abs(one - other)


def joined(*words: str) -> str:
    """Those of the words that are not empty."""
    return ", ".join(word for word in words if word)
