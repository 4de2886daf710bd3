"""Fitted so that a model can be trusted: calibrator, threshold, conformal sets, out-of-distribution, verdict."""

from medtl.trust.calibrators import CALIBRATORS, Map, Scaling, fit_platt, fit_temperature, probabilities_of
from medtl.trust.expected_loss import ExpectedLoss, expected_loss
from medtl.trust.out_of_distribution import Familiarity, fit_familiarity, half_the_patients, looked_at
from medtl.trust.predictions import predictions_frame
from medtl.trust.trust import Judgement, Trust, apply_trust, fit_trust
from medtl.trust.verdict import Verdict, scans_to_label, verdict

__all__ = [
    "CALIBRATORS",
    "ExpectedLoss",
    "Familiarity",
    "Judgement",
    "Map",
    "Scaling",
    "Trust",
    "Verdict",
    "apply_trust",
    "expected_loss",
    "fit_familiarity",
    "fit_platt",
    "fit_temperature",
    "fit_trust",
    "half_the_patients",
    "looked_at",
    "predictions_frame",
    "probabilities_of",
    "scans_to_label",
    "verdict",
]
