"""Where DICOM pictures lie in the patient: slices put in order, and their affine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom

from medtl.errors import ScanError
from medtl.scans.dicom_pixels import functional_groups

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE = 0.01  # mm; what positions written with a few decimals differ by
SAME_DIRECTION = 1e-3  # of a unit vector
UNEVEN = 0.1  # part of the slice distance by which a slice may stand off its place
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Plane:
    """One slice's place, as its header gives it.

    Attributes:
        file: which of the series' files.
        frame: which frame of that file.
        order: the file's instance number, to tell time points apart.
        position: mm (3,) LPS, the centre of the first pixel; None where not known.
        orientation: (6,) direction along a row, then along a column, LPS unit vectors; None where not known.
        spacing: mm (between rows, between columns), nan where not known.
        thickness: mm between slices as the header says, nan where it does not.
    """

    file: int
    frame: int
    order: float
    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float]
    thickness: float

    @property
    def placed(self) -> bool:
        """Whether the header says where the slice lies in the patient."""
        return self.position is not None and self.orientation is not None and bool(np.isfinite(self.spacing).all())

    @property
    def height(self) -> float:
        """Mm along the slice normal."""
        assert self.position is not None and self.orientation is not None
        return float(self.position @ normal(self.orientation))


def numbers(dataset: Any, keyword: str, count: int) -> np.ndarray | None:
    """The `count` finite numbers of a header field, or None where they are not all there."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return None
        array = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None
    return array if array.shape == (count,) and np.isfinite(array).all() else None


def normal(orientation: np.ndarray) -> np.ndarray:
    """The slice normal (3,) of ImageOrientationPatient (6,)."""
    return np.cross(orientation[:3], orientation[3:])


def planes(dataset: pydicom.Dataset, file: int, frames: int) -> list[Plane]:
    """The place of each frame of a file, from its header or its functional groups (enhanced CT and MR)."""
    number = numbers(dataset, "InstanceNumber", 1)
    order = float(number[0]) if number is not None else float(file)
    if frames > 1 and not dataset.get("PerFrameFunctionalGroupsSequence"):
        spacing = _in_plane(dataset, dataset)
        return [Plane(file, frame, order, None, None, spacing, UNKNOWN) for frame in range(frames)]  # frames are time
    result = []
    for frame in range(frames):
        places, directions, measures = (
            _group(dataset, frame, name)
            for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        )
        thickness = numbers(measures, "SpacingBetweenSlices", 1)
        if thickness is None:
            thickness = numbers(measures, "SliceThickness", 1)
        result.append(
            Plane(
                file=file,
                frame=frame,
                order=order,
                position=numbers(places, "ImagePositionPatient", 3),
                orientation=_unit_vectors(numbers(directions, "ImageOrientationPatient", 6)),
                spacing=_in_plane(measures, dataset),
                thickness=float(abs(thickness[0])) if thickness is not None and thickness[0] != 0 else UNKNOWN,
            )
        )
    return result


def in_order(slices: Sequence[Plane]) -> tuple[list[Plane], int]:
    """Sort slices along their normal and keep the first time point of each.

    Returns:
        the slices of one volume, from the lowest along the slice normal to the highest; how many volumes there were.

    Raises:
        ScanError: the slices do not make one stack.
    """
    if not any(plane.placed for plane in slices):
        return sorted(slices, key=lambda plane: (plane.order, plane.file, plane.frame)), 1
    if not all(plane.placed for plane in slices):
        raise ScanError("some slices of the series do not say where they lie in the patient: export the series again")
    first = slices[0]
    assert first.orientation is not None
    for plane in slices[1:]:
        assert plane.orientation is not None
        if np.abs(plane.orientation - first.orientation).max() > SAME_DIRECTION:
            raise ScanError(
                "the series holds slices of different directions (a localiser?): index each stack by itself"
            )
        if not np.allclose(plane.spacing, first.spacing, rtol=1e-3):
            raise ScanError("the series holds slices of different pixel spacing: index each stack by itself")
    in_height = sorted(slices, key=lambda plane: (plane.height, plane.order, plane.frame))
    stacks: list[list[Plane]] = []
    for plane in in_height:
        if stacks and plane.height - stacks[-1][0].height < SAME_PLACE:
            stacks[-1].append(plane)
        else:
            stacks.append([plane])
    volume = [min(stack, key=lambda plane: (plane.order, plane.file, plane.frame)) for stack in stacks]
    _refuse_gaps(volume)
    return volume, max(len(stack) for stack in stacks)


