"""A curve with a slope of its own at each end."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import PRIOR, loss_of, minimised, tells, truth_of
from medtl.trust.calibrators.maps import Betas, one_against_rest


def fit_beta(logits: np.ndarray, label: np.ndarray, task: str) -> Betas:
    """Beta calibration (Kull et al., AISTATS 2017): log odds = a ln p - b ln(1 - p) + c, with a and b above 0.

    a = b is Platt's sigmoid; else the curve may be steeper towards one end. More than two classes: a curve for each,
    one against the rest, then normalised. ln a, ln b and c have `fit_temperature`'s weak prior, so that it stays
    finite on few scans; it has one parameter more than `fit_platt` and takes some 100 scans. Of two classes no ranking
    changes. Same arguments as `fit_temperature`.
    """
    log_p, log_rest = one_against_rest(logits, task)
    truth = truth_of(label, np.shape(logits)[1], task)
    if not tells(truth, task):
        flat = (1.0,) * log_p.shape[1]
        return Betas(flat, flat, (0.0,) * log_p.shape[1])
    truth = truth[:, -log_p.shape[1] :]
    curves = zip(log_p.T, log_rest.T, truth.T, strict=True)
    a, b, c = np.transpose([_fit(p, rest, so[:, None]) for p, rest, so in curves])
    return Betas(tuple(map(float, a)), tuple(map(float, b)), tuple(map(float, c)))


def _fit(log_p: np.ndarray, log_rest: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = np.exp(parameters[:2])
        value, slope = loss_of((a * log_p - b * log_rest + parameters[2])[:, None], truth, "multilabel")
        slope = slope[:, 0]
        gradient = np.array([np.sum(slope * a * log_p), -np.sum(slope * b * log_rest), slope.sum()])
        return value + np.sum(parameters**2) / (2 * PRIOR**2), gradient + parameters / PRIOR**2

    log_a, log_b, c = minimised(loss, np.zeros(3), [(-3.0, 3.0), (-3.0, 3.0), (-10.0, 10.0)])
    return float(np.exp(log_a)), float(np.exp(log_b)), float(c)
