"""One picture or volume in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medtl.errors import ScanError

EXACT = 2**24  # float32 holds every whole number up to here
IN_COLOUR = 0.25  # the share of its pixels from which on the colours of a picture are more than letters and a logo


@dataclass(frozen=True)
class Scan:
    """One picture or volume in memory, in real units, at its place in the patient.

    Attributes:
        pixels: float32 (slices, rows, columns), or (slices, rows, columns, 3) for colour; a picture has one slice.
            After the modality LUT or rescale (HU for CT); MONOCHROME1 is already turned, so that more is brighter.
            No VOI window is applied. Colour is RGB.
        affine: float64 4x4, from the array index (slice, row, column, 1) to RAS+ mm, or None where the file
            does not know.
        modality: the DICOM code ("US", "CT", "MR", "CR", "DX", "MG", "PT" ...), "" where the file does not know.
        spacing: mm (between slices, between rows, between columns), nan where the file does not know.
        header: the few facts that later steps need, never an identifier: "manufacturer", "model", "photometric",
            "bits", "window_center", "window_width", "burned_in" (bool) ...; "rounded": the largest error with which
            float32 holds what the file says, there only where whole numbers were rounded.
    """

    pixels: np.ndarray
    affine: np.ndarray | None = None
    modality: str = ""
    spacing: tuple[float, float, float] = (float("nan"),) * 3
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def colour(self) -> bool:
        """Whether the last axis of `pixels` is red, green, blue."""
        return self.pixels.ndim == 4


def share_in_colour(pixels: np.ndarray) -> float:
    """The share of pixels (..., 3), 0 to 1, whose colours differ by more than a twentieth of the largest value."""
    return float(np.mean(np.ptp(pixels, axis=-1) > 0.05 * max(float(np.nanmax(pixels)), 1e-6)))


def to_float32(values: np.ndarray, step: float | None = None) -> tuple[np.ndarray, float]:
    """Values as float32, and the largest error of those whole numbers that float32 cannot hold.

    Args:
        values: numbers of any kind, any shape.
        step: what one of the whole numbers that were stored is worth in `values` (the rescale slope); None where
            `values` are as they were stored.

    Returns:
        float32, C order; the error, 0.0 where all whole numbers are exact.

    Raises:
        ScanError: a finite value is too large for float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        floats = np.ascontiguousarray(values, dtype=np.float32)
    deep = values.dtype.kind == "f" and values.dtype.itemsize > 4
    if deep and not np.isfinite(floats).all() and np.isinf(floats[np.isfinite(values)]).any():
        raise ScanError("some values are larger than 3.4e38, which no picture has: the file is damaged")
    if step is None:
        step = 1.0 if values.dtype.kind in "iu" else 0.0
    if not step or values.dtype.itemsize < 4 or not values.size:
        return floats, 0.0
    if max(abs(float(values.max())), abs(float(values.min()))) <= EXACT * abs(step):
        return floats, 0.0
    return floats, float(np.abs(values.astype(np.float64) - floats).max())


def finite_float32(values: np.ndarray, step: float | None = None) -> tuple[np.ndarray, float]:
    """As `to_float32`; voxels without a value become 0: SPM and FSL write NaN where a mask is, and read nothing there.

    Raises:
        ScanError: no voxel has a value.
    """
    floats, error = to_float32(values, step)
    finite = np.isfinite(floats)
    if not finite.any():
        raise ScanError("no voxel has a finite value: the file is damaged or was saved wrongly")
    return (floats if finite.all() else np.where(finite, floats, np.float32(0))), error
