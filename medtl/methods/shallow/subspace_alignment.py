"""Subspace alignment: the source's principal axes turned onto the target's."""

from __future__ import annotations

import numpy as np

from medtl.methods.features import Affine, FeatureMethod, Labelled, Space, by_site, reduced


class SubspaceAlignment(FeatureMethod):
    """Subspace alignment (Fernando, Habrard, Sebban, Tuytelaars, ICCV 2013).

    With the d first principal axes of each site, P_S and P_T (F, d), the source's coordinates are
    x_S P_S (P_S^T P_T) and the target's x_T P_T, each site standardised first.

    Args:
        dimensions: d. The paper's bound on stable subspaces gives some tens for hundreds of scans.
    """

    def __init__(self, dimensions: int = 40) -> None:
        self.dimensions = dimensions

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """The source in the target's axes."""
        from skada import SubspaceAlignmentAdapter

        space = reduced(by_site(source, target))
        both = np.concatenate([space.source, space.target])
        domain = np.r_[np.ones(len(space.source), int), np.full(len(space.target), -2)]
        most = min(self.dimensions, len(space.source) - 1, len(space.target) - 1, both.shape[1])
        found = SubspaceAlignmentAdapter(n_components=most, random_state=0).fit(both, sample_domain=domain)
        turned, here = found.pca_source_.components_.T @ found.M_, found.pca_target_.components_.T
        return space.then(
            Affine(turned, -found.pca_source_.mean_ @ turned), Affine(here, -found.pca_target_.mean_ @ here)
        )
