"""How a model learns from a few labels: one file a strategy, one line here."""

from medtl.finetuning.base import Strategy
from medtl.finetuning.bitfit import BitFit
from medtl.finetuning.cosine import Cosine
from medtl.finetuning.delta import DELTA
from medtl.finetuning.full import Full
from medtl.finetuning.gradual import Gradual
from medtl.finetuning.l2_sp import L2SP
from medtl.finetuning.layer_decay import LayerDecay
from medtl.finetuning.layers import Layers
from medtl.finetuning.linear_probe import LinearProbe
from medtl.finetuning.logistic import Logistic
from medtl.finetuning.lp_ft import LPFT
from medtl.finetuning.mme import MME
from medtl.finetuning.norm_only import NormOnly
from medtl.finetuning.prototypes import Prototypes
from medtl.finetuning.tip_adapter import TipAdapter

#: What `medtl finetune` does unless it is told otherwise.
DEFAULT = "layers"

STRATEGIES: dict[str, type[Strategy]] = {
    "layers": Layers,
    "lp-ft": LPFT,
    "linear-probe": LinearProbe,
    "full": Full,
    "gradual": Gradual,
    "layer-decay": LayerDecay,
    "bitfit": BitFit,
    "norm-only": NormOnly,
    "l2-sp": L2SP,
    "delta": DELTA,
    "mme": MME,
    "prototypes": Prototypes,
    "cosine": Cosine,
    "logistic": Logistic,
    "tip-adapter": TipAdapter,
}

__all__ = ["DEFAULT", "STRATEGIES", "Strategy"]
