"""Another prevalence, estimated without labels, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medtl.trust.calibrators import Map, Scaling, fit_platt
from medtl.trust.shift.seen import Seen

STEPS = 1000
#: Counted for each class beforehand, so that no class disappears.
SCANS = 1.0


def fit_label_shift(source: Seen, target: Seen, task: str) -> Map:
    """Expectation maximisation of the target's class shares (Saerens et al., Neural Computation 2002).

    From probabilities calibrated at the source by a bias-corrected temperature (Alexandari et al., ICML 2020,
    arXiv:1901.06852). Right where each class looks at the target as it does at the source; where the pictures differ,
    the shares that it finds are wrong, and so is the bias. Several labels: each by itself.
    """
    return _with_shares(source, target, task, _expected)


def fit_bbse(source: Seen, target: Seen, task: str) -> Map:
    """Black-box shift estimation (Lipton et al., ICML 2018, arXiv:1802.03916) of the target's class shares.

    The shares are solved from the mean probabilities at the target and the source's soft confusion matrix, where they
    are not negative. Otherwise as `fit_label_shift`.
    """
    return _with_shares(source, target, task, _solved)


def _with_shares(
    source: Seen,
    target: Seen,
    task: str,
    estimate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Map:
    assert source.label is not None
    at_home = fit_platt(source.logits, source.label, task)
    p, here = at_home(source.logits, task), at_home(target.logits, task)
    bias = np.array(at_home.bias, float)
    if task == "multilabel":
        for k in range(p.shape[1]):
            known = ~np.isnan(source.label[:, k])
            pair, there = (np.stack([1 - q, q], axis=1) for q in (p[known, k], here[:, k]))
            ratio = estimate(pair, source.label[known, k].astype(int), there)
            bias[k] += np.log(ratio[1] / ratio[0])
    else:
        bias += np.log(estimate(p, source.label, here))
    return Scaling(at_home.temperature, tuple(map(float, bias)))


def _expected(p: np.ndarray, label: np.ndarray, here: np.ndarray) -> np.ndarray:
    """(K,) how much more frequent each class is at the target."""
    usual = (np.bincount(label, minlength=p.shape[1]) + SCANS) / (len(label) + SCANS * p.shape[1])
    share = usual
    for _ in range(STEPS):
        after = here * (share / usual)
        after /= after.sum(axis=1, keepdims=True)
        found = (after.sum(axis=0) + SCANS) / (len(here) + SCANS * p.shape[1])
        if np.abs(found - share).max() < 1e-9:
            break
        share = found
    return share / usual


def _solved(p: np.ndarray, label: np.ndarray, here: np.ndarray) -> np.ndarray:
    """(K,) how much more frequent each class is at the target."""
    from scipy.optimize import nnls

    confusion = p.T @ np.eye(p.shape[1])[label] / len(label)
    found = np.maximum(nnls(confusion, here.mean(axis=0))[0], 1e-2)
    usual = np.bincount(label, minlength=p.shape[1]) / len(label)
    ratio: np.ndarray = found / np.sum(found * usual)
    return ratio
