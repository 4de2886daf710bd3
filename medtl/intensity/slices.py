"""What of a volume or cine loop a 2-D backbone sees: some slices, each with its neighbours, or projections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.intensity.geometry import as_axial, on_grid, resize
from medtl.intensity.values import padding_of
from medtl.scans.scan import Scan


def choose_slices(scan: Scan, most: int = 16) -> Scan:
    """Keep at most `most` slices, evenly spaced: the middle ones of `most` equal parts, first and last slices apart.

    The affine stays true to within half a slice. 16 of 90 to 200 slices show each organ of the trunk or brain in
    several slices, at a fraction of the time of all.
    """
    if len(scan.pixels) <= most:
        return scan
    chosen = _evenly(len(scan.pixels), most)
    return _of_chosen(scan, scan.pixels[chosen], chosen)


def neighbouring_slices(scan: Scan, most: int = 16, n: int = 3) -> Scan:
    """Slices as `choose_slices` keeps them, each with its neighbours as channels: 2.5 dimensions.

    The channels are the `n` adjacent slices, in their order, the chosen one in the middle (Roth et al., MICCAI 2014,
    arXiv:1406.2639, take views through a point as channels; adjacent slices are what lung CT and brain MR often use).
    Over the first and last slice the edge is repeated; a picture is repeated `n` times. Of colours or windows, each
    slice brings all its channels: (slices, rows, columns, n * channels).

    Args:
        scan: pixels (slices, rows, columns[, channels]).
        most: how many slices are chosen at most.
        n: odd.
    """
    slices = len(scan.pixels)
    chosen = _evenly(slices, most) if slices > most else np.arange(slices)
    rows = [scan.pixels[np.clip(chosen + offset, 0, slices - 1)] for offset in range(-(n // 2), n // 2 + 1)]
    pixels = np.stack(rows, axis=-1) if scan.pixels.ndim == 3 else np.concatenate(rows, axis=-1)
    return _of_chosen(scan, pixels, chosen)


def project(scan: Scan) -> Scan:
    """Maximum-intensity projections from three sides instead of slices: axial, coronal and sagittal.

    They lie as `orient` leaves such slices, across whichever axis the scan's own were cut: the head (axially, the
    front) is up, and the patient's left (sagittally, the back) on the right. Where the file does not know its place in
    the patient, they are those along slices, rows and columns, as these lie.

    All three have pixels of one size in mm and lie in the middle of one square, whose side is the scan's largest number
    of voxels and its longest extent. Around them lies the scan's smallest value or its padding. Where a spacing is
    unknown, voxels count as cubes. The three have no common place in the patient, so the affine is None. A picture
    stays itself.

    What is brightest wins: bone in CT, scalp and fat in T1 MR, contrast medium in angiography, where this comes from.
    """
    if len(scan.pixels) == 1:
        return scan
    axial = as_axial(scan)
    scan = axial or scan
    pixels, outside = _seen_from_outside(scan)
    known = all(side > 0 for side in scan.spacing)  # false where one is nan
    voxel = np.array(scan.spacing if known else (1.0, 1.0, 1.0))
    extent = voxel * scan.pixels.shape[:3]
    side = max(scan.pixels.shape[:3])
    step = float(extent.max()) / side
    lengths = np.maximum(1, np.round(extent / step).astype(int))
    squares = []
    for along in range(3):
        flat = pixels.max(axis=along)
        if along > 0 and axial is not None:  # slices run to the head
            flat = flat[::-1]
        flat = np.where(np.isinf(flat), outside, flat).astype(np.float32)
        height, width = np.delete(lengths, along)
        square = np.full((side, side, *flat.shape[2:]), outside, dtype=np.float32)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = resize(flat[None], int(height), int(width))[0]
        squares.append(square)
    size = step if known else float("nan")
    return replace(scan, pixels=np.stack(squares), affine=None, spacing=(float("nan"), size, size))


def _evenly(slices: int, most: int) -> np.ndarray:
    """The middle slices of `most` equal parts."""
    return ((np.arange(most) + 0.5) * (slices / most)).astype(int)


def _of_chosen(scan: Scan, pixels: np.ndarray, chosen: np.ndarray) -> Scan:
    """The scan with `pixels` in the place of its chosen slices."""
    step = len(scan.pixels) / len(chosen)
    old_from_new = np.diag([step, 1.0, 1.0, 1.0])
    old_from_new[0, 3] = float(np.mean(chosen - np.arange(len(chosen)) * step))
    return on_grid(scan, pixels, old_from_new)


def _seen_from_outside(scan: Scan) -> tuple[np.ndarray, float]:
    """Pixels that hide nothing, padding as -inf, and the value of what lies outside."""
    empty = padding_of(scan)
    if empty is None:
        return scan.pixels, float(scan.pixels.min())
    return np.where(empty, -np.inf, scan.pixels), float(scan.header["padding"][0])
