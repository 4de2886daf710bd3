"""How source and target are brought together: one file a method, one line here."""

from medtl.methods.adabn import AdaBN
from medtl.methods.adda import ADDA
from medtl.methods.afn import AFN
from medtl.methods.base import Batch, Method, Output, Step
from medtl.methods.bsp import BSP
from medtl.methods.cdan import CDAN, CDANE
from medtl.methods.cluster_selection import ClusterSelection
from medtl.methods.dan import DAN
from medtl.methods.dann import DANN
from medtl.methods.deep_coral import DeepCORAL
from medtl.methods.deep_jdot import DeepJDOT
from medtl.methods.density_ratio import DensityRatio
from medtl.methods.distill import Distill
from medtl.methods.dsbn import DSBN
from medtl.methods.fixmatch import FixMatch
from medtl.methods.graph import Graph
from medtl.methods.iwan import IWAN
from medtl.methods.jan import JAN
from medtl.methods.kliep import KLIEP
from medtl.methods.kmm import KMM
from medtl.methods.mcc import MCC
from medtl.methods.mcd import MCD
from medtl.methods.mdan import MDAN
from medtl.methods.mdd import MDD
from medtl.methods.mean_teacher import MeanTeacher
from medtl.methods.multi_task import MultiTask
from medtl.methods.pada import PADA
from medtl.methods.pseudo_label import PseudoLabel
from medtl.methods.shot import SHOT
from medtl.methods.source_only import SourceOnly
from medtl.methods.tent import TENT
from medtl.methods.wdgrl import WDGRL

METHODS: dict[str, type[Method]] = {
    "source-only": SourceOnly,
    # By feature, adversarial
    "dann": DANN,
    "cdan": CDAN,
    "cdan-e": CDANE,
    "bsp": BSP,
    "adda": ADDA,
    "mcd": MCD,
    "mdd": MDD,
    "wdgrl": WDGRL,
    "mdan": MDAN,
    "iwan": IWAN,
    "pada": PADA,
    # By feature, matching
    "dan": DAN,
    "jan": JAN,
    "deep-coral": DeepCORAL,
    "deep-jdot": DeepJDOT,
    "afn": AFN,
    "adabn": AdaBN,
    "dsbn": DSBN,
    # By instance
    "kmm": KMM,
    "density-ratio": DensityRatio,
    "kliep": KLIEP,
    "cluster-selection": ClusterSelection,
    # By model
    "multi-task": MultiTask,
    "distill": Distill,
    # By relation
    "graph": Graph,
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
