"""Black and white, and which pixels count: what the steps on grey values share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.scans.scan import Scan

BLACK, WHITE = -1.0, 1.0


# Pixels that show nothing (the header's "padding", lowest to highest value), such as the -2000 around the round field
# of a CT or the collimated border of a radiograph, take no part in percentiles, mean and deviation, and turn black.
def padding_of(scan: Scan) -> np.ndarray | None:
    """Which pixels show nothing, (slices, rows, columns[, 3]); None where none does."""
    if not scan.header.get("padding"):
        return None
    low, high = scan.header["padding"]
    empty = (scan.pixels >= np.float32(low)) & (scan.pixels <= np.float32(high))
    return empty if empty.any() else None


def shown(scan: Scan, empty: np.ndarray | None) -> np.ndarray:
    """The values of the pixels that are no padding."""
    if empty is None:
        return scan.pixels
    values = scan.pixels[~empty]
    if values.size == 0 or values.min() == values.max():
        raise ScanError("apart from its padding every pixel has the same value: there is nothing to see")
    return values


def in_grey(scan: Scan, empty: np.ndarray | None, low: float, high: float) -> Scan:
    """`low` to `high` as black to white, and padding black; the new values have no padding."""
    pixels = to_grey_range(scan.pixels, low, high)
    if empty is None:
        return replace(scan, pixels=pixels)
    pixels[empty] = BLACK
    header = {fact: value for fact, value in scan.header.items() if fact != "padding"}
    return replace(scan, pixels=pixels, header=header)


def to_grey_range(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """`low` to `high` as black to white, clipped."""
    scaled = (pixels - np.float32(low)) * np.float32((WHITE - BLACK) / (high - low)) + np.float32(BLACK)
    return np.clip(scaled, BLACK, WHITE, out=scaled)
