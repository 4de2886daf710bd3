"""Pure functions on labels, scores and features: metrics, intervals, calibration, distances, label-free scores."""

from medtl.measures.agreement import rank_agreement
from medtl.measures.calibration import (
    ReliabilityCurve,
    brier,
    ece,
    ece_expected_if_perfect,
    excess_ece,
    nll,
    reliability_curve,
)
from medtl.measures.distances import proxy_a_distance
from medtl.measures.intervals import (
    Interval,
    auroc,
    bootstrap_auroc,
    delong,
    patient_bootstrap,
    percentile_interval,
)
from medtl.measures.label_free import (
    class_confusion,
    information,
    mean_entropy,
    nuclear_norm,
    soft_neighbourhood_density,
)
from medtl.measures.metrics import Task, evaluate, task_of

__all__ = [
    "Interval",
    "ReliabilityCurve",
    "Task",
    "auroc",
    "bootstrap_auroc",
    "brier",
    "class_confusion",
    "delong",
    "ece",
    "ece_expected_if_perfect",
    "evaluate",
    "excess_ece",
    "information",
    "mean_entropy",
    "nll",
    "nuclear_norm",
    "patient_bootstrap",
    "percentile_interval",
    "proxy_a_distance",
    "rank_agreement",
    "reliability_curve",
    "soft_neighbourhood_density",
    "task_of",
]
