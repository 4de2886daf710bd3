"""The slices of a DICOM series as stacks: told apart, put in order, and looked over for gaps.

One series may hold several stacks: localisers in three directions, several echoes, b-values or time points, the
magnitude and the phase. What tells them apart is used only where it must be: a field that differs from slice to slice
(a time, an acquisition number of an axial CT) never tears a stack into single slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from medtl.scans.dicom_heights import Heights
from medtl.scans.dicom_place import Plane, grouped, normal
from medtl.scans.dicom_stack import Stack, missing_words, picture_stack, slice_stack
from medtl.scans.dicom_told_apart import SAME_DIRECTION, Named, Volume, clusters, in_words, joined, told_apart

SAME_SPACING = 1e-3  # part by which pixel spacings of one stack may differ
TANGLED = (
    "there more than once, and nothing in the headers tells which pictures belong together: export each volume "
    "(reconstruction, phase, echo ...) as a series of its own"
)
SLICED = ("CT", "MR", "PT")  # whose series of several files are slices, never single views
VIEWS = ("sagittal", "coronal", "axial")  # by the largest part of the slice normal

OnGap = Literal["error", "resample", "keep"]


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
    spacing = clusters([plane.spacing for plane in planes], lambda one: SAME_SPACING * one[0])
    direction = clusters([plane.orientation for plane in planes], lambda _: SAME_DIRECTION)
    groups = grouped(
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
    heights = Heights(planes)
    result: dict[tuple[int, ...], tuple[Plane, list[Stack]]] = {}
    for typed, group in _by_type(planes, heights):
        for volume in told_apart(group, heights):
            first = min(volume.planes, key=lambda plane: plane.sequence)
            before, stacks = result.get(tuple(volume.expected), (first, []))
            stacks.append(_stack(joined(words, typed, volume.words), volume, heights, on_gap))
            result[tuple(volume.expected)] = min(before, first, key=lambda plane: plane.sequence), stacks
    return list(result.values())


def _by_type(planes: list[Plane], heights: Heights) -> list[Named]:
    """By the kind of picture (ImageType's first three words) and the stack's name in an enhanced object.

    Three or more slices that make one whole stack together are one, whatever kinds they name.
    """
    whole = len(planes) > 2 and heights.whole(planes)
    stacks = grouped(planes, lambda plane: plane.kind.stack)
    if len(stacks) > 1 and not (whole and min(map(len, stacks.values())) == 1):
        return [
            (joined(f"stack {stack}", words), group)
            for stack, own in stacks.items()
            for words, group in _by_words(own, heights, len(own) > 2 and heights.whole(own))
        ]
    return _by_words(planes, heights, whole)


def _by_words(planes: list[Plane], heights: Heights, whole: bool) -> list[Named]:
    """By ImageType: all three words where each part makes a whole stack, else the third (AXIAL, LOCALIZER, MPR ...).

    Single slices of a series may be DERIVED (compressed later, say) and belong to the others all the same.
    """
    if whole:
        return [("", planes)]
    groups = grouped(planes, lambda plane: plane.kind.type)
    if not all(heights.whole(group) for group in groups.values()):
        groups = grouped(planes, lambda plane: plane.kind.type[2:])
    return in_words(groups)


def _stack(words: str, volume: Volume, heights: Heights, on_gap: OnGap) -> Stack:
    """A volume's slices in order, looked over."""
    by_place = {heights.place(plane): plane for plane in volume.planes}
    ordered = [by_place[place] for place in sorted(by_place)]
    count = len(volume.expected)
    absent, twice = (
        missing_words([k for k, place in enumerate(volume.expected, 1) if place in places], count) if places else ""
        for places in (set(volume.expected) - set(by_place), set(volume.twice))
    )
    stack = slice_stack(ordered, heights.axis, words, on_gap, absent, twice)
    return replace(stack, problem=f"{twice} {TANGLED}") if volume.tangled else stack
