"""What is burned into a picture, painted over: a model learns letters and callipers instead of the patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.scans.burned_in import overlay_of
from medtl.scans.scan import Scan

REACH = 4.0  # pixels: a stroke is at most 6 wide, so that its middle still sees the tissue on both sides


def fill_overlay(scan: Scan, margin: int = 2) -> Scan:
    """Fill burned-in letters and callipers (`medtl.scans.burned_in.overlay_of`) from the tissue around them.

    Each pixel of a stroke becomes the mean of the pixels around it that are none, weighted by a Gaussian (normalised
    convolution; Knutsson and Westin, CVPR 1993): smooth, but strokes are thin. `margin` pixels around each stroke are
    filled too: letters are drawn with soft edges, and JPEG rings around them. All other pixels stay bit for bit.

    Args:
        scan: pixels (slices, rows, columns[, channels]) as read; CT, MR and PET stay as they are.
        margin: pixels by which the strokes are widened, for pictures up to 400 pixels long, and in proportion beyond.
    """
    overlay = overlay_of(scan)
    if overlay is None:
        return scan
    pixels = scan.pixels.copy()
    scale = max(1, max(scan.pixels.shape[1:3]) // 400)
    for picture, mask in zip(pixels, overlay, strict=True):
        if mask.any():
            _fill(picture, mask, margin * scale, REACH * scale)
    return replace(scan, pixels=pixels)


def _fill(picture: np.ndarray, strokes: np.ndarray, margin: int, reach: float) -> None:
    """Fill `strokes`, widened, of one picture (rows, columns[, channels]) in place, word by word."""
    from scipy import ndimage

    mask = ndimage.maximum_filter(strokes, 2 * margin + 1)
    around = int(np.ceil(3 * reach))
    words, _ = ndimage.label(ndimage.maximum_filter(mask, around + 1))
    for y, x in ndimage.find_objects(words):
        part = slice(max(y.start - around, 0), y.stop + around), slice(max(x.start - around, 0), x.stop + around)
        _fill_word(picture[part], mask[part], reach)


def _fill_word(picture: np.ndarray, mask: np.ndarray, reach: float) -> None:
    from scipy import ndimage

    known = (~mask).astype(np.float32)
    weight = ndimage.gaussian_filter(known, reach, truncate=3)[mask]
    far = weight < 1e-3  # the inside of a stroke as wide as a logo: the nearest pixel then
    nearest: tuple[np.ndarray, ...] = ()
    if far.any():
        indices = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
        nearest = tuple(axis[mask][far] for axis in indices)
    for channel in np.moveaxis(picture if picture.ndim == 3 else picture[..., None], -1, 0):
        filled = ndimage.gaussian_filter(channel * known, reach, truncate=3)[mask] / np.maximum(weight, 1e-3)
        if far.any():
            filled[far] = channel[nearest]
        channel[mask] = filled
