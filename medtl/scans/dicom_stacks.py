"""The slices of a DICOM series as stacks: told apart, put in order, and looked over for gaps.

One series may hold several stacks: localisers in three directions, several echoes, b-values or time points, the
magnitude and the phase. What tells them apart is used only where it must be: a field that differs from slice to slice
(a time, an acquisition number of an axial CT) never tears a stack into single slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from medtl.scans.dicom_place import UNKNOWN, UNSAID, Plane, Triple, dot, normal
from medtl.scans.dicom_stack import SAME_PLACE, Stack, missing_words, picture_stack, slice_stack

SAME_DIRECTION = 1e-3  # of a unit vector
SAME_SPACING = 1e-3  # part by which pixel spacings of one stack may differ
SAME_NUMBER = 0.02  # part by which echo times and b-values of one volume may differ
BESIDE = 1.0  # mm from which on slices at one height lie beside one another
SLICED = ("CT", "MR", "PT")  # whose series of several files are slices, never single views
PARTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
VIEWS = ("sagittal", "coronal", "axial")  # by the largest part of the slice normal

OnGap = Literal["error", "resample", "keep"]
Named = tuple[str, list[Plane]]  # the words for what sets a group apart, and its planes


def split_stacks(planes: Sequence[Plane], on_gap: OnGap = "error") -> list[Stack]:
    """Split the slices of one series into stacks.

    Args:
        planes: of all files of the series, in any order.
        on_gap: what becomes of missing, duplicate, uneven and askew slices: "error" (the stack has a `problem`),
            "resample" (onto even spacing, upright) or "keep" (as they are).

    Returns:
        the stacks, in an order that does not hang on the order of the files: by instance number, then echo, b-value
        and time. Stacks of one `place` cover the same slices (echoes, b-values, time points ...).
    """
    once = list({_identity(plane): plane for plane in sorted(planes, key=lambda plane: plane.sequence)[::-1]}.values())
    once.sort(key=lambda plane: plane.sequence)
    placed = [plane for plane in once if plane.placed]
    groups: list[tuple[Plane, list[Stack]]] = [(group[0], [stack]) for group, stack in _pictures(once, placed, on_gap)]
    for words, group in _by_geometry(placed):
        groups += _of_one_direction(words, group, on_gap)
    groups.sort(key=lambda group: group[0].sequence)
    stacks = [replace(stack, place=place) for place, (_, own) in enumerate(groups) for stack in own]
    return _numbered(stacks)


def _identity(plane: Plane) -> tuple[Any, ...]:
    """The same for the same object sent twice; some anonymisers give all slices one UID, so the place counts too."""
    if not plane.copy:
        return plane.file, plane.frame
    return plane.copy, plane.frame, plane.order, plane.position


def _numbered(stacks: list[Stack]) -> list[Stack]:
    """Names that several stacks share get a number; the only stack needs no name."""
    if len(stacks) == 1:
        return [replace(stacks[0], name="")]
    often, seen = Counter(stack.name for stack in stacks), Counter[str]()
    result = []
    for stack in stacks:
        seen[stack.name] += 1
        count = often[stack.name]
        number = f" {seen[stack.name]} of {count}" if count > 1 else ""
        result.append(replace(stack, name=(stack.name or "volume") + number))
    return result


def _pictures(once: list[Plane], placed: list[Plane], on_gap: OnGap) -> list[tuple[list[Plane], Stack]]:
    """Slices that do not say where they lie: each file a picture (or a loop), or slices of a CT, MR or PET refused."""
    sizes = {plane.size for plane in placed}
    groups: dict[Any, list[Plane]] = {}
    for plane in once:
        if not plane.placed:
            sliced = plane.modality in SLICED
            groups.setdefault(plane.size if sliced else plane.file, []).append(plane)
    result = []
    for group in groups.values():
        files = {plane.file for plane in group}
        lost = group[0].modality in SLICED and (len(files) > 1 or group[0].size in sizes)
        result.append((group, picture_stack(group, "picture", lost, on_gap)))
    return result


def _by_geometry(planes: list[Plane]) -> list[Named]:
    """Groups of one matrix size, pixel spacing and direction; the words say what sets them apart."""
    if not planes:
        return []
    spacing = _clusters([plane.spacing for plane in planes], lambda one: SAME_SPACING * one[0])
    direction = _clusters([plane.orientation for plane in planes], lambda _: SAME_DIRECTION)
    groups = _grouped(
        planes,
        lambda plane: (plane.size, spacing[plane.spacing], direction[plane.orientation], plane.in_patient),
    )
    sizes: dict[Any, set[Any]] = {}
    spacings: dict[Any, set[Any]] = {}
    for size, spaced, directed, _ in groups:
        sizes.setdefault(directed, set()).add(size)
        spacings.setdefault((directed, size), set()).add(spaced)
    result = []
    for (size, spaced, directed, _), group in groups.items():
        words = [_view(group)] if len(sizes) > 1 else []
        if len(sizes[directed]) > 1:
            words.append(f"{size[0]} x {size[1]} pixels")
        if len(spacings[directed, size]) > 1:
            words.append(f"pixels of {spaced[0]:.3g} x {spaced[1]:.3g} mm")
        result.append((", ".join(words), group))
    return result


def _view(planes: list[Plane]) -> str:
    if all("LOCALIZER" in plane.kind.type for plane in planes):
        return "localiser"
    assert planes[0].orientation is not None
    parts = [abs(part) for part in normal(planes[0].orientation)]
    return VIEWS[parts.index(max(parts))]


def _of_one_direction(words: str, planes: list[Plane], on_gap: OnGap) -> list[tuple[Plane, list[Stack]]]:
    """The stacks of slices that lie in one direction, each with the first plane of those at its place."""
    assert planes[0].orientation is not None
    axis = normal(planes[0].orientation)
    result: list[tuple[list[float], Plane, list[Stack]]] = []
    for typed, group in _by_type(planes, axis):
        stacks = _at_one_place(_join(words, typed), group, axis, on_gap)
        heights = [dot(place[0].position or (), axis) for place in _places(group, axis)]
        for others, _, own in result:
            if len(others) == len(heights) and all(
                abs(one - other) < SAME_PLACE for one, other in zip(others, heights, strict=True)
            ):
                own += stacks
                break
        else:
            result.append((heights, group[0], stacks))
    return [(first, stacks) for _, first, stacks in result]


def _by_type(planes: list[Plane], axis: Triple) -> list[Named]:
    """By the kind of picture (ImageType's first three words) and the stack's name in an enhanced object.

    Three or more slices that make one whole stack together are one, whatever kinds they name.
    """
    whole = len(planes) > 2 and _whole(planes, axis)
    stacks = _grouped(planes, lambda plane: plane.kind.stack)
    if len(stacks) > 1 and not (whole and min(map(len, stacks.values())) == 1):
        return [
            (_join(f"stack {stack}", words), group)
            for stack, own in stacks.items()
            for words, group in _by_words(own, axis, len(own) > 2 and _whole(own, axis))
        ]
    return _by_words(planes, axis, whole)


def _by_words(planes: list[Plane], axis: Triple, whole: bool) -> list[Named]:
    """By ImageType: all three words where each part makes a whole stack, else the third (AXIAL, LOCALIZER, MPR ...).

    Single slices of a series may be DERIVED (compressed later, say) and belong to the others all the same.
    """
    if whole:
        return [("", planes)]
    groups = _grouped(planes, lambda plane: plane.kind.type)
    if not all(_whole(group, axis) for group in groups.values()):
        groups = _grouped(planes, lambda plane: plane.kind.type[2:])
    return _in_words(groups)


def _in_words(groups: dict[tuple[str, ...], list[Plane]]) -> list[Named]:
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


def _at_one_place(words: str, planes: list[Plane], axis: Triple, on_gap: OnGap) -> list[Stack]:
    """The stacks of slices of one direction and type: echoes, b-values, time points ... in order."""
    places = _places(planes, axis)
    of_place = {id(plane): number for number, place in enumerate(places) for plane in place}
    result = []
    for own, volume, twice in _told_apart(planes, axis):
        held = {of_place[id(plane)]: plane for plane in volume}
        ordered = [held[number] for number in sorted(held)]
        absent = [number + 1 for number in range(len(places)) if number not in held] if len(held) < len(places) else []
        few = missing_words(absent, len(places)) if 0 < len(absent) <= len(places) / 2 else ""
        result.append(slice_stack(ordered, axis, _join(words, own), on_gap, few, twice))
    return result


def _told_apart(planes: list[Plane], axis: Triple) -> list[tuple[str, list[Plane], str]]:
    """Volumes of at most one slice a place: their words, their planes, and which places held two slices by mistake."""
    most = _most(planes, axis)
    if most == 1:
        return [("", planes, "")]
    for attribute in ATTRIBUTES:
        parts = attribute(planes)
        if 1 < len(parts) <= most and all(_most(part, axis) < most for _, part in parts):
            return [
                (_join(word, words), volume, twice)
                for word, part in parts
                for words, volume, twice in _told_apart(part, axis)
            ]
    volumes = _by_time(planes, axis, most)
    if volumes is not None:
        return [(f"time {number} of {most}", volume, "") for number, volume in enumerate(volumes, 1)]
    places = _places(planes, axis)
    twice = [number for number, place in enumerate(places, 1) if len(place) > 1]
    return [("", [place[0] for place in places], missing_words(twice, len(places)))]


def _by_time(planes: list[Plane], axis: Triple, most: int) -> list[list[Plane]] | None:
    """`most` volumes of one slice a place, in the order of time, or None where the slices do not make any.

    The first field that deals the slices into volumes tells the time: temporal position, acquisition number, trigger,
    acquisition or content time, a dimension index. Else, where every place has as many slices, each place's slices in
    the order of those fields and of the instance number; else the instance numbers, cut where a place comes again.
    """
    places = _places(planes, axis)
    of_place = {id(plane): number for number, place in enumerate(places) for plane in place}

    def whole(volumes: Sequence[list[Plane]], cut_off: bool) -> bool:
        """Whether each has one slice a place; of three or more, one may be cut off."""
        filled = [len({of_place[id(plane)] for plane in volume}) for volume in volumes]
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
        if not volumes or of_place[id(plane)] in seen:
            volumes.append([])
            seen.clear()
        volumes[-1].append(plane)
        seen.add(of_place[id(plane)])
    return volumes if whole(volumes, cut_off=False) else None


def _by_part(planes: list[Plane]) -> list[Named]:
    """Magnitude, phase, real and imaginary part."""
    groups = _grouped(planes, lambda plane: next((word for word in plane.kind.extras if word in PARTS), ""))
    return [
        (PARTS.get(part, ""), group) for part, group in sorted(groups.items(), key=lambda item: "MPRI".find(item[0]))
    ]


def _by_origin(planes: list[Plane]) -> list[Named]:
    """Original or derived, primary or secondary."""
    return _in_words(_grouped(planes, lambda plane: plane.kind.type[:2]))


def _by_extras(planes: list[Plane]) -> list[Named]:
    """The maker's own words in ImageType (water, fat, in phase ...)."""
    return _in_words(_grouped(planes, lambda plane: plane.kind.extras))


def _by_window(planes: list[Plane]) -> list[Named]:
    groups = sorted(_grouped(planes, lambda plane: plane.kind.window).items())
    return [(f"energy window {number} of {len(groups)}", group) for number, (_, group) in enumerate(groups, 1)]


def _by_echo(planes: list[Plane]) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.echo)
    return [(f"echo {number} of {len(groups)}", group) for number, (_, group) in enumerate(groups, 1)]


