"""Optimal transport: each source scan is carried to where the target's scans lie."""

from __future__ import annotations

import warnings

import numpy as np

from medtl.methods.features import Affine, FeatureMethod, Labelled, Space, by_site, reduced


class OptimalTransport(FeatureMethod):
    """Optimal transport for domain adaptation (Courty, Flamary, Tuia, Rakotomamonjy, TPAMI 2017, arXiv:1507.00504).

    The cheapest plan that carries the source's scans onto the target's, by squared distance, each site standardised
    first. A scan moves to the mean of where its mass goes (the paper's equation 13), and keeps its label. The plan is
    smoothed by its entropy, and held from carrying scans of two classes to one place (the paper's OT-LpL1, by POT);
    of several labels a scan, by entropy alone. Scans held out at the source are judged by the affine map nearest to
    the transport.

    Args:
        entropy: in units of the largest cost; 0.003 to 0.1 did alike (docs/benchmarks.md).
        by_class: weight of the class term; 0.1 as in POT.
    """

    def __init__(self, entropy: float = 0.03, by_class: float = 0.1) -> None:
        self.entropy, self.by_class = entropy, by_class

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """The source where it is carried to."""
        from ot.da import SinkhornLpl1Transport, SinkhornTransport

        space = reduced(by_site(source, target))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sinkhorn did not converge")  # a plan nearly there carries as well
            if source.multilabel:
                plan = SinkhornTransport(reg_e=self.entropy, norm="max").fit(Xs=space.source, Xt=space.target)
            else:
                plan = SinkhornLpl1Transport(reg_e=self.entropy, reg_cl=self.by_class, norm="max")
                plan.fit(Xs=space.source, ys=source.label, Xt=space.target)
        carried = plan.transform(Xs=space.source)
        same = Affine(np.eye(carried.shape[1]), np.zeros(carried.shape[1]))
        return space.then(nearest_affine(space.source, carried), same)._replace(source=carried)


def nearest_affine(start: np.ndarray, end: np.ndarray, ridge: float = 1e-3) -> Affine:
    """The affine map that takes rows of `start` (N, D) nearest to those of `end`, by least squares."""
    mean, there = start.mean(axis=0), end.mean(axis=0)
    x = start - mean
    square = x.T @ x
    held_back = square + ridge * np.trace(square) / len(square) * np.eye(len(square))
    matrix = np.linalg.solve(held_back, x.T @ (end - there))
    return Affine(matrix, there - mean @ matrix)
