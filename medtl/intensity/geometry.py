"""Where pixels lie: orientation, size, and the place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
from PIL import Image

from medtl.errors import ScanError
from medtl.intensity.values import BLACK, padding_of
from medtl.scans.scan import Scan

FROM_START = "from_start"  # in the header of a scan that is followed: (4, 4), from its array index now to the first one


def orient(scan: Scan) -> Scan:
    """Turn a volume so that its slices lie as a radiologist sees them, however the file stores them.

    Slices are cut across the axis of the largest spacing (they were taken so); where all spacings are alike, across
    the head-foot axis; where the file does not know its place in the patient, across the axis of the largest spacing
    or else the first. Axial slices run to the head, rows to the back and columns to the patient's left; in coronal and
    sagittal slices rows run to the feet. Axes are swapped and flipped, never resampled. A picture keeps its slice axis.
    Equals MONAI's Orientation("SPL") for axial slices.
    """
    world = _world_axes(scan.affine)
    across = _slice_axis(scan, world)
    if world is not None:
        return _turned_to(scan, world, _display_order(world[across][0]))
    return _turned(scan, (across, *(axis for axis in range(3) if axis != across)), (False,) * 3)


def as_axial(scan: Scan) -> Scan | None:
    """A volume as `orient` leaves one of axial slices, across whichever axis its own were cut.

    Slices run to the head, rows to the back, columns to the patient's left. None where the place in the patient is not
    known.
    """
    world = _world_axes(scan.affine)
    return None if world is None else _turned_to(scan, world, _display_order(2))


def _turned_to(scan: Scan, world: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> Scan:
    """The scan whose array axes lie as `world` says, with axes that run as wanted: (world axis, way) for each."""
    axis_of = {world_axis: axis for axis, (world_axis, _) in enumerate(world)}
    order = tuple(axis_of[world_axis] for world_axis, _ in wanted)
    return _turned(scan, order, tuple(world[axis][1] != way for axis, (_, way) in zip(order, wanted, strict=True)))


def _turned(scan: Scan, order: tuple[int, ...], flip: tuple[bool, ...]) -> Scan:
    """The axes in this order, some of them the other way round."""
    old_from_new = np.eye(4)
    old_from_new[:3, :3] = 0
    for new, (old, turned) in enumerate(zip(order, flip, strict=True)):
        old_from_new[old, new] = -1 if turned else 1
        old_from_new[old, 3] = scan.pixels.shape[old] - 1 if turned else 0
    turned_axes = tuple(new for new, turned in enumerate(flip) if turned)
    pixels = np.flip(scan.pixels.transpose(*order, *range(3, scan.pixels.ndim)), turned_axes)
    return on_grid(scan, pixels, old_from_new)


def fit_square(scan: Scan, size: int) -> Scan:
    """Resize each slice so that its longest side is `size`, its aspect in mm kept, and pad it with black to a square.

    The resize is Pillow's triangle filter on float32, which widens as it shrinks (antialiasing): the same as
    torch.nn.functional.interpolate(mode="bilinear", antialias=True), and the fastest of those measured (0.14 ms from
    256 x 256 to 112 x 112; SciPy without antialiasing 0.22, scikit-image 0.74, SimpleITK 1.4). Padding equals MONAI's
    ResizeWithPadOrCrop.
    """
    rows, columns = scan.pixels.shape[1:3]
    height, width = rows * 1.0, columns * 1.0
    if all(side > 0 for side in scan.spacing[1:]):  # false where either is nan
        height, width = rows * scan.spacing[1], columns * scan.spacing[2]
    longest = max(height, width)
    new_rows, new_columns = (max(1, round(size * side / longest)) for side in (height, width))
    top, left = (size - new_rows) // 2, (size - new_columns) // 2
    square = np.full((len(scan.pixels), size, size, *scan.pixels.shape[3:]), BLACK, dtype=np.float32)
    square[:, top : top + new_rows, left : left + new_columns] = resize(scan.pixels, new_rows, new_columns)
    row_scale, column_scale = rows / new_rows, columns / new_columns
    old_from_new = np.diag([1.0, row_scale, column_scale, 1.0])
    old_from_new[1:3, 3] = (0.5 - top) * row_scale - 0.5, (0.5 - left) * column_scale - 0.5
    return on_grid(scan, square, old_from_new)


def resample(scan: Scan, spacing: Sequence[float | None]) -> Scan:
    """Resample to a spacing in mm, linearly (SimpleITK); the first voxel stays where it is.

    Where the new spacing is larger, a Gaussian of (new / old - 1) / 2 old voxels goes first (as scikit-image's and
    MONAI's Resize have it), so that fine structure fades rather than folds into a coarse one. Elsewhere it equals
    MONAI's Spacing(mode="bilinear", padding_mode="border"), to 1e-6 of the range of the values. Padding is not mixed
    into what is shown.

    Args:
        scan: pixels (slices, rows, columns[, channels]).
        spacing: mm (between slices, between rows, between columns); None keeps an axis, as does a single slice.

    Raises:
        ScanError: the file does not know a spacing that is to change.
    """
    scale = np.ones(3)
    for axis, (new, old) in enumerate(zip(spacing, scan.spacing, strict=True)):
        if new is None or scan.pixels.shape[axis] == 1:
            continue
        if not old > 0:
            raise ScanError(
                f"the file does not know its spacing between {('slices', 'rows', 'columns')[axis]}, so it cannot be "
                "resampled to one: give null for that axis in the recipe, or export the scan with its spacing"
            )
        scale[axis] = new / old
    if np.allclose(scale, 1.0, rtol=0, atol=1e-6):
        return scan
    old_from_new = np.diag([*scale, 1.0])
    empty = padding_of(scan)
    if empty is None:
        return on_grid(scan, _resampled(scan.pixels, scale), old_from_new)
    known = _resampled((~empty).astype(np.float32), scale)
    pixels = _resampled(np.where(empty, np.float32(0), scan.pixels), scale) / np.maximum(known, 1e-6)
    pixels[known < 0.5] = np.float32(scan.header["padding"][0])
    return on_grid(scan, pixels, old_from_new)


def _resampled(pixels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Pixels (slices, rows, columns[, channels]) on voxels that are `scale` (3,) times as large."""
    import SimpleITK as sitk  # noqa: N813
    from scipy import ndimage

    if pixels.ndim == 4:
        return np.stack([_resampled(pixels[..., channel], scale) for channel in range(pixels.shape[-1])], axis=-1)
    sigma = np.maximum(scale - 1, 0) / 2
    smooth = ndimage.gaussian_filter(pixels, sigma, mode="nearest") if sigma.any() else np.ascontiguousarray(pixels)
    shape = [max(1, round((side - 1) / by + 1)) for side, by in zip(pixels.shape, scale, strict=True)]
    grid = sitk.ResampleImageFilter()
    grid.SetSize(shape[::-1])
    grid.SetOutputSpacing([float(by) for by in scale[::-1]])
    grid.SetInterpolator(sitk.sitkLinear)
    grid.UseNearestNeighborExtrapolatorOn()
    return np.asarray(sitk.GetArrayFromImage(grid.Execute(sitk.GetImageFromArray(smooth))))


def resize(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pixels (slices, rows, columns[, channels]) with Pillow's triangle filter."""
    if pixels.shape[1:3] == (rows, columns):
        return pixels
    if pixels.ndim == 4:
        return np.stack([resize(pixels[..., colour], rows, columns) for colour in range(pixels.shape[-1])], axis=-1)
    return np.stack(
        [
            np.asarray(Image.fromarray(np.ascontiguousarray(each)).resize((columns, rows), Image.Resampling.BILINEAR))
            for each in pixels
        ]
    )


def on_grid(scan: Scan, pixels: np.ndarray, old_from_new: np.ndarray) -> Scan:
    """The scan on a new grid; `old_from_new` (4, 4) maps the new array index to the old, a scaled permutation.

    Where the header has FROM_START, the way from the first grid of all is kept up in it: see `Recipe.place_of`.
    """
    axis = np.argmax(np.abs(old_from_new[:3, :3]), axis=0)
    scale = np.abs(old_from_new[axis, range(3)])
    slices, rows, columns = (float(scan.spacing[old] * by) for old, by in zip(axis, scale, strict=True))
    affine = None if scan.affine is None else scan.affine @ old_from_new
    header = scan.header
    if FROM_START in header:
        header = {**header, FROM_START: header[FROM_START] @ old_from_new}
    return replace(scan, pixels=pixels, affine=affine, spacing=(slices, rows, columns), header=header)


def _world_axes(affine: np.ndarray | None) -> list[tuple[int, int]] | None:
    """For each array axis the nearest world axis (0 right, 1 front, 2 head) and whether it runs along it: +1 or -1."""
    if affine is None:
        return None
    directions = np.asarray(affine, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(directions, axis=0)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        return None
    cosines = directions / lengths
    nearest = max(permutations(range(3)), key=lambda p: sum(abs(cosines[p[axis], axis]) for axis in range(3)))
    return [(world_axis, 1 if cosines[world_axis, axis] > 0 else -1) for axis, world_axis in enumerate(nearest)]


def _slice_axis(scan: Scan, world: list[tuple[int, int]] | None) -> int:
    if scan.pixels.shape[0] == 1:
        return 0
    spacing = np.nan_to_num(np.asarray(scan.spacing, dtype=np.float64), nan=0.0)
    thickest = int(np.argmax(spacing))
    if spacing[thickest] > 1.1 * np.sort(spacing)[1]:  # a tenth: unlike spacings, not rounding
        return thickest
    return 0 if world is None else next(axis for axis, (world_axis, _) in enumerate(world) if world_axis == 2)


def _display_order(across: int) -> list[tuple[int, int]]:
    """(world axis, way) for slices, rows and columns of slices across a world axis."""
    left, back, head, feet = (0, -1), (1, -1), (2, 1), (2, -1)
    return {0: [left, feet, back], 1: [back, feet, left], 2: [head, back, left]}[across]
