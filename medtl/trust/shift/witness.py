"""Less sure than at home, as far as a second model contradicts, and as often positive as at home."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators import Map, Scaling, fit_platt, fit_temperature, probabilities_of
from medtl.trust.calibrators.temperature import TEMPERATURES
from medtl.trust.shift.seen import Seen

#: At another site no model is taken to be surer than at this many times the temperature that it takes at home. Chosen
#: on the half of the target's patients that is not reported (docs/calibration.md).
LEAST = 2.0
#: The share of a change of the mean probability that is taken for the pictures' doing, not the prevalence's. As above.
PICTURES = 0.75
_STEPS = 500


def fit_witness(source: Seen, target: Seen, task: str) -> Map:
    """The source's temperature, raised as far as the agreement with a witness falls, and its mean probability kept.

    Over many models and shifts, how often two models agree falls with how often they are right (Baek et al., NeurIPS
    2022, arXiv:2206.13089; Jiang et al., ICLR 2022, arXiv:2106.13799). So what the witness calls a scan is taken for
    its label, at both sites: a model that takes a temperature of 2 at home and of 8 at the target to be calibrated to
    these labels takes, at the target, four times the temperature T that calibrates it at home to the true ones: the
    rise r, twice at least. With b three quarters of the bias that would make the mean probabilities at the target what
    they are at home, and a the logarithm of the latter,

        probabilities = softmax(a + (logits / T + b - a) / r):

    a model that is sure of nothing says how frequent the classes are at home. Not to be used where the prevalence is
    known to be another: then it is wrong by three quarters of that. Blind to what both models get wrong in the same
    way. Without a witness r is 2.
    """
    assert source.label is not None
    temperature = fit_temperature(source.logits, source.label, task).temperature
    home = probabilities_of(source.logits, task, temperature).mean(axis=0)
    bias = PICTURES * _bias_for(target.logits / temperature, home, task)
    usual = _log_odds(home, task)
    rise = max(LEAST, _rise(source, target, task))
    return Scaling(temperature * rise, tuple(map(float, bias / rise + usual * (1 - 1 / rise))))


def _rise(source: Seen, target: Seen, task: str) -> float:
    """How many times the temperature at home it takes at the target to be calibrated to the witness's calls."""
    if source.witness is None or target.witness is None:
        return 1.0
    home, here = (
        fit_platt(site.logits, called, task).temperature if len(np.unique(called)) > 1 else TEMPERATURES[1]
        for site in (source, target)
        for called in [_called(site.witness, task)]
    )
    return here / home


def _called(logits: np.ndarray | None, task: str) -> np.ndarray:
    """What logits (N, K) call a scan: (N,) class numbers, or (N, K) 0 or 1."""
    assert logits is not None
    return (logits > 0).astype(float) if task == "multilabel" else logits.argmax(axis=1)


def _bias_for(logits: np.ndarray, mean: np.ndarray, task: str) -> np.ndarray:
    """(K,) what must be added to the logits for these mean probabilities, by iterative scaling."""
    bias = np.zeros(len(mean))
    for _ in range(_STEPS):
        step = _log_odds(mean, task) - _log_odds(probabilities_of(logits + bias, task).mean(axis=0), task)
        bias += step
        if np.abs(step).max() < 1e-6:
            break
    return bias


def _log_odds(mean: np.ndarray, task: str) -> np.ndarray:
    """The logits of these mean probabilities."""
    mean = np.clip(mean, 1e-6, 1 - 1e-6)
    if task == "multilabel":
        return np.log(mean) - np.log(1 - mean)
    return np.log(mean) - np.log(mean).mean()
