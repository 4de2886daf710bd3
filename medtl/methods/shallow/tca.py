"""Transfer component analysis: axes on which the two sites have the same mean and scans still differ."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from medtl.methods.features import Affine, FeatureMethod, Labelled, Space, reduced, together


class TCA(FeatureMethod):
    """Transfer component analysis with a linear kernel (Pan, Tsang, Kwok, Yang, IEEE TNN 2011).

    The paper seeks W (N, m), for the kernel K of all scans, that minimises

        tr(W^T K L K W) + mu tr(W^T W)   subject to   W^T K H K W = I,

    the first term being the squared distance of the sites' means (MMD) after the map. With K = X X^T the map is
    P = X^T W (F, m), and the same problem in F dimensions is  (d d^T + mu (X^T X)^-1) p = lambda X^T H X p,  d the
    difference of the means: exact for the linear kernel, and no N x N matrix. The components with the smallest lambda
    are kept, scaled as the constraint says.

    Args:
        dimensions: m; at most half the axes there are. 80 did as well as any from Egypt and Brazil to Poland
            (docs/benchmarks.md).
        mu: 1 in the paper, for kernels of which a scan has about 1 with itself, as here.
    """

    def __init__(self, dimensions: int = 80, mu: float = 1.0) -> None:
        self.dimensions, self.mu = dimensions, mu

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Both sites on the transfer components."""
        space = reduced(together(source, target))
        both = np.concatenate([space.source, space.target])
        scale = 1 / np.sqrt((both**2).sum(axis=1).mean())
        most = min(self.dimensions, max(1, both.shape[1] // 2))  # all of them keep the sites' difference too
        components = transfer_components(space.source * scale, space.target * scale, most, self.mu) * scale
        turned = Affine(components, np.zeros(components.shape[1]))
        return space.then(turned, turned)


def transfer_components(source: np.ndarray, target: np.ndarray, dimensions: int, mu: float) -> np.ndarray:
    """P (F, m) of source (N, F) and target (M, F), whose rows together have the rank F."""
    both = np.concatenate([source, target])
    difference = source.mean(axis=0) - target.mean(axis=0)
    inverse = np.linalg.inv(both.T @ both)
    kept = (both - both.mean(axis=0)).T @ both  # X^T H X
    _, axes = eigh(kept, np.outer(difference, difference) + mu * inverse)  # its largest are the smallest lambda
    axes = axes[:, ::-1][:, :dimensions]
    return axes / np.sqrt(np.einsum("fm,fg,gm->m", axes, kept, axes))
