"""A matrix that mixes the classes, its off-diagonal held small."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import loss_of, minimised, tells, truth_of
from medtl.trust.calibrators.maps import Linear, log_probabilities

#: How strongly the off-diagonal and the bias are held small, of which cross-validation chooses.
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
FOLDS = 5


def fit_matrix(logits: np.ndarray, label: np.ndarray, task: str) -> Linear:
    """Matrix scaling with off-diagonal and intercept regularisation (ODIR; Kull et al., NeurIPS 2019, 1910.12656).

    On log-probabilities, where it is their Dirichlet calibration. The mean squares of the off-diagonal and of the bias
    cost the same strength, chosen from 0.001 to 10 by 5-fold cross-validation of the likelihood on these scans; the
    paper has two strengths. The diagonal is drawn towards 1 by a hundredth of that. For some hundred scans of few
    classes and more; it may change which class is likeliest, and of two classes the ranking, where it is no longer
    monotone. Same arguments as `fit_temperature`.
    """
    z = log_probabilities(logits, task)
    truth = truth_of(label, z.shape[1], task)
    if not tells(truth, task):
        return Linear(_rows(np.eye(z.shape[1])), (0.0,) * z.shape[1])
    fold = np.random.default_rng(0).permutation(len(z)) % FOLDS

    def unseen(strength: float) -> float:
        """What those scans lose that a fit of the others has not seen."""
        lost = 0.0
        for number in range(FOLDS):
            weight, bias = _fit(z[fold != number], truth[fold != number], task, strength)
            lost += loss_of(z[fold == number] @ weight.T + bias, truth[fold == number], task)[0]
        return lost

    weight, bias = _fit(z, truth, task, min(STRENGTHS, key=unseen))
    return Linear(_rows(weight), tuple(float(b) for b in bias))


def _fit(z: np.ndarray, truth: np.ndarray, task: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    k = z.shape[1]
    held = np.where(np.eye(k, dtype=bool), strength / (100 * k), strength / max(k * (k - 1), 1))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        apart, bias = parameters[: k * k].reshape(k, k), parameters[k * k :]
        value, slope = loss_of(z @ (np.eye(k) + apart).T + bias, truth, task)
        n = len(z)
        value = value / n + np.sum(held * apart**2) + strength * np.mean(bias**2)
        by_weight = slope.T @ z / n + 2 * held * apart
        return value, np.r_[by_weight.ravel(), slope.sum(axis=0) / n + 2 * strength * bias / k]

    found = minimised(loss, np.zeros(k * k + k), [(-20.0, 20.0)] * (k * k + k))
    return np.eye(k) + found[: k * k].reshape(k, k), found[k * k :]


def _rows(weight: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(w) for w in row) for row in weight)
