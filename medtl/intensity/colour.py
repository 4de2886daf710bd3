"""Red, green and blue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.scans.scan import Scan


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
