"""Ranks, ties sharing theirs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def ranks(values: ArrayLike) -> np.ndarray:
    """Ranks 1..N of (N,) values; tied values share their mean rank.

    `scipy.stats.rankdata`, without the second that importing `scipy.stats` costs the hospital's runtime.
    """
    _, place, count = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]
