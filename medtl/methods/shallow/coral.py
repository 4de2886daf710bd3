"""CORAL: the source's features with the target's covariance."""

from __future__ import annotations

import numpy as np

from medtl.methods.features import Affine, FeatureMethod, Labelled, Space, by_site, reduced


class CORAL(FeatureMethod):
    """Correlation alignment (Sun, Feng, Saenko, AAAI 2016, arXiv:1511.05547).

    The source is whitened and coloured again by the target, x' = x C_S^-1/2 C_T^1/2, each site standardised first, as
    in the paper; a classifier of x' works on the target as it is. The paper adds the identity to both covariances;
    here they are shrunk as Ledoit and Wolf's lemma says (skada), since few scans of many features have no inverse.
    """

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Whitened and coloured on the principal axes of both sites."""
        from skada import CORALAdapter

        space = reduced(by_site(source, target))
        both = np.concatenate([space.source, space.target])
        domain = np.r_[np.ones(len(space.source), int), np.full(len(space.target), -2)]
        found = CORALAdapter(reg="auto").fit(both, sample_domain=domain)
        coloured = found.cov_source_inv_sqrt_ @ found.cov_target_sqrt_
        return space.then(
            Affine(coloured, -found.mean_source_ @ coloured), Affine(np.eye(len(coloured)), -found.mean_target_)
        )
