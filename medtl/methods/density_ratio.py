"""Density ratio: weights from a classifier that tells the sites apart."""

from __future__ import annotations

import numpy as np

from medtl.methods.importance import density_ratio
from medtl.methods.weighted import Weighted


class DensityRatio(Weighted):
    """Discriminative learning under covariate shift (Bickel, Brückner, Scheffer, JMLR 2009).

    p_T(x) / p_S(x) is, up to a constant, P(target | x) / P(source | x): the odds of a logistic regression that tells
    the sites apart by their features.
    """

    def weigh(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """By the odds of being of the target."""
        return density_ratio(source, target)
