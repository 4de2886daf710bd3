"""Cosine classifier: a scan belongs to the class whose direction it points in."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, softmax

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head, choose
from medtl.models.heads import CosineHead

#: What cosines are multiplied by while the directions are fitted; 10 is the papers'. The smaller, the more each scan
#: counts, down to the plain means of unit vectors; the larger, the more do those near the border.
SCALES = (10.0, 2.5, 5.0, 20.0, 40.0)


class Cosine(Strategy):
    """A cosine classifier on the features (Gidaris, Komodakis, CVPR 2018; Chen et al., ICLR 2019, arXiv:1904.04232).

    Each class begins at the mean of its scans' unit vectors (Gidaris and Komodakis, equation 5), then the cross-entropy
    moves it. Features are standardised by all scans of the site; cross-validation by patient chooses the scale.
    """

    reads, trains = True, False

    @classmethod
    def head(cls, few: Few) -> Head:
        """A `CosineHead`; of several labels a scan, one direction each, from those without it to those with it."""
        return choose(few, _fit, [(scale,) for scale in SCALES])


def _fit(few: Few, scale: float) -> Head:
    z, truth = few.standardised(few.features), few.truth
    z /= np.linalg.norm(z, axis=1, keepdims=True) + 1e-12
    _, _, axes = np.linalg.svd(z, full_matrices=False)  # the directions stay in the span of the labelled scans
    z = z @ axes.T
    count = np.nansum(truth, axis=0)
    start = np.nan_to_num(truth).T @ z / np.maximum(count, 1)[:, None]
    if few.multilabel:
        start = start - np.nan_to_num(1 - truth).T @ z / np.maximum(np.nansum(1 - truth, axis=0), 1)[:, None]
    start[np.linalg.norm(start, axis=1) < 1e-9] = 1e-3  # no scan of the class: any direction, which is then moved
    found = minimize(_loss, start.ravel(), (z, truth, scale, few.multilabel), jac=True, method="L-BFGS-B")
    weight = found.x.reshape(start.shape) @ axes
    centre, spread, directions = (torch.from_numpy(each) for each in (few.centre, few.spread, weight))
    head = CosineHead(centre, spread, directions, gain=scale)
    k, f = few.logits.shape[1], few.features.shape[1]
    return Head(source_weight=0.0, weight=np.zeros((k, f)), bias=np.zeros(k), more=head)


def _loss(
    flat: np.ndarray, z: np.ndarray, truth: np.ndarray, scale: float, multilabel: bool
) -> tuple[float, np.ndarray]:
    """Cross-entropy of directions (K * D,) on unit vectors z (N, D), each class counting alike; and its gradient."""
    weight = flat.reshape(truth.shape[1], -1)
    length = np.linalg.norm(weight, axis=1, keepdims=True) + 1e-12
    unit = weight / length
    logits, shares = scale * z @ unit.T, _shares(truth, multilabel)
    if multilabel:
        loss = -np.nansum(shares * log_expit(np.where(truth > 0.5, logits, -logits)))
        error = np.nan_to_num(shares * (expit(logits) - truth))
    else:
        loss = -(shares * truth * log_softmax(logits, axis=1)).sum()
        error = shares * (softmax(logits, axis=1) - truth)
    gradient = scale * error.T @ z
    gradient = (gradient - (gradient * unit).sum(axis=1, keepdims=True) * unit) / length
    return float(loss), gradient.ravel()


def _shares(truth: np.ndarray, multilabel: bool) -> np.ndarray:
    """(N, K) how much each label counts: the labelled scans of a class together as much as those of another."""
    yes, no = np.maximum(np.nansum(truth, axis=0), 1), np.maximum(np.nansum(1 - truth, axis=0), 1)
    if multilabel:
        return np.where(np.isnan(truth), np.nan, np.where(truth > 0.5, 1 / yes, 1 / no)) * len(truth) / 2
    share = (truth / yes).sum(axis=1, keepdims=True) * len(truth) / truth.shape[1]
    return np.broadcast_to(share, truth.shape)
