"""Another prevalence, estimated without labels, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medtl.trust.calibrators import Map, Scaling, fit_platt
from medtl.trust.shift.seen import Seen

#: (probabilities (N, K) and labels (N,) at the source, probabilities (M, K) at the target) -> shares (K,).
Estimate = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

STEPS = 1000
#: Counted for each class beforehand, so that no class disappears.
SCANS = 1.0


def fit_label_shift(source: Seen, target: Seen, task: str) -> Map:
    """Expectation maximisation of the target's class shares (Saerens et al., Neural Computation 2002).

    From probabilities calibrated at the source by a bias-corrected temperature (Alexandari et al., ICML 2020,
    arXiv:1901.06852). Right where each class looks at the target as it does at the source; where the pictures differ,
    the shares that it finds are wrong, and so is the bias. Several labels: each by itself.
    """
    return _with_shares(source, target, task, expected_shares)


def fit_bbse(source: Seen, target: Seen, task: str) -> Map:
    """Black-box shift estimation (Lipton et al., ICML 2018, arXiv:1802.03916) of the target's class shares.

    The shares are solved from the mean probabilities at the target and the source's soft confusion matrix, where they
    are not negative. Otherwise as `fit_label_shift`.
    """
    return _with_shares(source, target, task, solved_shares)


def _with_shares(source: Seen, target: Seen, task: str, estimate: Estimate) -> Map:
    assert source.label is not None
    at_home = fit_platt(source.logits, source.label, task)
    p, here = at_home(source.logits, task), at_home(target.logits, task)
    bias = np.array(at_home.bias, float)
    if task == "multilabel":
        for k in range(p.shape[1]):
            ratio = _ratio(*one_label(p, source.label, here, k), estimate)
            bias[k] += np.log(ratio[1] / ratio[0])
    else:
        bias += np.log(_ratio(p, source.label, here, estimate))
    return Scaling(at_home.temperature, tuple(map(float, bias)))


def _ratio(p: np.ndarray, label: np.ndarray, here: np.ndarray, estimate: Estimate) -> np.ndarray:
    """(K,) how much more frequent each class is at the target."""
    ratio: np.ndarray = estimate(p, label, here) / usual_shares(label, p.shape[1])
    return ratio


def one_label(p: np.ndarray, label: np.ndarray, here: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of several labels the k-th as two classes, "no" and "yes": (N, 2), (N,) where it is known, and (M, 2)."""
    known = ~np.isnan(label[:, k])
    pair, there = (np.stack([1 - q, q], axis=1) for q in (p[known, k], here[:, k]))
    return pair, label[known, k].astype(int), there


def usual_shares(label: np.ndarray, classes: int) -> np.ndarray:
    """(K,) how frequent each class is at the source, each counted once beforehand."""
    shares: np.ndarray = (np.bincount(label, minlength=classes) + SCANS) / (len(label) + SCANS * classes)
    return shares


def expected_shares(p: np.ndarray, label: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Expectation maximisation (Saerens 2002): (K,) the target's class shares, which sum to 1.

    Args:
        p: (N, K) calibrated probabilities at the source.
        label: (N,) class numbers there.
        here: (M, K) the same model's probabilities at the target, which expect the source's shares.
    """
    usual = usual_shares(label, p.shape[1])
    share = usual
    for _ in range(STEPS):
        ratio = share / usual
        found = (ratio * (here.T @ (1 / (here @ ratio))) + SCANS) / (len(here) + SCANS * p.shape[1])
        if np.abs(found - share).max() < 1e-9:
            break
        share = found
    return share


def solved_shares(p: np.ndarray, label: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Black-box shift estimation (Lipton 2018), soft: (K,) the target's class shares, which sum to 1.

    The mean of `here` is the source's confusion matrix times how much more frequent each class is. Arguments as of
    `expected_shares`. No class has less than a hundredth of its share at the source.
    """
    from scipy.optimize import nnls

    usual = usual_shares(label, p.shape[1])
    confusion = p.T @ np.eye(p.shape[1])[label] / len(label)
    ratio = np.maximum(nnls(confusion, here.mean(axis=0))[0], 1e-2)
    shares: np.ndarray = ratio * usual / np.sum(ratio * usual)
    return shares
