"""Siemens mosaic: all slices of a volume side by side in one square picture."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.dicom_place import Plane, Triple, private, private_block, words
from medtl.scans.quiet import without_warnings

CREATOR = "SIEMENS CSA HEADER"
NO_HEADER = (
    "a Siemens mosaic without the private header that tells its slices apart: export the series again, "
    "with private fields or not as a mosaic"
)


def is_mosaic(elements: Any) -> bool:
    """Whether the picture is a mosaic of slices."""
    return "MOSAIC" in words(elements, "ImageType")


def mosaic_planes(elements: Any, whole: Plane) -> list[Plane]:
    """The place of each slice in a mosaic, lying side by side in the order of the private Siemens (CSA) header.

    The public position is that of a square as large as the mosaic around the centre of the first slice, so the first
    slice's own corner lies inwards of it by half the difference in size. As nibabel has it ("Siemens mosaic" in its
    documentation), after Siemens' own account.

    Args:
        elements: the header: `Elements`, or a pydicom Dataset.
        whole: the plane of the picture as it is.

    Raises:
        ScanError: the CSA header, without which slices cannot be told apart, is missing or damaged.
    """
    count, direction = _csa(elements)
    between = whole.between if math.isfinite(whole.between) else whole.thickness
    if not math.isfinite(between):
        raise ScanError(NO_HEADER)
    grid = math.ceil(math.sqrt(count))
    rows, columns = whole.size[0] // grid, whole.size[1] // grid
    tile = replace(whole, size=(rows, columns), between=between)
    if whole.position is None or whole.orientation is None or not whole.placed:
        return [replace(tile, frame=k, position=None, orientation=None) for k in range(count)]
    inwards = (1 - 1 / grid) / 2
    down, right = inwards * whole.size[0] * whole.spacing[0], inwards * whole.size[1] * whole.spacing[1]
    row, column = whole.orientation[:3], whole.orientation[3:]
    corner = [p + right * r + down * c for p, r, c in zip(whole.position, row, column, strict=True)]
    places: list[Triple] = [
        (
            corner[0] + k * between * direction[0],
            corner[1] + k * between * direction[1],
            corner[2] + k * between * direction[2],
        )
        for k in range(count)
    ]
    return [replace(tile, frame=k, position=place) for k, place in enumerate(places)]


def mosaic_slices(elements: Any, values: np.ndarray) -> np.ndarray:
    """A mosaic (1, rows, columns) as its slices (slices, rows / grid, columns / grid), not copied where numpy can."""
    count = _csa(elements)[0]
    grid = math.ceil(math.sqrt(count))
    rows, columns = values.shape[1] // grid, values.shape[2] // grid
    if rows * grid != values.shape[1] or columns * grid != values.shape[2]:
        raise ScanError("the Siemens mosaic does not divide into its slices: export the series again, not as a mosaic")
    tiles = values[0].reshape(grid, rows, grid, columns).swapaxes(1, 2).reshape(grid * grid, rows, columns)
    return tiles[:count]


def _csa(elements: Any) -> tuple[int, Triple]:
    """Number of slices, and the direction LPS from each to the next."""
    try:
        at = private_block(elements, 0x0029, CREATOR)
        if not at:
            raise ScanError(NO_HEADER)
        count, direction = _of_csa(bytes(private(elements, 0x0029, at + 0x10)))
    except ScanError:
        raise
    except Exception as error:
        raise ScanError(NO_HEADER) from error
    if not count or not 0 < count <= 4096 or direction is None:
        raise ScanError(NO_HEADER)
    x, y, z = (float(part) for part in direction)
    return int(count), (x, y, z)


@lru_cache(maxsize=16)  # a file's is asked for twice: for its planes, and for its slices
def _of_csa(header: bytes) -> tuple[Any, Any]:
    with without_warnings:  # nibabel calls its own reader experimental
        from nibabel.nicom import csareader

    csa: Any = csareader.read(header)
    return csareader.get_n_mosaic(csa), csareader.get_slice_normal(csa)
