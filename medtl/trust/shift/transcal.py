"""As sure as the source's scans, weighted to look like the target's, say that it is right."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators import Map, Scaling
from medtl.trust.density_ratio import fit_ratio
from medtl.trust.shift.seen import Seen, right, temperature_for

#: The exponents of the weights that are tried: 0 counts all alike, 1 is plain importance weighting.
EXPONENTS = np.linspace(0, 1, 11)


def fit_transcal(source: Seen, target: Seen, task: str) -> Map:
    """Transferable calibration (Wang et al., NeurIPS 2020, arXiv:2007.08259).

    The accuracy at the target is estimated from the labelled source scans, weighted by their density ratio to a power
    (which trades bias for variance) and with two control variates of known mean, the weights' and the unweighted
    accuracy's; the temperature makes the mean sureness at the target equal to it. Of the powers 0 to 1 that one is
    taken whose estimate, plus or minus its standard error, is least uncertain beside what plain importance weighting
    says; the paper learns the power together with the temperature.
    """
    assert source.label is not None
    weight = fit_ratio(source.features, target.features)(source.features)
    hit = right(source.logits, source.label, task)
    estimates = [_accuracy(weight**power / np.mean(weight**power), hit) for power in EXPONENTS]
    plain, _ = estimates[-1]
    accuracy, _ = min(estimates, key=lambda each: (each[0] - plain) ** 2 + each[1] ** 2)
    return Scaling(temperature_for(target.logits, task, float(np.clip(accuracy, 0, 1))))


def _accuracy(weight: np.ndarray, hit: np.ndarray) -> tuple[float, float]:
    """The weighted accuracy with its control variates, and its standard error."""
    value = weight * hit
    for control in (weight, hit):
        spread = np.var(control)
        slope = np.mean((value - value.mean()) * (control - control.mean())) / spread if spread > 1e-12 else 0.0
        value = value - slope * (control - (1.0 if control is weight else hit.mean()))
    return float(value.mean()), float(value.std() / np.sqrt(len(value)))
