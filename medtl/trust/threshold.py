"""From which probability on a scan is called positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

YOUDEN = "Youden's J on the calibration scans"
HALF = "0.5: the calibration scans hold one class only"


def youden(label: ArrayLike, probability: ArrayLike) -> tuple[float, str]:
    """The threshold with the highest sensitivity + specificity - 1 (Youden, Cancer 3, 1950).

    Of several equally good ones, that whose share of positive calls is closest to the prevalence. It lies midway
    between two neighbouring probabilities.

    Args:
        label: (N,) 0 or 1.
        probability: (N,) calibrated, of the positive class.

    Returns:
        The threshold (call positive from it on), and the name of the rule.
    """
    positive, p = np.asarray(label).astype(int) == 1, np.asarray(probability, float)
    if positive.all() or not positive.any():
        return 0.5, HALF
    seen = np.unique(p)
    cuts = np.r_[seen[0], (seen[1:] + seen[:-1]) / 2, np.nextafter(seen[-1], 2)]
    gain = _called(p[positive], cuts) - _called(p[~positive], cuts)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    nearest = best[np.argmin(np.abs(_called(p, cuts[best]) - positive.mean()))]
    return float(cuts[nearest]), YOUDEN


def _called(p: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The share of `p` that each cut calls positive."""
    return 1 - np.searchsorted(np.sort(p), cuts, side="left") / len(p)
