"""Mammograms: the breast alone, and its chest wall on one side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.intensity.geometry import on_grid
from medtl.intensity.regions import box_around, crop, largest_part
from medtl.intensity.values import padding_of, shown
from medtl.scans.scan import Scan

SIDE = 256  # rows and columns at which the breast is looked for


def crop_to_breast(scan: Scan, margin: float = 0.01) -> Scan:
    """Crop to the breast, the largest bright part, and take all around it for padding: letters, stickers, clips.

    The background of a mammogram is even, and the skin hardly brighter: the breast is what is brighter than the
    background by a twentieth of the distance from there to the bright tissue (Otsu's threshold would part the two kinds
    of tissue instead). Padding takes no part in the steps after this one and turns black. The twentieth was chosen on
    phantoms: no real mammogram was at hand.

    Args:
        scan: grey pixels (slices, rows, columns); of a tomosynthesis all slices are cut alike, by their mean.
        margin: share of the longest side by which the breast's outline is widened.

    Raises:
        ScanError: nothing is brighter than the background, or all is padding.
    """
    from scipy import ndimage

    empty = padding_of(scan)
    darkest = np.float32(shown(scan, empty).min())
    pixels = scan.pixels if empty is None else np.where(empty, darkest, scan.pixels)
    picture = pixels.mean(axis=0, dtype=np.float32)
    step = max(1, max(picture.shape) // SIDE)
    small = ndimage.uniform_filter(picture, step)[::step, ::step]
    background, tissue = np.percentile(small, 1), np.percentile(small, 99)
    bright = ndimage.binary_opening(small > background + 0.05 * (tissue - background), np.ones((3, 3), bool))
    breast = largest_part(bright)
    if breast is None:
        raise ScanError("nothing in the picture is brighter than its background: there is no breast to crop to")
    breast = ndimage.binary_fill_holes(breast)
    rows, columns = picture.shape
    wider = max(1, round(margin * max(rows, columns) / step))
    breast = ndimage.binary_dilation(breast, iterations=wider)
    breast = np.kron(breast, np.ones((step, step), bool))
    breast = np.pad(breast, [(0, max(0, side - has)) for side, has in zip((rows, columns), breast.shape, strict=True)])
    breast = breast[:rows, :columns]
    box = box_around(breast[None], (0, 0, 0))
    if box is None or breast.all():
        return scan
    nothing = float(np.floor(darkest)) - 1
    pixels = np.where(breast, pixels, np.float32(nothing))
    header = {**scan.header, "padding": (nothing, nothing)}
    return crop(replace(scan, pixels=pixels, header=header), ((0, len(pixels)), *box[1:]))


def chest_wall_left(scan: Scan) -> Scan:
    """Turn a mammogram left for right where the breast lies on its right half, so that every chest wall is on the left.

    Left and right breasts are mirror images, and which is which is no sign of disease: a network need not learn both.
    The affine is turned along, so that the place in the patient stays true. The breast's half is where more of the
    pixels that are no padding lie; without padding, where the sum of grey values above the darkest is larger.
    """
    pixels = scan.pixels if scan.pixels.ndim == 3 else scan.pixels.mean(axis=-1)
    if scan.header.get("padding"):
        low, high = scan.header["padding"]
        weight = ((pixels < low) | (pixels > high)).sum(axis=(0, 1), dtype=np.float64)
    else:
        weight = (pixels - pixels.min()).sum(axis=(0, 1), dtype=np.float64)
    half = len(weight) // 2
    if weight[:half].sum() >= weight[len(weight) - half :].sum():
        return scan
    old_from_new = np.diag([1.0, 1.0, -1.0, 1.0])
    old_from_new[2, 3] = len(weight) - 1
    return on_grid(scan, scan.pixels[:, :, ::-1], old_from_new)
