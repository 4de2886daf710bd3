"""Looks at slices become looks at scans: the stacks of each series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from medtl.scans.dicom_place import Plane, renumber
from medtl.scans.dicom_stacks import OnGap, Stack, split_stacks
from medtl.scans.looks import STACKED, Look, spacing_in_words
from medtl.scans.privacy import keyed_hash


def stacks(looks: Sequence[Look], on_gap: OnGap = "error") -> list[Look]:
    """Slices of one stack become one scan, in slice order, where the first of their series stood.

    A series that holds several stacks (echoes, time points, a localiser's directions ...) becomes as many scans, each
    with a note that names it. What cannot be a volume, a slice being missing, say, is "unreadable" with the reason.

    Args:
        looks: one a file; those with `planes` belong to volumes.
        on_gap: "error", "resample" or "keep", as `read` has it.
    """
    series: dict[tuple[str, ...], list[Look]] = defaultdict(list)
    for look in looks:
        if look.planes:
            series[_series_of(look)].append(look)
    result = []
    for look in looks:
        if not look.planes:
            result.append(look)
        elif (key := _series_of(look)) in series:
            result += _split(series.pop(key), on_gap)
    return result


def _series_of(look: Look) -> tuple[str, ...]:
    """What the files of one series have in common; some anonymisers give two patients' series one UID."""
    if look.series and (look.modality in STACKED or look.modality in ("", "OT")):
        return look.series, look.patient, look.study
    return look.files


def _split(looks: Sequence[Look], on_gap: OnGap) -> Iterator[Look]:
    looks = _without_copies(looks)
    planes = renumber([look.planes for look in looks])
    found, mended = split_stacks(planes), False
    if on_gap != "error" and any(stack.problem for stack in found):
        found, mended = split_stacks(planes, on_gap), True
    splits = {tuple(range(len(looks))): found}  # of these files or some of them, as `read` will split them
    for stack in found:
        numbers = list(dict.fromkeys(plane.file for plane in stack.planes))
        first = looks[numbers[0]]
        content = first.content if _series_of(first) == first.files else first.whole
        look = replace(
            first,
            files=tuple(looks[number].files[0] for number in numbers),
            content=content if len(found) == 1 else keyed_hash(f"{content} {stack.name}", length=12),
            planes=(),
            slices=stack.size[0],
            volume=_volume_of(stack, planes, splits, on_gap if mended else "error"),
            spacing=spacing_in_words(stack.spacing),
            on_gap=on_gap if mended else "",
            status="unreadable" if stack.problem else first.status,
            reason=stack.problem or first.reason,
        )
        yield look.noting(stack.name, *stack.notes)


def _without_copies(looks: Sequence[Look]) -> list[Look]:
    """Sent twice is one slice; some anonymisers give all slices one name, and those that lie elsewhere are none."""
    first: dict[tuple[object, ...], Look] = {}
    for look in looks:
        places = tuple((plane.position, plane.order) for plane in look.planes)
        first.setdefault((look.content, places), look)
    return list(first.values())


def _volume_of(stack: Stack, planes: Sequence[Plane], splits: dict[tuple[int, ...], list[Stack]], on_gap: OnGap) -> str:
    """Which volume of its own files the stack is, as `read` counts them; "" where they hold no other."""
    files = tuple(sorted({plane.file for plane in stack.planes}))
    if files not in splits:
        of_these = set(files)
        splits[files] = split_stacks([plane for plane in planes if plane.file in of_these], on_gap)
    if len(splits[files]) == 1:
        return ""
    mine = (stack.planes[0].file, stack.planes[0].frame)
    return str(next(k for k, each in enumerate(splits[files]) if mine in {(p.file, p.frame) for p in each.planes}))
