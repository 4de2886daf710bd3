"""Whether a saliency map looks at the lesion: the pointing game, and the share of its mass inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def hits(saliency: ArrayLike, mask: ArrayLike, tolerance: float = 0) -> bool:
    """Whether the maximum of a saliency map falls on the mask: the pointing game (Zhang et al., IJCV 126, 2018).

    Where several pixels share the maximum, all must fall on it: a flat map points nowhere.

    Args:
        saliency: (rows, columns) or (slices, rows, columns), any scale, higher is more; nan counts as lowest.
        mask: the same shape; the lesion is what is not 0.
        tolerance: in pixels; so far beside the mask (between the centres of pixels) is a hit too. The paper has 15 on
            photographs of some 500 pixels.

    Raises:
        ValueError: another shape, or an empty mask.
    """
    heat, lesion = _checked(saliency, mask)
    top = heat == heat.max()
    if top.all():
        return False
    near = lesion if tolerance == 0 else _distance(lesion) <= tolerance
    return bool(near[top].all())


def mass_inside(saliency: ArrayLike, mask: ArrayLike) -> float:
    """Share of a saliency map's mass that lies on the mask: the energy-based pointing game.

    Wang et al. (Score-CAM), CVPR Workshops 2020, arXiv:1910.01279. What is below 0 speaks against the class and counts
    as 0.

    Args:
        saliency: as in `hits`.
        mask: as in `hits`.

    Returns:
        A number in [0, 1]; nan where nothing is above 0. A map that looks everywhere alike gets `chance_level`.
    """
    heat, lesion = _checked(saliency, mask)
    mass = np.maximum(heat, 0)
    return float(mass[lesion].sum() / mass.sum()) if mass.sum() > 0 else float("nan")


def chance_level(mask: ArrayLike, tolerance: float = 0) -> float:
    """How often a pixel drawn by chance hits: the share of the picture's area that the mask, or it and a margin, holds.

    Args:
        mask: (rows, columns) or (slices, rows, columns); the lesion is what is not 0.
        tolerance: as in `hits`.
    """
    _, lesion = _checked(mask, mask)
    return float(np.mean(lesion if tolerance == 0 else _distance(lesion) <= tolerance))


def _checked(saliency: ArrayLike, mask: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    heat, lesion = np.asarray(saliency, float), np.asarray(mask) != 0
    if heat.shape != lesion.shape:
        raise ValueError(f"the saliency map is {heat.shape} and the mask {lesion.shape}: one picture's are wanted")
    if not lesion.any():
        raise ValueError("the mask is empty: there is nothing to point at")
    return np.where(np.isnan(heat), -np.inf, heat), lesion


def _distance(mask: np.ndarray) -> np.ndarray:
    """From each pixel to the nearest of the mask, in pixels."""
    from scipy.ndimage import distance_transform_edt  # here: only a tolerance needs it

    return np.asarray(distance_transform_edt(~mask))
