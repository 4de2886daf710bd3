"""Kernel mean matching."""

from __future__ import annotations

import numpy as np

from medtl.methods.importance import kernel_mean_matching
from medtl.methods.weighted import Weighted


class KMM(Weighted):
    """Kernel mean matching (Huang, Smola, Gretton, Borgwardt, Schölkopf, NIPS 2006).

    Source scans are weighed so that their mean in the kernel's feature space is the target's; the source loss is then
    that of the target, as far as a label hangs on the features alike at both sites.
    """

    def weigh(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """By the paper's quadratic programme."""
        return kernel_mean_matching(source, target)
