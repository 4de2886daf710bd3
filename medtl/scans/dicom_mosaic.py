"""Siemens mosaic: all slices of a volume side by side in one square picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pydicom

from medtl.errors import ScanError
from medtl.scans.dicom_place import Plane, numbers, planes


def is_mosaic(dataset: pydicom.Dataset) -> bool:
    """Whether the picture is a mosaic of slices."""
    image_type = dataset.get("ImageType") or ()
    return "MOSAIC" in ([image_type] if isinstance(image_type, str) else list(image_type))


def mosaic_planes(dataset: pydicom.Dataset, file: int) -> list[Plane]:
    """The place of each slice in a mosaic, lying side by side in the order of the private Siemens (CSA) header.

    The public position is that of a square as large as the mosaic around the centre of the first slice, so the first
    slice's own corner lies inwards of it by half the difference in size. As nibabel has it ("Siemens mosaic" in its
    documentation), after Siemens' own account.

    Raises:
        ScanError: the CSA header, without which slices cannot be told apart, is missing or damaged.
    """
    count, direction, between = _csa(dataset)
    grid = math.ceil(math.sqrt(count))
    whole = planes(dataset, file, 1)[0]
    if not whole.placed:
        return [Plane(file, k, whole.order, None, None, whole.spacing, between) for k in range(count)]
    assert whole.position is not None and whole.orientation is not None
    inwards = (1 - 1 / grid) / 2 * np.array([int(dataset.Columns), int(dataset.Rows)]) * np.array(whole.spacing)[::-1]
    corner = whole.position + inwards[0] * whole.orientation[:3] + inwards[1] * whole.orientation[3:]
    return [
        Plane(file, k, whole.order, corner + k * between * direction, whole.orientation, whole.spacing, between)
        for k in range(count)
    ]


def mosaic_slices(dataset: pydicom.Dataset, values: np.ndarray) -> np.ndarray:
    """Cut a mosaic (1, rows, columns) into its slices (slices, rows / grid, columns / grid)."""
    count = _csa(dataset)[0]
    grid = math.ceil(math.sqrt(count))
    rows, columns = values.shape[1] // grid, values.shape[2] // grid
    if rows * grid != values.shape[1] or columns * grid != values.shape[2]:
        raise ScanError("the Siemens mosaic does not divide into its slices: export the series again, not as a mosaic")
    tiles = values[0].reshape(grid, rows, grid, columns).swapaxes(1, 2).reshape(grid * grid, rows, columns)
    return np.ascontiguousarray(tiles[:count])


def _csa(dataset: pydicom.Dataset) -> tuple[int, np.ndarray, float]:
    """Number of slices, the direction (3,) LPS from each to the next, and mm between them."""
    from nibabel.nicom import csareader

    refuse = ScanError(
        "a Siemens mosaic without the private header that tells its slices apart: export the series again, "
        "with private fields or not as a mosaic"
    )
    try:
        csa: Any = csareader.get_csa_header(dataset, "image")
        count, direction = csareader.get_n_mosaic(csa), csareader.get_slice_normal(csa)
    except Exception as error:
        raise refuse from error
    between = numbers(dataset, "SpacingBetweenSlices", 1)
    if between is None:
        between = numbers(dataset, "SliceThickness", 1)
    if not count or not 0 < count <= 4096 or direction is None or between is None:
        raise refuse
    return int(count), np.asarray(direction, dtype=float), float(between[0])
