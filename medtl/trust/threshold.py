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
    called = p[:, None] >= cuts
    gain = called[positive].mean(axis=0) - called[~positive].mean(axis=0)
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    nearest = best[np.argmin(np.abs(called[:, best].mean(axis=0) - positive.mean()))]
    return float(cuts[nearest]), YOUDEN
