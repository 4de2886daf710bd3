"""Pure functions on labels, scores and features: metrics, intervals, calibration, decisions, distances, comparison."""

from medtl.measures.agreement import rank_agreement
from medtl.measures.calibration import (
    BrierDecomposition,
    ReliabilityCurve,
    brier,
    brier_decomposition,
    classwise_ece,
    ece,
    ece_expected_if_perfect,
    excess_ece,
    ks_calibration_error,
    nll,
    reliability_curve,
    sharpness,
)
from medtl.measures.decision import DecisionCurve, decision_curve
from medtl.measures.distances import proxy_a_distance
from medtl.measures.intervals import (
    Interval,
    auroc,
    average_precision,
    bootstrap_auroc,
    bootstrap_average_precision,
    delong,
    patient_bootstrap,
    percentile_interval,
)
from medtl.measures.label_free import (
    class_confusion,
    cluster_agreement,
    information,
    mean_entropy,
    nuclear_norm,
    prediction_correlation,
    soft_neighbourhood_density,
)
from medtl.measures.metrics import Task, evaluate, task_of
from medtl.measures.operating import (
    OperatingPoint,
    apply_threshold,
    operating_point,
    predictive_values,
    youden_threshold,
)
from medtl.measures.paired import Comparison, bootstrap_difference, compare_auroc
from medtl.measures.pointing import chance_level, hits, mass_inside
from medtl.measures.proportions import share_interval, wilson
from medtl.measures.selective import RiskCoverage, accuracy_without, risk_coverage
from medtl.measures.subgroups import Subgroup, age_bands, subgroups

__all__ = [
    "BrierDecomposition",
    "Comparison",
    "DecisionCurve",
    "Interval",
    "OperatingPoint",
    "ReliabilityCurve",
    "RiskCoverage",
    "Subgroup",
    "Task",
    "accuracy_without",
    "age_bands",
    "apply_threshold",
    "auroc",
    "average_precision",
    "bootstrap_auroc",
    "bootstrap_average_precision",
    "bootstrap_difference",
    "brier",
    "brier_decomposition",
    "chance_level",
    "class_confusion",
    "classwise_ece",
    "cluster_agreement",
    "compare_auroc",
    "decision_curve",
    "delong",
    "ece",
    "ece_expected_if_perfect",
    "evaluate",
    "excess_ece",
    "hits",
    "information",
    "ks_calibration_error",
    "mass_inside",
    "mean_entropy",
    "nll",
    "nuclear_norm",
    "operating_point",
    "patient_bootstrap",
    "percentile_interval",
    "prediction_correlation",
    "predictive_values",
    "proxy_a_distance",
    "rank_agreement",
    "reliability_curve",
    "risk_coverage",
    "share_interval",
    "sharpness",
    "soft_neighbourhood_density",
    "subgroups",
    "task_of",
    "wilson",
    "youden_threshold",
]
