"""A temperature and a bias for each class of its own."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import PRIOR, loss_of, minimised, tells, truth_of
from medtl.trust.calibrators.maps import Linear, log_probabilities

#: Standard deviation of each class's log scale around the one they share.
APART = 0.5


def fit_vector(logits: np.ndarray, label: np.ndarray, task: str) -> Linear:
    """Vector scaling (Guo et al., ICML 2017, arXiv:1706.04599): each class's logit has a scale and a bias of its own.

    On log-probabilities, so that a constant added to all logits changes nothing. The scales are positive, and drawn
    together: their logarithms are normal around one they share, with standard deviation 0.5, and that one and the
    biases have `fit_temperature`'s weak prior, so that few scans give about what `fit_platt` does. Of two classes no
    ranking changes. Same arguments as `fit_temperature`.
    """
    z = log_probabilities(logits, task)
    k = z.shape[1]
    truth = truth_of(label, k, task)
    held = 1 / np.r_[PRIOR, [APART] * k, [PRIOR] * k] ** 2

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = z * np.exp(parameters[0] + parameters[1 : k + 1])
        value, slope = loss_of(scaled + parameters[k + 1 :], truth, task)
        by_scale = (slope * scaled).sum(axis=0)
        gradient = np.r_[by_scale.sum(), by_scale, slope.sum(axis=0)]
        return value + np.sum(held * parameters**2) / 2, gradient + held * parameters

    start = np.zeros(2 * k + 1)
    bounds = [(-3.0, 3.0)] * (k + 1) + [(-10.0, 10.0)] * k
    found = minimised(loss, start, bounds) if tells(truth, task) else start
    weight = np.diag(np.exp(found[0] + found[1 : k + 1]))
    return Linear(tuple(tuple(float(w) for w in row) for row in weight), tuple(float(b) for b in found[k + 1 :]))
