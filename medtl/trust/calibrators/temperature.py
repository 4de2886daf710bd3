"""One number divides all logits."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import PRIOR, loss_of, minimised, tells, truth_of
from medtl.trust.calibrators.maps import Scaling

TEMPERATURES = (0.05, 20.0)


def fit_temperature(logits: np.ndarray, label: np.ndarray, task: str, weight: np.ndarray | None = None) -> Scaling:
    """Temperature scaling: one number divides all logits (Guo et al., ICML 2017, arXiv:1706.04599).

    Fitted by negative log-likelihood, which is convex in 1/T, on the scale of log T, within 0.05 to 20. A weak prior
    (log T normal around 0 with standard deviation 2) keeps T finite on a few scans that the model ranks perfectly.
    No ranking changes.

    Args:
        logits: (N, K).
        label: (N,) class numbers; multilabel: (N, K) 0, 1 or nan.
        task: "binary", "multiclass" or "multilabel".
        weight: (N,) how much each scan counts, 1 on average; None: alike.

    Returns:
        The temperature, and no bias. 1 where all scans are of one class: sureness cannot be judged there.
    """
    return fit_scaling(logits, label, task, with_bias=False, weight=weight)


def fit_scaling(
    logits: np.ndarray, label: np.ndarray, task: str, with_bias: bool, weight: np.ndarray | None = None
) -> Scaling:
    """A temperature, and a bias for each class `with_bias`; see `fit_temperature` and `fit_platt`."""
    logits = np.asarray(logits, float)
    classes = logits.shape[1]
    truth = truth_of(label, classes, task)
    if not tells(truth, task):
        return Scaling(1.0, (0.0,) * classes if with_bias else ())

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = logits / np.exp(parameters[0])
        value, slope = loss_of(scaled + parameters[1:] if with_bias else scaled, truth, task, weight)
        gradient = np.r_[-np.sum(slope * scaled), slope.sum(axis=0) if with_bias else []]
        return value + np.sum(parameters**2) / (2 * PRIOR**2), gradient + parameters / PRIOR**2

    low, high = np.log(TEMPERATURES)
    bounds = [(low, high)] + [(-10.0, 10.0)] * (classes if with_bias else 0)
    found = minimised(loss, np.zeros(len(bounds)), bounds)
    return Scaling(float(np.exp(found[0])), tuple(float(b) for b in found[1:]))
