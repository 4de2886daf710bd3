"""Slices that lie at one place, told apart: echoes, b-values, magnitude and phase ... and time points.

What tells them apart is used only where it must be, and where it deals the slices into volumes: a field that differs
from slice to slice (a time, an acquisition number of an axial CT) never tears a stack into single slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from medtl.scans.dicom_heights import Heights
from medtl.scans.dicom_place import UNKNOWN, UNSAID, Plane, dot

SAME_DIRECTION = 1e-3  # of a unit vector
SAME_NUMBER = 0.02  # part by which echo times and b-values of one volume may differ
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
    """

    words: str
    planes: list[Plane]
    expected: list[int]
    twice: Sequence[int] = ()


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
    if most == 1:
        return [Volume("", planes, expected)]
    for attribute in ATTRIBUTES:
        parts = attribute(planes, heights)
        if 1 < len(parts) <= most and all(heights.most(part) < most for _, part in parts):
            own_places = attribute in COVER_LESS
            return [
                volume._replace(words=joined(words, volume.words))
                for words, part in parts
                for volume in told_apart(part, heights, None if own_places else expected)
            ]
    volumes = _by_time(planes, heights, most)
    if volumes is not None:
        return [Volume(f"time {number} of {most}", volume, expected) for number, volume in enumerate(volumes, 1)]
    places = heights.places(planes)
    twice = [heights.place(place[0]) for place in places if len(place) > 1]
    return [Volume("", [place[0] for place in places], expected, twice)]


def _by_time(planes: list[Plane], heights: Heights, most: int) -> list[list[Plane]] | None:
    """`most` volumes of one slice a place, in the order of time, or None where the slices do not make any.

    The first field that deals the slices into volumes tells the time: temporal position, acquisition number, trigger,
    acquisition or content time, a dimension index. Else, where every place has as many slices, each place's slices in
    the order of those fields and of the instance number; else the instance numbers, cut where a place comes again.
    """
    places = heights.places(planes)

    def whole(volumes: Sequence[list[Plane]], cut_off: bool) -> bool:
        """Whether each has one slice a place; of three or more, one may be cut off."""
        filled = [len(set(map(heights.place, volume))) for volume in volumes]
        if len(volumes) != most or any(fill != len(volume) for fill, volume in zip(filled, volumes, strict=True)):
            return False
        return cut_off or sum(fill < len(places) for fill in filled) <= (1 if most > 2 else 0)

    for number in range(min(len(plane.times) for plane in planes)):
        values: dict[float, list[Plane]] = {}
        for plane in planes:
            values.setdefault(plane.times[number], []).append(plane)
        volumes = [values[value] for value in sorted(values)]
        if UNSAID not in values and whole(volumes, cut_off=number == 0):
            return volumes
    if all(len(place) == most for place in places):
        ranked = [sorted(place, key=lambda plane: (plane.times, plane.sequence)) for place in places]
        return [list(volume) for volume in zip(*ranked, strict=True)]
    volumes, seen = [], set[int]()
    for plane in sorted(planes, key=lambda plane: plane.sequence):
        if not volumes or heights.place(plane) in seen:
            volumes.append([])
            seen.clear()
        volumes[-1].append(plane)
        seen.add(heights.place(plane))
    return volumes if whole(volumes, cut_off=False) else None


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


def _by_echo(planes: list[Plane], _: Heights) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.echo)
    return [(f"echo {number} of {len(groups)}", group) for number, (_, group) in enumerate(groups, 1)]


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


ATTRIBUTES: tuple[Callable[[list[Plane], Heights], list[Named]], ...] = (
    _by_part, _by_origin, _by_extras, _by_window, _by_echo, _by_b_value, _by_direction, _by_thickness, _by_field,
)  # fmt: skip
COVER_LESS = (_by_origin, _by_thickness, _by_field)  # whose groups may each have places of their own


def grouped(planes: Iterable[Plane], key: Callable[[Plane], Any]) -> dict[Any, list[Plane]]:
    """The planes of each key, as they come."""
    groups: dict[Any, list[Plane]] = {}
    for plane in planes:
        groups.setdefault(key(plane), []).append(plane)
    return groups


def _by_number(planes: list[Plane], key: Callable[[Plane], float]) -> list[tuple[float, list[Plane]]]:
    """Groups of nearly the same number, rising, each with its first."""
    groups: list[tuple[float, list[Plane]]] = []
    before = UNKNOWN
    for value, group in sorted(grouped(planes, key).items()):
        if groups and value - before <= SAME_NUMBER * abs(value):
            groups[-1][1].extend(group)
        else:
            groups.append((value, group))
        before = value
    return [(value, sorted(group, key=lambda plane: plane.sequence)) for value, group in groups]


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
