"""Contrast evened out over a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.intensity.values import BLACK, WHITE
from medtl.scans.scan import Scan


def clahe(scan: Scan, clip_limit: float = 0.01, kernel: float = 0.125) -> Scan:
    """Contrast-limited adaptive histogram equalisation, slice by slice (Pizer et al. 1987; Zuiderveld 1994).

    Comes after a step that gives grey values in [-1, 1]. Equals scikit-image's equalize_adapthist of each slice, whose
    defaults these are; what is black stays black, so that borders and padding do not turn grey.

    Args:
        scan: pixels (slices, rows, columns[, channels]) in [-1, 1].
        clip_limit: 0 to 1; the larger, the stronger the contrast, and the noise.
        kernel: rows and columns of the neighbourhood, as a share of the picture's.
    """
    from skimage.exposure import equalize_adapthist

    def equalised(picture: np.ndarray) -> np.ndarray:
        low, high = float(picture.min()), float(picture.max())
        if high <= low:
            return picture
        sides = [max(1, int(side * kernel)) for side in picture.shape]
        unit = equalize_adapthist((picture - low) / np.float32(high - low), sides, clip_limit=clip_limit)
        return np.where(picture <= BLACK, BLACK, BLACK + (WHITE - BLACK) * unit)

    pixels = np.moveaxis(scan.pixels, -1, 1) if scan.pixels.ndim == 4 else scan.pixels[:, None]
    done = np.stack([np.stack([equalised(channel) for channel in each]) for each in pixels]).astype(np.float32)
    return replace(scan, pixels=np.moveaxis(done, 1, -1) if scan.pixels.ndim == 4 else done[:, 0])
