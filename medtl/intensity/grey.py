"""Grey values: windows, percentiles, z-scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.intensity.values import in_grey, padding_of, shown, to_grey_range
from medtl.scans.scan import Scan


def percentile_window(scan: Scan, lower: float = 0.5, upper: float = 99.5) -> Scan:
    """Map the scan's own percentiles to black and white, and clip: bright knobs, text and dead pixels do not count.

    Equals MONAI's ScaleIntensityRangePercentiles(lower, upper, -1, 1, clip=True) of the pixels that are no padding.
    Where both percentiles are one value (a nearly empty picture) the smallest and largest values take their place.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = padding_of(scan)
    values = shown(scan, empty)
    low, high = (float(value) for value in np.percentile(values, (lower, upper)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return in_grey(scan, empty, low, high)


def window(scan: Scan, level: float, width: float) -> Scan:
    """Map `level` ± `width` / 2, in HU, to black and white, and clip (DICOM's LINEAR_EXACT, PS3.3 C.11.2.1.3).

    Equals MONAI's ScaleIntensityRange(level - width / 2, level + width / 2, -1, 1, clip=True); padding turns black.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = padding_of(scan)
    shown(scan, empty)
    return in_grey(scan, empty, level - width / 2, level + width / 2)


def z_score(scan: Scan, limit: float = 3.0) -> Scan:
    """Subtract the mean of the foreground, divide by its standard deviation, and map ± `limit` to black and white.

    The foreground is what is brighter than the mean of the whole scan, padding apart: in MR that leaves the air out
    (TorchIO's ZNormalization with masking_method=ZNormalization.mean). Air takes part in the scaling and turns nearly
    black. Equals MONAI's NormalizeIntensity(nonzero=True) where the air is zero, divided by `limit`.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = padding_of(scan)
    values = shown(scan, empty)
    foreground = values[values > values.mean(dtype=np.float64)]
    if foreground.size == 0:
        foreground = values
    mean, deviation = foreground.mean(dtype=np.float64), foreground.std(dtype=np.float64) or 1.0
    return in_grey(scan, empty, mean - limit * deviation, mean + limit * deviation)


def bit_range(scan: Scan) -> Scan:
    """Map the range that the file's bit depth allows (0 to 255 for 8 bits) to black and white.

    The depth is the header's "bits"; where the file does not know, the least of 1, 8, 10, 12, 16 bits that holds the
    pixels, and for values in [0, 1] that range.
    """
    brightest = float(scan.pixels.max())
    bits = int(scan.header.get("bits") or 0)
    if bits < 1 or brightest > 2**bits - 1:
        bits = next((bits for bits in (1, 8, 10, 12, 16) if brightest <= 2**bits - 1), 32)
    return replace(scan, pixels=to_grey_range(scan.pixels, 0.0, float(2**bits - 1)))