def _by_b_value(planes: list[Plane]) -> list[Named]:
    groups = _by_number(planes, lambda plane: plane.kind.b_value)
    return [("no b-value" if value < 0 else f"b = {value:.0f}", group) for value, group in groups]


def _by_direction(planes: list[Plane]) -> list[Named]:
    same = _clusters([plane.kind.direction for plane in planes], lambda _: SAME_DIRECTION)
    groups = sorted(
        _grouped(planes, lambda plane: same[plane.kind.direction]).values(), key=lambda group: group[0].sequence
    )
    return [(f"direction {number} of {len(groups)}", group) for number, group in enumerate(groups, 1)]


def _by_thickness(planes: list[Plane]) -> list[Named]:
    known = [plane for plane in planes if plane.thickness == plane.thickness]
    if len(known) < len(planes):
        return [("", planes)]
    return [(f"{value:.3g} mm thick", group) for value, group in _by_number(planes, lambda plane: plane.thickness)]


def _by_field(planes: list[Plane]) -> list[Named]:
    """Slices at one height, but beside one another."""
    assert planes[0].orientation is not None
    axis = normal(planes[0].orientation)
    if not any(
        max(map(_apart, plane.position or (), place[0].position or ())) >= BESIDE
        for place in _places(planes, axis)
        for plane in place
    ):
        return [("", planes)]

    def beside(plane: Plane) -> tuple[float, ...]:
        assert plane.position is not None
        height = dot(plane.position, axis)
        return tuple(part - height * along for part, along in zip(plane.position, axis, strict=True))

    same = _clusters([beside(plane) for plane in planes], lambda _: BESIDE)
    groups = sorted(_grouped(planes, lambda plane: same[beside(plane)]).values(), key=lambda group: group[0].sequence)
    return [(f"field {number} of {len(groups)}", group) for number, group in enumerate(groups, 1)]


