"""Prototypes: a scan belongs to the class whose mean is nearest."""

from __future__ import annotations

import numpy as np

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head, choose, margin_scale


class Prototypes(Strategy):
    """The nearest class mean (Snell et al., NIPS 2017, arXiv:1703.05175).

    Distances are Euclidean, on features standardised by all scans of the site. |z - p|^2 is, but for |z|^2, which is
    the same for all classes, linear in z, so that prototypes are one linear layer (the paper's section 2.4).
    """

    reads, trains = True, False

    @classmethod
    def head(cls, few: Few) -> Head:
        """One prototype a class; of several labels a scan, one with and one without each."""
        return choose(few, _nearest_mean, [()])


def _nearest_mean(few: Few) -> Head:
    z, truth = few.standardised(few.features), few.truth
    mean, length = _means(z, truth == 1)
    if few.multilabel:
        without, length_without = _means(z, truth == 0)
        mean, length = mean - without, length - length_without
    weight = 2 * mean / few.spread
    bias = -length - weight @ few.centre
    unit = margin_scale(few.all_features @ weight.T + bias, few.multilabel)
    return Head(source_weight=0.0, weight=weight / unit, bias=bias / unit)


def _means(z: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (K, F) of each column's members, and its squared length (K,).

    A mean of few is too long, by the variance of its members over their number: a rare class would seem far away. That
    is taken off, with the variance that all share.
    """
    count = member.sum(axis=0)
    mean = member.T @ z / np.maximum(count, 1)[:, None]  # the site's centre for a class that no scan has
    within = sum(((z[member[:, c]] - mean[c]) ** 2).sum() for c in range(len(count)))
    variance = within / max(int((count - 1).clip(min=0).sum()), 1)
    return mean, (mean**2).sum(axis=1) - variance / np.maximum(count, 1)
