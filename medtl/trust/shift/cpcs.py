"""A temperature fitted on the source's scans that look most like the target's."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators import Map, fit_temperature
from medtl.trust.density_ratio import fit_ratio
from medtl.trust.shift.seen import Seen


def fit_cpcs(source: Seen, target: Seen, task: str) -> Map:
    """Calibrated prediction under covariate shift (Park et al., AISTATS 2020, arXiv:2003.00343).

    The temperature of least weighted negative log-likelihood, each labelled source scan weighted by how much more
    frequent its features are at the target (`fit_ratio`). Right where the label hangs on the features in the same way
    at both sites, and the target's scans have their like at the source. The paper weights the squared error.
    """
    assert source.label is not None
    weight = fit_ratio(source.features, target.features)(source.features)
    return fit_temperature(source.logits, source.label, task, weight / np.mean(weight))