ATTRIBUTES: tuple[Callable[[list[Plane]], list[Named]], ...] = (
    _by_part, _by_origin, _by_extras, _by_window, _by_echo, _by_b_value, _by_direction, _by_thickness, _by_field,
)  # fmt: skip


def _grouped(planes: Iterable[Plane], key: Callable[[Plane], Any]) -> dict[Any, list[Plane]]:
    groups: dict[Any, list[Plane]] = {}
    for plane in planes:
        groups.setdefault(key(plane), []).append(plane)
    return groups


def _by_number(planes: list[Plane], key: Callable[[Plane], float]) -> list[tuple[float, list[Plane]]]:
    """Groups of nearly the same number, rising, each with its first."""
    groups: list[tuple[float, list[Plane]]] = []
    before = UNKNOWN
    for value, group in sorted(_grouped(planes, key).items()):
        if groups and value - before <= SAME_NUMBER * abs(value):
            groups[-1][1].extend(group)
        else:
            groups.append((value, group))
        before = value
    return [(value, sorted(group, key=lambda plane: plane.sequence)) for value, group in groups]


def _places(planes: list[Plane], axis: Triple) -> list[list[Plane]]:
    """The slices at each place along the normal, from the lowest up, each place's in their order."""
    rising = sorted((dot(plane.position or (), axis), plane.sequence, plane) for plane in planes)
    widest = max((upper[0] - lower[0] for lower, upper in pairwise(rising)), default=0.0)
    same = min(SAME_PLACE, max(1e-4, 0.1 * widest))  # slices of a microscope stand closer than that
    places: list[list[Plane]] = []
    start = UNKNOWN
    for height, _, plane in rising:
        if places and height - start <= same:
            places[-1].append(plane)
        else:
            places.append([plane])
            start = height
    return [sorted(place, key=lambda plane: plane.sequence) for place in places]


def _most(planes: list[Plane], axis: Triple) -> int:
    return max(map(len, _places(planes, axis)))


def _whole(planes: list[Plane], axis: Triple) -> bool:
    """Whether the slices make one stack without fault: one a place, two or more of them, evenly spaced."""
    places = _places(planes, axis)
    if len(places) < 2 or len(places) < len(planes):
        return False
    return not slice_stack([place[0] for place in places], axis, "", "error", "", "").problem


def _clusters(values: Iterable[Any], reach: Callable[[Any], float]) -> dict[Any, Any]:
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


def _join(*words: str) -> str:
    return ", ".join(word for word in words if word)
