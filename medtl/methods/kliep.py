"""KLIEP: the density ratio fitted straight away."""

from __future__ import annotations

import numpy as np

from medtl.methods.importance import kliep
from medtl.methods.weighted import Weighted


class KLIEP(Weighted):
    """Direct importance estimation (Sugiyama et al., Annals of the Institute of Statistical Mathematics 2008).

    The ratio p_T(x) / p_S(x) is a sum of kernels around target scans, fitted so that the target's scans are likeliest
    under the reweighted source (the least Kullback-Leibler divergence).
    """

    def weigh(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """By kernels around the target's scans."""
        return kliep(source, target)
