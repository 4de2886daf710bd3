"""A mask drawn on a scan, brought to where the recipe puts the scan's pixels."""

from __future__ import annotations

import numpy as np

from medtl.errors import ScanError
from medtl.intensity.recipe import Recipe
from medtl.scans.scan import Scan


def mask_on_input(recipe: Recipe, scan: Scan, mask: np.ndarray) -> np.ndarray | None:
    """What of the network input lies on the mask.

    The recipe runs on the scan itself, since some of its crops depend on what is seen, and the mask is read where each
    pixel came from, its nearest one, so that it stays a mask.

    Args:
        recipe: fitted, where it learns.
        scan: as it was read.
        mask: (slices, rows, columns) as `scan.pixels`; true, or not 0, on what was marked.

    Returns:
        bool (instances, size, size), as `recipe(scan)` without its channels; None where the recipe projects a volume.

    Raises:
        ScanError: the mask is of another shape, or the recipe cannot be done on the scan.
    """
    mask = np.asarray(mask) != 0
    if mask.shape != scan.pixels.shape[:3]:
        raise ScanError(
            f"the mask has (slices, rows, columns) {mask.shape} and its scan {scan.pixels.shape[:3]}: "
            "it must be drawn on the scan as it is stored"
        )
    place = recipe.place_of(scan)
    if place is None:
        return None
    instances, start_from_input = place
    index = np.indices((instances, recipe.size, recipe.size)).reshape(3, -1)
    places = start_from_input[:3, :3] @ index + start_from_input[:3, 3:]
    nearest = np.floor(places + 0.5).astype(int)
    inside = np.all((nearest >= 0) & (nearest < np.array(mask.shape)[:, None]), axis=0)
    found = np.zeros(index.shape[1], bool)
    found[inside] = mask[tuple(nearest[:, inside])]
    return found.reshape(instances, recipe.size, recipe.size)
