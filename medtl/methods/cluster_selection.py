"""Cluster-based selection of source scans."""

from __future__ import annotations

import numpy as np

from medtl.methods.importance import clusters
from medtl.methods.weighted import Weighted


class ClusterSelection(Weighted):
    """Cluster-based sample selection (Cortes, Mohri, Riley, Rostamizadeh, ALT 2008, arXiv:0805.2775).

    Both sites' scans are clustered together; source scans of a cluster count as its share of the target over its
    share of the source, and those of clusters where hardly any target scan lies are left out.
    """

    def weigh(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """By the shares of both sites in the cluster."""
        return clusters(source, target)
