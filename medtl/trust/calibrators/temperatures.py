"""An ensemble of temperatures: as fitted, none, and without end."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import tells, truth_of
from medtl.trust.calibrators.maps import Mixture, parts
from medtl.trust.calibrators.temperature import fit_temperature

#: As if so many scans had spoken for each part beforehand.
SCANS = np.array([2.0, 1.0, 1.0])
STEPS = 200


def fit_temperatures(logits: np.ndarray, label: np.ndarray, task: str) -> Mixture:
    """Ensemble temperature scaling (Zhang et al., Mix-n-Match, ICML 2020, arXiv:2003.07329).

    The mean of the probabilities at the fitted temperature, at temperature 1 and of chance, weighted by their
    likelihood: a model that is sure but sometimes utterly wrong is told so by the share of chance, which no
    temperature can. Fitted by expectation maximisation, which for the weights of a mixture is convex, from 4 scans'
    worth of prior weight. No ranking changes. Same arguments as `fit_temperature`.
    """
    temperature = fit_temperature(logits, label, task).temperature
    truth = truth_of(label, np.shape(logits)[1], task)
    if not tells(truth, task):
        return Mixture(temperature, (1.0, 0.0, 0.0))
    p = parts(logits, task, temperature)
    of_true = np.where(truth > 0.5, p, 1 - p)[:, ~np.isnan(truth)] if task == "multilabel" else (p * truth).sum(axis=2)
    weight = np.full(3, 1 / 3)
    for _ in range(STEPS):
        share = weight[:, None] * of_true
        weight = (share / np.maximum(share.sum(axis=0), 1e-300)).sum(axis=1) + SCANS
        weight = weight / weight.sum()
    return Mixture(temperature, tuple(map(float, weight)))
