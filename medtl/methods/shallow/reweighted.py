"""Reweighted: source scans that are like the target's count for more."""

from __future__ import annotations

import numpy as np

from medtl.errors import InputError, nearest
from medtl.methods.features import FeatureMethod, Labelled, Space, reduced, together
from medtl.methods.importance import WEIGHTS, within_classes


class Reweighted(FeatureMethod):
    """Importance-weighted logistic regression (Shimodaira, Journal of Statistical Planning and Inference 2000).

    Source scans count as p_T(x) / p_S(x), 1 on average in each class, so that errors where the target's scans lie are
    what is made few.

    Args:
        by: how the ratio is found: "density-ratio", "kmm", "kliep" or "clusters" (medtl.methods.importance).
    """

    def __init__(self, by: str = "density-ratio") -> None:
        if by not in WEIGHTS:
            known = ", ".join(WEIGHTS)
            raise InputError(f"reweighted has no way {by!r} of weighing: {nearest(by, WEIGHTS, f'there is {known}')}")
        self.by = by

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Both sites as they are, and the weights."""
        space = reduced(together(source, target))
        return space._replace(weight=within_classes(WEIGHTS[self.by](source.features, target), source.label))
