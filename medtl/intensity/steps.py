"""The steps of a recipe: each takes a scan and gives a new one, and keeps its place in the patient.

Grey values leave the intensity steps in [-1, 1] (black is -1), which is what an ImageNet stem with mean = std = 0.5
was trained on. Every step is a pure function: the same scan and parameters give the same scan, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from PIL import Image

from medtl.errors import ScanError
from medtl.scans.scan import Scan

BLACK, WHITE = -1.0, 1.0


# ---- what is no picture ------------------------------------------------------------------------------------------
def crop_to_region(scan: Scan) -> Scan:
    """Crop to the smallest box around the regions where the ultrasound machine put its pictures of tissue.

    The header's "regions" say where; a scan without them stays as it is. Logo, name of the clinic, scale bars and
    settings around the picture, which differ between sites, go.
    """
    rows, columns = scan.pixels.shape[1:3]
    regions = np.array(scan.header.get("regions") or [(0, 0, rows, columns)], dtype=int)
    top, left = (max(0, int(edge)) for edge in regions[:, :2].min(axis=0))
    bottom, right = (
        min(side, int(edge)) for side, edge in zip((rows, columns), regions[:, 2:].max(axis=0), strict=True)
    )
    if top >= bottom or left >= right or (top, left, bottom, right) == (0, 0, rows, columns):
        return scan
    old_from_new = np.eye(4)
    old_from_new[1:3, 3] = top, left
    cropped = _on_grid(scan, scan.pixels[:, top:bottom, left:right], old_from_new)
    moved = [tuple(int(edge) for edge in region) for region in regions - (top, left, top, left)]
    return replace(cropped, header={**scan.header, "regions": moved})


# ---- intensity ---------------------------------------------------------------------------------------------------
# Pixels that show nothing (the header's "padding", lowest to highest value), such as the -2000 around the round field
# of a CT or the collimated border of a radiograph, take no part in percentiles, mean and deviation, and turn black.
def percentile_window(scan: Scan, lower: float = 0.5, upper: float = 99.5) -> Scan:
    """Map the scan's own percentiles to black and white, and clip: bright knobs, text and dead pixels do not count.

    Equals MONAI's ScaleIntensityRangePercentiles(lower, upper, -1, 1, clip=True) of the pixels that are no padding.
    Where both percentiles are one value (a nearly empty picture) the smallest and largest values take their place.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = _padding(scan)
    shown = _shown(scan, empty)
    low, high = (float(value) for value in np.percentile(shown, (lower, upper)))
    if high <= low:
        low, high = float(shown.min()), float(shown.max())
    return _in_grey(scan, empty, low, high)


