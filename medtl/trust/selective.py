"""Which scans a reader should see: those of whose call the model is least sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def sureness(probabilities: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """How likely each call is right, by the model's own calibrated probabilities: (N,) in [0, 1].

    The same that `medtl.measures.risk_coverage` orders scans by.

    Args:
        probabilities: (N, K).
        prediction: (N,) class numbers; or (N, K) 0 or 1 for several labels, whose mean it then is.
    """
    p, called = np.asarray(probabilities, float), np.asarray(prediction)
    if called.ndim == 2:
        return np.where(called > 0.5, p, 1 - p).mean(axis=1)
    return p[np.arange(len(p)), called.astype(int)]


def doubtful_below(sure: ArrayLike, share: float) -> float:
    """The sureness below which a scan is doubtful, so that `share` of these scans are.

    It lies midway between two neighbours; scans that are equally sure stay on one side, so that fewer may be below.

    Args:
        sure: (N,) of scans that the model was not trained on, N at least 1.
        share: in [0, 1], rounded to whole scans.
    """
    order = np.sort(np.asarray(sure, float))
    place = round(share * len(order))
    if place == 0:
        return 0.0
    if place == len(order):
        return float(np.nextafter(order[-1], 2))
    return float((order[place - 1] + order[place]) / 2)
