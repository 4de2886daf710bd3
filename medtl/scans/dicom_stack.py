"""One stack of DICOM slices in order: is it whole, and where does it lie?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medtl.scans.dicom_place import UNKNOWN, Plane, Triple
from medtl.scans.dicom_resample import Grid

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE = 0.01  # mm; what positions written with a few decimals differ by
UNEVEN = 0.1  # part of the slice distance by which a slice may stand off its place
TILT = 0.5  # degrees between the slices' normal and the way from one to the next
ROUNDING = 0.2  # mm sideways over a whole stack that rounded positions may make up
BESIDE = 0.25  # of a pixel by which a slice may stand beside the line of the others

EITHER = "or give --on-gap resample or --on-gap keep"
NOWHERE = (
    "the slices do not say where they lie in the patient: export the series again with its positions, "
    "or give --on-gap keep to take them in the order of their numbers"
)


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices that make one picture or volume.

    Attributes:
        planes: in slice order, from the lowest along the slice normal to the highest; a loop's frames as they come.
        name: what sets it apart in its series, "" for the only stack: "echo 2 of 3", "time 4 of 10", "b = 1000" ...
        problem: "", or the sentence with which it is refused.
        notes: what is odd about it, "word: detail": "gantry tilt: 12.0 degrees" ...
        affine: 4x4, index (slice, row, column) to RAS+ mm, of the volume as it is read; None where not known.
        spacing: mm (between slices, between rows, between columns), nan where not known.
        size: (slices, rows, columns), as it is read.
        place: stacks of one series with the same number cover the same slices (echoes, time points ...).
        grid: the grid onto which it is resampled, None where it is read as it is.
    """

    planes: tuple[Plane, ...]
    name: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    affine: np.ndarray | None = None
    spacing: Triple = (UNKNOWN,) * 3
    size: tuple[int, int, int] = (0, 0, 0)
    place: int = 0
    grid: Grid | None = None


@dataclass
class _Findings:
    """What is wrong with a stack: sentences that refuse it, and the same as notes."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    even: bool = True  # whether the slices stand at even distances
    askew: bool = False  # whether they stand beside one another's normal

    def add(self, problem: str, note: str) -> None:
        if problem:
            self.problems.append(problem)
        self.notes.append(note)


def picture_stack(planes: Sequence[Plane], name: str, lost: bool, on_gap: str) -> Stack:
    """A stack of slices without a place: a picture, a loop's frames, or (`lost`) slices that should have one."""
    first = planes[0]
    ordered = tuple(sorted(planes, key=lambda plane: plane.sequence))
    notes = ("no position: slices in the order of their instance numbers",) if lost else ()
    return Stack(
        planes=ordered,
        name=name,
        problem=NOWHERE if lost and on_gap != "keep" else "",
        notes=notes,
        spacing=(UNKNOWN, *first.spacing),
        size=(len(ordered), *first.size),
    )


def slice_stack(planes: Sequence[Plane], axis: Triple, name: str, on_gap: str, few: str, twice: str) -> Stack:
    """A stack of placed slices, looked over.

    Args:
        planes: one a place, from the lowest along `axis` to the highest.
        axis: the slice normal (3,), LPS.
        name: the stack's name.
        on_gap: "error", "resample" or "keep".
        few: which slices are missing that other stacks of the series have, in words, or "".
        twice: at which places two different slices lie, in words, or "".
    """
    positions = np.array([plane.position for plane in planes])
    heights = (positions - positions[0]) @ np.array(axis)
    found = _Findings()
    if twice:
        found.add(
            f"{twice} there more than once, with different pictures: export the series again, or give --on-gap keep "
            "to take the first",
            f"duplicate slices: {_without_verb(twice)}",
        )
    _find_gaps(heights, found)
    if few and found.even:
        found.add(
            f"{few} missing, where the rest of the series has it: export the whole series, {EITHER}",
            f"missing slices: {_without_verb(few)}",
        )
    sideways = _find_askew(planes[0], positions, heights, found)
    _find_oddities(planes[0], heights, found)
    grid = None
    if on_gap == "resample" and (not found.even or found.askew):
        grid = _even_grid(planes[0], heights, sideways if found.askew else np.zeros((len(planes), 2)))
    problem = found.problems[0] if found.problems and on_gap == "error" else ""
    if on_gap == "resample" and not found.even and grid is None:
        problem = "more slices are missing than are there, too many to make up: export the whole series"
    affine, spacing = _affine_and_spacing(planes, heights, axis, found.even)
    size = (len(planes), *planes[0].size)
    if grid is not None:
        affine, spacing = _grid_affine_and_spacing(planes[0], axis, sideways, grid)
        size = grid.size
        found.notes.append(f"resampled: onto {size[0]} slices {spacing[0]:.3g} mm apart")
    if not planes[0].in_patient:
        affine = None
    return Stack(tuple(planes), name, problem, tuple(found.notes), affine, spacing, size, grid=grid)


