"""How source and target are brought together: one file a method, one line here."""

from medtl.methods.base import Batch, Method, Output, Step
from medtl.methods.dann import DANN
from medtl.methods.fixmatch import FixMatch
from medtl.methods.mcc import MCC
from medtl.methods.mean_teacher import MeanTeacher
from medtl.methods.pseudo_label import PseudoLabel
from medtl.methods.shot import SHOT
from medtl.methods.source_only import SourceOnly
from medtl.methods.tent import TENT

METHODS: dict[str, type[Method]] = {
    "source-only": SourceOnly,
    "dann": DANN,
    # Self-training
    "mcc": MCC,
    "pseudo-label": PseudoLabel,
    "mean-teacher": MeanTeacher,
    "fixmatch": FixMatch,
    # Source-free and test-time
    "shot": SHOT,
    "tent": TENT,
}

__all__ = ["DANN", "METHODS", "Batch", "Method", "Output", "SourceOnly", "Step"]
