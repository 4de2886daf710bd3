"""How far two models agree: visible without any label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.ranks import ranks


def rank_agreement(scores_a: ArrayLike, scores_b: ArrayLike) -> float:
    """Spearman's rank correlation of two models' scores on the same scans.

    Models that learnt the same signs rank the scans alike; where they stop doing so, accuracy falls with it ("agreement
    on the line", Baek et al., NeurIPS 2022, arXiv:2206.13089; here ranks instead of classes, because a shifted site
    moves the scores before it mixes them).

    Args:
        scores_a: (N,) of the positive class, or (N, K): the mean over the K columns.
        scores_b: the same shape.

    Returns:
        A number in [-1, 1]; nan where a model gives every scan the same score, or there are fewer than two scans.
    """
    a, b = (np.asarray(s, float) for s in (scores_a, scores_b))
    if a.shape != b.shape:
        raise ValueError(f"scores of the same scans are wanted, not {a.shape} and {b.shape}")
    a, b = (s[:, None] if s.ndim == 1 else s for s in (a, b))
    found = [_correlation(ranks(x), ranks(y)) for x, y in zip(a.T, b.T, strict=True)]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / size, -1, 1)) if len(x) > 1 and size > 0 else float("nan")
