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
    convolution; Knutsson and Westin, CVPR 1993), and what the tissue above the word, or else below it, differs from its
    own mean: without that speckle a word would stay as a smooth band. `margin` pixels around each stroke are filled
    too: letters are drawn with soft edges, and JPEG rings around them. All other pixels stay bit for bit.

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
        height = y.stop - y.start - around + 1  # of the word without what joined its letters
        above = around + height
        part = slice(max(y.start - above, 0), y.stop + above), slice(max(x.start - around, 0), x.stop + around)
        _fill_word(picture[part], mask[part], max(height, 1), reach)


def _fill_word(picture: np.ndarray, mask: np.ndarray, height: int, reach: float) -> None:
    from scipy import ndimage

    if mask.all():  # there is no tissue to fill it from
        return
    known = (~mask).astype(np.float32)
    weight = ndimage.gaussian_filter(known, reach, truncate=3)
    far = weight < 1e-3  # the inside of a stroke as wide as a logo: the nearest pixel then
    nearest: tuple[np.ndarray, ...] = ()
    if far.any():
        indices = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
        nearest = tuple(axis[far] for axis in indices)
    for channel in np.moveaxis(picture if picture.ndim == 3 else picture[..., None], -1, 0):
        smooth = ndimage.gaussian_filter(channel * known, reach, truncate=3) / np.maximum(weight, 1e-3)
        if far.any():
            smooth[far] = channel[nearest]
        filled = smooth + _moved((channel - smooth) * known, known, height)
        channel[mask] = np.clip(filled[mask], channel[~mask].min(), channel[~mask].max())


def _moved(texture: np.ndarray, known: np.ndarray, by: int) -> np.ndarray:
    """The texture `by` rows above each pixel where that is known, else as far below, else none."""
    found, taken = np.zeros_like(texture), np.zeros(texture.shape, bool)
    if by >= len(texture):
        return found
    for to, source in ((slice(by, None), slice(None, -by)), (slice(None, -by), slice(by, None))):
        new = (known[source] > 0) & ~taken[to]
        found[to][new] = texture[source][new]
        taken[to] |= new
    return found
