"""Grey values: windows, percentiles, z-scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medtl.errors import InputError, ScanError
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


#: Name -> (level, width) of the windows that radiologists look at CT through, HU: Radiopaedia, "Windowing (CT)"; the
#: middle where it gives a range (subdural: level 50 to 100, width 130 to 300; soft tissue: 20 to 60, 350 to 400).
WINDOWS: dict[str, tuple[float, float]] = {
    "brain": (40.0, 80.0),
    "subdural": (75.0, 215.0),
    "bone": (400.0, 1800.0),
    "lung": (-600.0, 1500.0),
    "soft tissue": (40.0, 400.0),
    "liver": (30.0, 150.0),
}


def windows(scan: Scan, names: Sequence[str | Sequence[float]]) -> Scan:
    """Several windows of one CT as channels, each by `window`: what a radiologist sees in turn, seen at once.

    Args:
        scan: grey, HU.
        names: of `WINDOWS`, or pairs of level and width in HU.

    Raises:
        ScanError: the scan has channels already, or all pixels but the padding have one value.
        InputError: a window is unknown.
    """
    if scan.pixels.ndim != 3:
        raise ScanError("CT windows are for grey scans, and this one has several channels")
    seen = [window(scan, level, width) for level, width in map(window_of, names)]
    return replace(seen[0], pixels=np.stack([each.pixels for each in seen], axis=-1))


def count_windows(names: Sequence[str | Sequence[float]]) -> int:
    """How many channels `windows` makes.

    Raises:
        InputError: there is none, or one is unknown.
    """
    if isinstance(names, str) or not names:
        raise InputError(f"recipe step 'windows' needs a list of names, such as [brain, bone]: it got {names!r}")
    return len([window_of(name) for name in names])


def window_of(name: str | Sequence[float]) -> tuple[float, float]:
    """Level and width, HU, of a window by its name, or of such a pair.

    Raises:
        InputError: no window has this name, or it is no pair with a width above 0.
    """
    if isinstance(name, str):
        if name not in WINDOWS:
            raise InputError(f"CT window {name!r} is unknown: give {', '.join(WINDOWS)}, or a pair [level, width]")
        return WINDOWS[name]
    try:
        level, width = (float(number) for number in name)
    except (TypeError, ValueError) as error:
        raise InputError(f"CT window {name!r} is no name and no pair [level, width] in HU") from error
    if not width > 0:
        raise InputError(f"CT window {name!r}: the width is {width:g} HU; give one above 0")
    return level, width


def clip_percentiles(scan: Scan, lower: float = 0.5, upper: float = 99.5) -> Scan:
    """Clip to the scan's own percentiles and leave its values otherwise as they are: for what comes before a z-score.

    Equals MONAI's ClipIntensityPercentiles of the pixels that are no padding; padding stays as it is.

    Raises:
        ScanError: all pixels but the padding have one value.
    """
    empty = padding_of(scan)
    low, high = np.percentile(shown(scan, empty), (lower, upper)).astype(np.float32)
    clipped = np.clip(scan.pixels, low, high)
    return replace(scan, pixels=clipped if empty is None else np.where(empty, scan.pixels, clipped))


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