def missing_words(numbers: Sequence[int], count: int) -> str:
    """Which slices, with the verb: "slice 14 of 62 is", "slices 3 to 5 of 12 are", "slices 3, 7 and 9 of 12 are"."""
    return _range_words([(number, number) for number in numbers], count) if numbers else ""


def _range_words(ranges: Sequence[tuple[int, int]], count: int) -> str:
    """As `missing_words`, of ranges (first, last) that do not overlap."""
    first, last = ranges[0][0], ranges[-1][1]
    many = sum(upper - lower + 1 for lower, upper in ranges)
    if many == 1:
        return f"slice {first} of {count} is"
    if many == last - first + 1:
        return f"slices {first} to {last} of {count} are"
    if many > 5:
        return f"{many} of {count} slices (the first is slice {first}) are"
    numbers = [number for lower, upper in ranges for number in range(lower, upper + 1)]
    return f"slices {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} of {count} are"


def _without_verb(words: str) -> str:
    return words.removeprefix("slices ").removeprefix("slice ").rsplit(" ", 1)[0]


def _usual(steps: np.ndarray) -> float:
    """The distance at which slices stand: the smallest, where all are multiples of it and many are it; else the median.

    So that every second slice may be missing in places.
    """
    small = float(np.median(steps[steps <= 1.5 * steps.min()]))
    times = np.rint(steps / small)
    if (np.abs(steps / small - times) <= UNEVEN).all() and (times == 1).mean() >= 1 / 3:
        return small
    return float(np.median(steps))


def _find_gaps(heights: np.ndarray, found: _Findings) -> None:
    """Missing slices, and distances that are not even."""
    if len(heights) < 3:
        return
    steps = np.diff(heights)
    usual = _usual(steps)
    apart = np.where(steps > 1.5 * usual, np.rint(steps / usual), 1).astype(int)
    number = np.concatenate([[0], np.cumsum(apart)])
    off = heights - heights[-1] * number / number[-1]
    allowed = max(UNEVEN * usual, min(2 * SAME_PLACE, 0.4 * usual))
    if (apart > 1).any():
        found.even = False
        absent = [(int(number[k]) + 2, int(number[k + 1])) for k in np.flatnonzero(apart > 1)]
        words = _range_words(absent, int(number[-1]) + 1)
        found.add(
            f"{words} missing (a gap of {steps.max():.1f} mm where slices stand {usual:.1f} mm apart): "
            f"export the whole series, {EITHER}",
            f"missing slices: {_without_verb(words)}",
        )
    elif np.abs(steps - usual).max() > allowed or np.abs(off).max() > allowed:
        found.even = False
        worst = int(np.argmax(np.abs(steps - usual)))
        found.add(
            f"the slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm apart; slices {worst + 1} and "
            f"{worst + 2} of {len(heights)} stand out): export the series again, {EITHER}",
            f"uneven spacing: {steps.min():.2f} to {steps.max():.2f} mm",
        )


