"""What the parametric calibrators share: the likelihood of labels, some of which may be unknown, and its slope."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medtl.trust.calibrators.maps import probabilities_of

#: Standard deviation of log temperature and of each bias: so weak that 50 scans outweigh it.
PRIOR = 2.0


def truth_of(label: np.ndarray, classes: int, task: str) -> np.ndarray:
    """(N, K) 0 or 1, nan where a label is not known."""
    label = np.asarray(label)
    return label.astype(float) if task == "multilabel" else np.eye(classes)[label.astype(int)]


def tells(truth: np.ndarray, task: str) -> bool:
    """Whether sureness can be judged: both values, or more than one class, occur."""
    if task == "multilabel":
        return bool(np.unique(truth[~np.isnan(truth)]).size > 1)
    return bool((truth.sum(axis=0) > 0).sum() > 1)


def loss_of(z: np.ndarray, truth: np.ndarray, task: str, weight: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Negative log-likelihood, summed over scans (each times its weight), and its slope by the logits z: (N, K)."""
    known = ~np.isnan(truth)
    so = np.where(known, truth, 0.0)
    each = np.ones((len(z), 1)) if weight is None else np.asarray(weight, float)[:, None]
    if task == "multilabel":
        value = np.sum(np.where(known, np.logaddexp(0, z) - so * z, 0.0) * each)
    else:
        value = np.sum((np.logaddexp.reduce(z, axis=1) - np.sum(so * z, axis=1)) * each[:, 0])
    return float(value), np.where(known, probabilities_of(z, task) - so, 0.0) * each


def minimised(
    loss: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, bounds: list[tuple[float, float]]
) -> np.ndarray:
    """Where a smooth loss is least, by L-BFGS-B."""
    from scipy.optimize import minimize  # here: the hospital's runtime applies and never fits

    options = {"ftol": 1e-12, "maxiter": 500}
    found: np.ndarray = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options).x
    return found
