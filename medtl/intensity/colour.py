"""Red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.intensity.values import BLACK, WHITE
from medtl.scans.scan import Scan

DARKEST = 0.03  # of the background: light below this share is not told apart, so that black is no endless density
FAINTEST, STRONGEST = 0.4, 2.5  # times by which a density may change: an empty field must not become a stain


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


def balance_stain(
    scan: Scan, strength: Sequence[float] = (1.24, 1.97, 0.54), share: float = 0.1, percentile: float = 99.0
) -> Scan:
    """White balance and stain strength in one: the background becomes white, the darkest stain the same everywhere.

    In optical density, -ln(light / background) (Beer and Lambert, as stain separation has it: Ruifrok and Johnston
    2001; Macenko et al., ISBI 2009): of each channel the `percentile` of the density, the nuclei, is brought to
    `strength`; so lamp, camera and dye go, and what is more or less dense than a nucleus stays so. Not for dark fields
    (fluorescence). The default strength is the median of 1,500 blood cells of Barcelona (May Grünwald-Giemsa; Acevedo
    et al. 2020); this way was chosen by eye among five on three laboratories. To a classifier of frozen features it
    gave nothing that could be told from chance (`benchmarks/stain.py`), so it is no default.

    Args:
        scan: colour, (slices, rows, columns, 3), as the file has it.
        strength: optical density (natural logarithm) of nuclei in red, green and blue.
        share: of the pixels, the brightest, whose median is the background.
        percentile: of the optical density; what is denser is dirt.

    Raises:
        ScanError: the scan is grey, or black.
    """
    if not scan.colour or scan.pixels.shape[-1] != 3:
        raise ScanError("the scan is grey: only colours have a stain to balance; choose the recipe 'picture'")
    light = np.maximum(scan.pixels, 0)
    brightness = light.sum(axis=-1)
    background = np.median(light[brightness >= np.percentile(brightness, 100 * (1 - share))], axis=0)
    if not background.max() > 0:
        raise ScanError("the picture is black: there is no bright background")
    floor = DARKEST * background.max()
    density = np.maximum(-np.log((light + floor) / (background + floor)), 0)
    nuclei = np.percentile(density, percentile, axis=(0, 1, 2))
    scale = np.clip(np.asarray(strength) / np.maximum(nuclei, 1e-3), FAINTEST, STRONGEST).astype(np.float32)
    pixels = BLACK + np.float32(WHITE - BLACK) * np.exp(-density * scale)
    return replace(scan, pixels=pixels.astype(np.float32))