def window(scan: Scan, level: float, width: float) -> Scan:
    """Map `level` ± `width` / 2, in HU, to black and white, and clip (DICOM's LINEAR_EXACT, PS3.3 C.11.2.1.3).

    Equals MONAI's ScaleIntensityRange(level - width / 2, level + width / 2, -1, 1, clip=True); padding turns black.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = _padding(scan)
    _shown(scan, empty)
    return _in_grey(scan, empty, level - width / 2, level + width / 2)


def z_score(scan: Scan, limit: float = 3.0) -> Scan:
    """Subtract the mean of the foreground, divide by its standard deviation, and map ± `limit` to black and white.

    The foreground is what is brighter than the mean of the whole scan, padding apart: in MR that leaves the air out
    (TorchIO's ZNormalization with masking_method=ZNormalization.mean). Air takes part in the scaling and turns nearly
    black. Equals MONAI's NormalizeIntensity(nonzero=True) where the air is zero, divided by `limit`.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = _padding(scan)
    shown = _shown(scan, empty)
    foreground = shown[shown > shown.mean(dtype=np.float64)]
    if foreground.size == 0:
        foreground = shown
    mean, deviation = foreground.mean(dtype=np.float64), foreground.std(dtype=np.float64) or 1.0
    return _in_grey(scan, empty, mean - limit * deviation, mean + limit * deviation)


def bit_range(scan: Scan) -> Scan:
    """Map the range that the file's bit depth allows (0 to 255 for 8 bits) to black and white.

    The depth is the header's "bits"; where the file does not know, the least of 1, 8, 10, 12, 16 bits that holds the
    pixels, and for values in [0, 1] that range.
    """
    brightest = float(scan.pixels.max())
    bits = int(scan.header.get("bits") or 0)
    if bits < 1 or brightest > 2**bits - 1:
        bits = next((bits for bits in (1, 8, 10, 12, 16) if brightest <= 2**bits - 1), 32)
    return replace(scan, pixels=_to_grey_range(scan.pixels, 0.0, float(2**bits - 1)))


def _padding(scan: Scan) -> np.ndarray | None:
    """Which pixels show nothing, (slices, rows, columns[, 3]); None where none does."""
    if not scan.header.get("padding"):
        return None
    low, high = scan.header["padding"]
    empty = (scan.pixels >= np.float32(low)) & (scan.pixels <= np.float32(high))
    return empty if empty.any() else None


def _shown(scan: Scan, empty: np.ndarray | None) -> np.ndarray:
    """The values of the pixels that are no padding."""
    if empty is None:
        return scan.pixels
    shown = scan.pixels[~empty]
    if shown.size == 0 or shown.min() == shown.max():
        raise ScanError("apart from its padding every pixel has the same value: there is nothing to see")
    return shown


def _in_grey(scan: Scan, empty: np.ndarray | None, low: float, high: float) -> Scan:
    """`low` to `high` as black to white, and padding black; the new values have no padding."""
    pixels = _to_grey_range(scan.pixels, low, high)
    if empty is None:
        return replace(scan, pixels=pixels)
    pixels[empty] = BLACK
    header = {fact: value for fact, value in scan.header.items() if fact != "padding"}
    return replace(scan, pixels=pixels, header=header)


def _to_grey_range(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (pixels - np.float32(low)) * np.float32((WHITE - BLACK) / (high - low)) + np.float32(BLACK)
    return np.clip(scaled, BLACK, WHITE, out=scaled)


# ---- slices ------------------------------------------------------------------------------------------------------
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
    return _on_grid(scan, pixels, old_from_new)


def choose_slices(scan: Scan, most: int = 16) -> Scan:
    """Keep at most `most` slices, evenly spaced: the middle ones of `most` equal parts, first and last slices apart.

    The affine stays true to within half a slice. 16 of 90 to 200 slices show each organ of the trunk or brain in
    several slices, at a fraction of the time of all.
    """
    n_slices = len(scan.pixels)
    if n_slices <= most:
        return scan
    step = n_slices / most
    chosen = ((np.arange(most) + 0.5) * step).astype(int)
    old_from_new = np.diag([step, 1.0, 1.0, 1.0])
    old_from_new[0, 3] = float(np.mean(chosen - np.arange(most) * step))
    return _on_grid(scan, scan.pixels[chosen], old_from_new)


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


# ---- size --------------------------------------------------------------------------------------------------------
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
    square[:, top : top + new_rows, left : left + new_columns] = _resize(scan.pixels, new_rows, new_columns)
    row_scale, column_scale = rows / new_rows, columns / new_columns
    old_from_new = np.diag([1.0, row_scale, column_scale, 1.0])
    old_from_new[1:3, 3] = (0.5 - top) * row_scale - 0.5, (0.5 - left) * column_scale - 0.5
    return _on_grid(scan, square, old_from_new)


def _resize(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    if pixels.shape[1:3] == (rows, columns):
        return pixels
    if pixels.ndim == 4:
        return np.stack([_resize(pixels[..., colour], rows, columns) for colour in range(3)], axis=-1)
    return np.stack(
        [
            np.asarray(Image.fromarray(np.ascontiguousarray(each)).resize((columns, rows), Image.Resampling.BILINEAR))
            for each in pixels
        ]
    )


# ---- colour ------------------------------------------------------------------------------------------------------
def as_grey(scan: Scan) -> Scan:
    """Red, green, blue to brightness (ITU-R BT.601, as Pillow's "L"); a grey scan stays as it is."""
    if not scan.colour:
        return scan
    return replace(scan, pixels=scan.pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))


def as_colour(scan: Scan) -> Scan:
    """A grey scan three times over; a colour scan stays as it is."""
    if scan.colour:
        return scan
    return replace(scan, pixels=np.repeat(scan.pixels[..., None], 3, axis=-1))


def _on_grid(scan: Scan, pixels: np.ndarray, old_from_new: np.ndarray) -> Scan:
    """The scan on a new grid; `old_from_new` (4, 4) maps the new array index to the old, a scaled permutation."""
    axis = np.argmax(np.abs(old_from_new[:3, :3]), axis=0)
    scale = np.abs(old_from_new[axis, range(3)])
    slices, rows, columns = (float(scan.spacing[old] * by) for old, by in zip(axis, scale, strict=True))
    affine = None if scan.affine is None else scan.affine @ old_from_new
    return replace(scan, pixels=pixels, affine=affine, spacing=(slices, rows, columns))


#: Adding a step = adding a function above and a line here. A recipe names its steps by these names, on disk too.
STEPS: Mapping[str, Callable[..., Any]] = {
    "crop_to_region": crop_to_region,
    "percentile_window": percentile_window,
    "window": window,
    "z_score": z_score,
    "bit_range": bit_range,
    "orient": orient,
    "choose_slices": choose_slices,
}
