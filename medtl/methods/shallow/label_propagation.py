"""Label propagation: labels flow from the source's scans to their neighbours at the target."""

from __future__ import annotations

from typing import Any

import numpy as np

from medtl.measures.graph import edges, normalised
from medtl.methods.features import FeatureMethod, Fitted, Labelled, Linear, Space, by_site, logistic, reduced


class LabelPropagation(FeatureMethod):
    """Label propagation (Zhou, Bousquet, Lal, Weston, Schölkopf, NIPS 2004; Zhu and Ghahramani, CMU 2002).

    On the graph of all scans' nearest neighbours, each site standardised first, the labels settle at
    F = (I - alpha S)^-1 Y, S = D^-1/2 A D^-1/2. That says something of the scans of the graph alone; a logistic
    regression on the target's scans, each counting for a class as much as F says, makes it a rule for new ones.

    Args:
        alpha: how much is taken from neighbours, and how little from the label that a scan has: the paper's 0.99.
        neighbours: of each scan.
    """

    def __init__(self, alpha: float = 0.99, neighbours: int = 10) -> None:
        self.alpha, self.neighbours = alpha, neighbours

    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """Where neighbours are looked for."""
        return reduced(by_site(source, target))

    def learn(self, source: Labelled, target: np.ndarray) -> Fitted:
        """The rule learnt from what reached the target's scans."""
        space = self.align(source, target)
        graph = edges(np.concatenate([space.source, space.target]), self.neighbours)
        if source.multilabel:
            truth = np.stack([source.label, 1 - source.label], axis=2).reshape(len(source.label), -1)
            seeds = np.nan_to_num(truth) * source.weight[:, None]
            shares = spread(graph, np.concatenate([seeds, np.zeros((len(target), seeds.shape[1]))]), self.alpha)
            shares = shares[len(source.label) :].reshape(len(target), -1, 2)
            found = [_rule(space, share[:, ::-1], 2, alike=False) for share in shares.transpose(1, 0, 2)]
            weight = np.stack([each.weight[1] - each.weight[0] for each in found])
            head = Linear(weight, np.stack([each.bias[1] - each.bias[0] for each in found]))
        else:
            seeds = np.eye(source.classes)[source.label] * source.weight[:, None]
            whole = np.concatenate([seeds, np.zeros((len(target), source.classes))])
            head = _rule(space, spread(graph, whole, self.alpha)[len(seeds) :], source.classes)
        return Fitted(head.after(space.at_target), head.after(space.at_source))


def _rule(space: Space, share: np.ndarray, classes: int, alike: bool = True) -> Linear:
    """Logistic regression on the target's scans, each as often as it has classes, with its share (M, classes)."""
    share = share / np.maximum(share.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    if alike:
        share = share / np.maximum(share.sum(axis=0), np.finfo(float).tiny)
    row, label = np.nonzero(share > 0)
    weight = share[row, label]
    told = Labelled(space.target[row], label, row, np.zeros(len(row), int), weight / weight.mean(), classes)
    return logistic(told)


def spread(graph: Any, seeds: np.ndarray, alpha: float) -> np.ndarray:
    """(I - alpha S)^-1 Y: what reaches each scan of `seeds` Y (N, classes), 0 where a scan has no label.

    Args:
        graph: scipy.sparse (N, N), symmetric weights.
        seeds: (N, classes).
        alpha: in [0, 1).
    """
    from scipy.sparse import identity
    from scipy.sparse.linalg import spsolve

    held: np.ndarray = spsolve((identity(len(seeds)) - alpha * normalised(graph)).tocsc(), seeds)
    return np.maximum(held.reshape(seeds.shape), 0.0)  # below 0 by rounding alone