def affine_and_spacing(volume: Sequence[Plane]) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    """The affine (4x4, index (slice, row, column) to RAS+ mm) and the spacing in mm of slices in order.

    The affine is None, and a spacing nan, where the headers do not say: nothing is made up.
    """
    first = volume[0]
    if not first.placed:
        return None, (UNKNOWN, *first.spacing)
    assert first.position is not None and first.orientation is not None
    if len(volume) > 1:
        last = volume[-1].position
        assert last is not None
        step = (last - first.position) / (len(volume) - 1)  # shears with a tilted gantry, as the patient was scanned
    else:
        step = normal(first.orientation) * first.thickness
    between = float(np.linalg.norm(step))
    if not np.isfinite(between):
        return None, (UNKNOWN, *first.spacing)
    lps = np.eye(4)
    lps[:3, 0] = step
    lps[:3, 1] = first.orientation[3:] * first.spacing[0]
    lps[:3, 2] = first.orientation[:3] * first.spacing[1]
    lps[:3, 3] = first.position
    return LPS_TO_RAS @ lps, (between, *first.spacing)


def _refuse_gaps(volume: Sequence[Plane]) -> None:
    heights = np.array([plane.height for plane in volume])
    if len(heights) < 3:
        return
    steps = np.diff(heights)
    usual = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - usual)))
    if abs(steps[worst] - usual) <= max(UNEVEN * usual, 2 * SAME_PLACE):
        return
    if steps[worst] > 1.5 * usual:
        raise ScanError(
            f"slice {worst + 2} of {len(heights) + round(steps[worst] / usual) - 1} is missing (a gap of "
            f"{steps[worst]:.1f} mm where slices stand {usual:.1f} mm apart): export the whole series"
        )
    raise ScanError(
        f"the slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm apart): "
        "they may be several stacks, index each by itself"
    )


def _group(dataset: pydicom.Dataset, frame: int, sequence: str) -> Any:
    """The item that holds a frame's facts, or the file itself where it has no functional groups."""
    for group in functional_groups(dataset, frame):
        if group.get(sequence):
            return group[sequence].value[0]
    return dataset


def _unit_vectors(orientation: np.ndarray | None) -> np.ndarray | None:
    """The two directions at length 1; None where they are not two directions at a right angle."""
    if orientation is None:
        return None
    along_row, along_column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not all(0.99 < length < 1.01 for length in lengths) or abs(along_row @ along_column) > 0.01:
        return None
    return np.concatenate([along_row / lengths[0], along_column / lengths[1]])


def _in_plane(measures: Any, dataset: pydicom.Dataset) -> tuple[float, float]:
    """Mm between rows and between columns.

    PixelSpacing, else that of the detector or the digitiser (projection radiographs), else of the one calibrated
    ultrasound region.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = numbers(measures, keyword, 2)
        if spacing is not None and (spacing > 0).all():
            return float(spacing[0]), float(spacing[1])
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    steps = set()
    for region in regions:
        units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
        rows, columns = numbers(region, "PhysicalDeltaY", 1), numbers(region, "PhysicalDeltaX", 1)
        if units == (3, 3) and rows is not None and columns is not None:  # 3: centimetres
            steps.add((abs(float(rows[0])) * 10, abs(float(columns[0])) * 10))
    if len(steps) == 1 and min(min(steps)) > 0:
        return steps.pop()
    return UNKNOWN, UNKNOWN
