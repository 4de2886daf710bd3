"""What a model says of a site's scans, and the temperature at which it is as sure as it is said to be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medtl.trust.calibrators import probabilities_of

_LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))  # as `fit_temperature`


@dataclass(frozen=True)
class Seen:
    """What is known of a site's scans.

    Attributes:
        logits: (N, K).
        features: (N, F).
        label: (N,) class numbers; several labels: (N, K) 0, 1 or nan; None at the site without labels.
        witness: (N, K) logits of a second model of the same task for the same scans; None: there is none.
    """

    logits: np.ndarray
    features: np.ndarray
    label: np.ndarray | None = None
    witness: np.ndarray | None = None


def sureness(probabilities: np.ndarray, task: str) -> np.ndarray:
    """(N,) probability of what is likeliest; several labels: its mean over them."""
    if task == "multilabel":
        return np.maximum(probabilities, 1 - probabilities).mean(axis=1)
    return probabilities.max(axis=1)


def right(logits: np.ndarray, label: np.ndarray, task: str) -> np.ndarray:
    """(N,) 1 where what is likeliest is true, else 0; several labels: the share of those that are known."""
    if task == "multilabel":
        known = ~np.isnan(np.asarray(label, float))
        hit = ((logits > 0) == (np.nan_to_num(label) > 0.5)) & known
        return hit.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return (logits.argmax(axis=1) == label).astype(float)


def temperature_for(logits: np.ndarray, task: str, accuracy: float) -> float:
    """The temperature at which the mean sureness is this accuracy; the nearest of 0.05 to 20 where none is."""
    low, high = _LOG_TEMPERATURES
    for _ in range(60):  # the mean sureness falls with the temperature
        middle = (low + high) / 2
        if sureness(probabilities_of(logits, task, float(np.exp(middle))), task).mean() > accuracy:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
