"""Standardised by site: the least that can be done about another scanner."""

from __future__ import annotations

import numpy as np

from medtl.methods.features import FeatureMethod, Labelled, Space, by_site, reduced


class Standardise(FeatureMethod):
    """Each site standardised by itself (the z-scores of Gong et al., CVPR 2012).

    Every feature gets a mean of 0 and a standard deviation of 1 at each site: z = (x - mean_site) / spread_site.
    """

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Each site by its own mean and spread, on the principal axes of both."""
        return reduced(by_site(source, target))
