"""Uneven or askew slices brought onto an even, upright grid by linear interpolation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """An even grid for slices of one direction, and where each slice lies on it.

    Attributes:
        heights: mm along the slice normal, rising, one a slice; the grid goes from the first to the last.
        down: rows by which each slice's first pixel lies below the grid's, none negative.
        right: columns by which it lies to the right of the grid's.
        size: (slices, rows, columns) of the grid.
    """

    heights: tuple[float, ...]
    down: tuple[float, ...]
    right: tuple[float, ...]
    size: tuple[int, int, int]


def resample(pixels: np.ndarray, grid: Grid, padding: float | None = None) -> np.ndarray:
    """The values on the grid: linear between the two slices beside each place, the smallest value outside the slices.

    Padding is not mixed with what is shown: a voxel has the values around it that are shown, each by its share, and is
    padding where they have less than half of it, or where it is outside the slices.

    Args:
        pixels: float32 (slices, rows, columns[, 3]), as many slices as the grid has heights.
        grid: the grid.
        padding: the value of pixels that show nothing; None where there are none.

    Returns:
        float32 of the grid's size, and the colours where there are any.
    """
    if padding is None:
        return _interpolated(pixels, grid, float(pixels.min()))
    shown = pixels != np.float32(padding)
    share = _interpolated(shown.astype(np.float32), grid, 0.0)
    result = _interpolated(np.where(shown, pixels, np.float32(0)), grid, 0.0)
    enough = share >= 0.5
    np.divide(result, share, out=result, where=enough)
    result[~enough] = padding
    return result


def _interpolated(pixels: np.ndarray, grid: Grid, fill: float) -> np.ndarray:
    heights = np.asarray(grid.heights)
    result = np.empty((*grid.size, *pixels.shape[3:]), np.float32)
    upright: dict[int, np.ndarray] = {}
    for number, height in enumerate(np.linspace(heights[0], heights[-1], grid.size[0])):
        below = int(np.clip(np.searchsorted(heights, height, side="right") - 1, 0, len(heights) - 2))
        part = float((height - heights[below]) / (heights[below + 1] - heights[below]))
        upright = {
            slice_: upright[slice_] if slice_ in upright else _upright(pixels[slice_], grid, slice_, fill)
            for slice_ in (below, below + 1)
        }
        np.multiply(upright[below], np.float32(1 - part), out=result[number])
        result[number] += np.float32(part) * upright[below + 1]
    return result


def _upright(picture: np.ndarray, grid: Grid, slice_: int, fill: float) -> np.ndarray:
    """One slice where it lies on the grid."""
    from scipy.ndimage import affine_transform

    shift = (grid.down[slice_], grid.right[slice_])
    if shift == (0.0, 0.0) and picture.shape[:2] == grid.size[1:]:
        return picture
    moved = [
        affine_transform(
            channel, (1.0, 1.0), (-shift[0], -shift[1]), grid.size[1:], np.float32, order=1, mode="constant", cval=fill
        )
        for channel in (np.moveaxis(picture, -1, 0) if picture.ndim == 3 else [picture])
    ]
    return np.stack(moved, axis=-1) if picture.ndim == 3 else moved[0]
