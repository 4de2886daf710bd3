"""Where pixels lie: orientation, size, and the place in the patient."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
from PIL import Image

from medtl.intensity.values import BLACK
from medtl.scans.scan import Scan


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
    order: tuple[int, ...]
    flip: tuple[bool, ...]
    if world is None:
        order, flip = (across, *(axis for axis in range(3) if axis != across)), (False,) * 3
    else:
        axis_of = {world_axis: axis for axis, (world_axis, _) in enumerate(world)}
        wanted = _display_order(world[across][0])
        order = tuple(axis_of[world_axis] for world_axis, _ in wanted)
        flip = tuple(world[axis][1] != way for axis, (_, way) in zip(order, wanted, strict=True))
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
    """The scan on a new grid; `old_from_new` (4, 4) maps the new array index to the old, a scaled permutation."""
    axis = np.argmax(np.abs(old_from_new[:3, :3]), axis=0)
    scale = np.abs(old_from_new[axis, range(3)])
    slices, rows, columns = (float(scan.spacing[old] * by) for old, by in zip(axis, scale, strict=True))
    affine = None if scan.affine is None else scan.affine @ old_from_new
    return replace(scan, pixels=pixels, affine=affine, spacing=(slices, rows, columns))


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
