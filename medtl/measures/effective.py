"""How many scans weighted ones are worth."""

from __future__ import annotations

import numpy as np


def effective_sample_size(weights: np.ndarray) -> float:
    """How many scans that all count alike are worth as much: (sum w)^2 / sum w^2 (Kish 1965)."""
    weights = np.asarray(weights, float)
    return float(weights.sum() ** 2 / np.maximum((weights**2).sum(), np.finfo(float).tiny))
