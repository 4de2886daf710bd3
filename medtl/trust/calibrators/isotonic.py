"""A rising curve of whatever shape the scans have."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import tells, truth_of
from medtl.trust.calibrators.maps import Curves, one_against_rest
from medtl.trust.calibrators.temperature import fit_temperature

#: So many scans' worth of the temperature's probabilities are mixed into the curve.
SCANS = 5.0


def fit_isotonic(logits: np.ndarray, label: np.ndarray, task: str) -> Curves:
    """Isotonic regression (Zadrozny and Elkan, KDD 2002): the rising curve nearest to the labels.

    By scikit-learn, on the probabilities of a fitted temperature; more than two classes: a curve for each, one against
    the rest, then normalised. By itself it says 0 and 1 at the ends and ties scans that the model ranks; here five
    scans' worth of the temperature's probabilities are mixed in (a tenth at 50 scans, a hundredth at 500), so that no
    scan is sure and, of two classes, no ranking changes. For some 200 scans or more. Same arguments as
    `fit_temperature`.
    """
    from sklearn.isotonic import IsotonicRegression

    temperature = fit_temperature(logits, label, task).temperature
    told = np.exp(one_against_rest(np.asarray(logits, float) / temperature, task)[0])
    truth = truth_of(label, np.shape(logits)[1], task)[:, -told.shape[1] :]
    if not tells(truth_of(label, np.shape(logits)[1], task), task):
        ends = ((0.0, 1.0),) * told.shape[1]
        return Curves(temperature, ends, ends, steps=False, share=1.0)
    said, seen = [], []
    for p, so in zip(told.T, truth.T, strict=True):
        known = ~np.isnan(so)
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        if known.any():
            curve.fit(p[known], so[known])
        said.append(tuple(map(float, curve.X_thresholds_)) if known.any() else (0.0, 1.0))
        seen.append(tuple(map(float, curve.y_thresholds_)) if known.any() else (0.0, 1.0))
    return Curves(temperature, tuple(said), tuple(seen), steps=False, share=SCANS / (len(told) + SCANS))
