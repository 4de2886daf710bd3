"""As sure as it is right, how often that is being told by the share of scans that it is sure of."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators import Map, Scaling, fit_temperature, probabilities_of
from medtl.trust.shift.seen import Seen, right, sureness, temperature_for


def fit_atc(source: Seen, target: Seen, task: str) -> Map:
    """The temperature at which the mean sureness is the accuracy that average thresholded confidence tells.

    Garg et al., ICLR 2022, arXiv:2201.04234: with the sureness above which as many source scans lie as are called
    right, the accuracy at the target is taken to be the share of its scans above. Difference of confidences (Guillory
    et al., ICCV 2021, arXiv:2107.03315) from a calibrated source would change nothing: what is expected there is what
    the source's temperature already says.
    """
    assert source.label is not None
    temperature = fit_temperature(source.logits, source.label, task).temperature
    home, here = (sureness(probabilities_of(site.logits, task, temperature), task) for site in (source, target))
    cut = np.quantile(home, 1 - right(source.logits, source.label, task).mean())
    return Scaling(temperature_for(target.logits, task, float(np.mean(here >= cut))))
