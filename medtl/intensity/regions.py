"""What is no picture, cut away: settings around an ultrasound, borders, air."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.intensity.geometry import on_grid
from medtl.scans.scan import Scan


def crop_to_region(scan: Scan) -> Scan:
    """Crop to the smallest box around the regions where the ultrasound machine put its pictures of tissue.

    The header's "regions" say where; a scan without them stays as it is. Logo, name of the clinic, scale bars and
    settings around the picture, which differ between sites, go.
    """
    rows, columns = scan.pixels.shape[1:3]
    regions = np.array(scan.header.get("regions") or [(0, 0, rows, columns)], dtype=int)
    top, left = (max(0, int(edge)) for edge in regions[:, :2].min(axis=0))
    bottom, right = (
        min(side, int(edge)) for side, edge in zip((rows, columns), regions[:, 2:].max(axis=0), strict=True)
    )
    if top >= bottom or left >= right or (top, left, bottom, right) == (0, 0, rows, columns):
        return scan
    old_from_new = np.eye(4)
    old_from_new[1:3, 3] = top, left
    cropped = on_grid(scan, scan.pixels[:, top:bottom, left:right], old_from_new)
    moved = [tuple(int(edge) for edge in region) for region in regions - (top, left, top, left)]
    return replace(cropped, header={**scan.header, "regions": moved})
