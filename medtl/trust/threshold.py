"""From which probability on a scan is called positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.operating import youden_threshold

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
    positive = np.asarray(label).astype(int) == 1
    if positive.all() or not positive.any():
        return 0.5, HALF
    return youden_threshold(positive, probability), YOUDEN
