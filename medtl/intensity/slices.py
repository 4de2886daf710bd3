"""What of a volume or cine loop a 2-D backbone sees."""

from __future__ import annotations

import numpy as np

from medtl.intensity.geometry import on_grid
from medtl.scans.scan import Scan


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
    return on_grid(scan, scan.pixels[chosen], old_from_new)