def _find_askew(first: Plane, positions: np.ndarray, heights: np.ndarray, found: _Findings) -> np.ndarray:
    """Gantry tilt, and slices beside the line of the others.

    Returns:
        mm (slices, 2) by which each slice lies down and to the right of the first.
    """
    assert first.orientation is not None
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    sideways = (positions - positions[0]) @ np.stack([column, row], axis=1)
    if len(heights) < 2:
        return sideways
    reach = float(np.hypot(*sideways[-1]))
    tilt = math.degrees(math.atan2(reach, heights[-1]))
    beside = np.hypot(*(sideways - np.outer(heights / heights[-1], sideways[-1])).T)
    if beside.max() > max(BESIDE * min(first.spacing), ROUNDING):
        found.askew, found.even = True, False
        worst = int(np.argmax(beside)) + 1
        found.add(
            f"the slices do not lie above one another (slice {worst} of {len(heights)} by {beside.max():.1f} mm): "
            f"export the series again, {EITHER}",
            f"shifted slices: up to {beside.max():.1f} mm",
        )
    elif tilt > TILT and reach > ROUNDING:
        found.askew = True
        found.add(
            f"the gantry was tilted by {tilt:.1f} degrees, so that the slices lie askew: give --on-gap resample to "
            "straighten them, or --on-gap keep to take them as they are",
            f"gantry tilt: {tilt:.1f} degrees",
        )
    return sideways


def _find_oddities(first: Plane, heights: np.ndarray, found: _Findings) -> None:
    """What is legitimate, but worth a note."""
    if len(heights) < 2 or not found.even:
        return
    step = float(heights[-1]) / (len(heights) - 1)
    if first.thickness > step * 1.01 + SAME_PLACE:
        found.add("", f"overlapping slices: {first.thickness:.3g} mm thick, {step:.3g} mm apart")
    if abs(first.between - step) > UNEVEN * step:
        found.add("", f"slice distance: {step:.3g} mm, where the header says {first.between:.3g} mm")


def _even_grid(first: Plane, heights: np.ndarray, sideways: np.ndarray) -> Grid | None:
    """The even grid that holds all slices; None where it would make up more slices than there are."""
    usual = _usual(np.diff(heights))
    count = round(float(heights[-1]) / usual) + 1
    if count > 2 * len(heights):
        return None
    pixels = np.round((sideways - sideways.min(axis=0)) / np.array(first.spacing), 4)
    more = np.ceil(pixels.max(axis=0)).astype(int)
    return Grid(
        heights=tuple(heights.tolist()),
        down=tuple(pixels[:, 0].tolist()),
        right=tuple(pixels[:, 1].tolist()),
        size=(count, first.size[0] + int(more[0]), first.size[1] + int(more[1])),
    )


def _affine_and_spacing(
    planes: Sequence[Plane], heights: np.ndarray, axis: Triple, even: bool
) -> tuple[np.ndarray | None, Triple]:
    """The affine and spacing of slices as they are; the affine is None where no even one is honest."""
    first, last = planes[0], planes[-1]
    if len(planes) > 1:  # shears with a tilted gantry, as the patient was scanned
        step = (np.array(last.position) - np.array(first.position)) / (len(planes) - 1)
    else:
        step = np.array(axis) * (first.between if math.isfinite(first.between) else first.thickness)
    between = float(np.linalg.norm(step))
    if not even or not math.isfinite(between):
        return None, (UNKNOWN, *first.spacing)
    return _affine(first, np.array(first.position), step), (between, *first.spacing)


def _grid_affine_and_spacing(first: Plane, axis: Triple, sideways: np.ndarray, grid: Grid) -> tuple[np.ndarray, Triple]:
    assert first.orientation is not None
    step = grid.heights[-1] / (grid.size[0] - 1)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    corner = np.array(first.position) - (
        column * grid.down[0] * first.spacing[0] + row * grid.right[0] * first.spacing[1]
    )
    return _affine(first, corner, np.array(axis) * step), (step, *first.spacing)


def _affine(first: Plane, corner: Any, step: Any) -> np.ndarray:
    assert first.orientation is not None
    lps = np.eye(4)
    lps[:3, 0] = step
    lps[:3, 1] = np.array(first.orientation[3:]) * first.spacing[0]
    lps[:3, 2] = np.array(first.orientation[:3]) * first.spacing[1]
    lps[:3, 3] = corner
    return LPS_TO_RAS @ lps
