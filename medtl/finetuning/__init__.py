"""How a model learns from a few labels: one file a strategy, one line here."""

from medtl.finetuning.base import Strategy
from medtl.finetuning.cosine import Cosine
from medtl.finetuning.full import Full
from medtl.finetuning.layers import Layers
from medtl.finetuning.linear_probe import LinearProbe
from medtl.finetuning.logistic import Logistic
from medtl.finetuning.lp_ft import LPFT
from medtl.finetuning.prototypes import Prototypes
from medtl.finetuning.tip_adapter import TipAdapter

#: What `medtl finetune` does unless it is told otherwise.
DEFAULT = "lp-ft"

STRATEGIES: dict[str, type[Strategy]] = {
    "layers": Layers,
    "lp-ft": LPFT,
    "linear-probe": LinearProbe,
    "full": Full,
    "prototypes": Prototypes,
    "cosine": Cosine,
    "logistic": Logistic,
    "tip-adapter": TipAdapter,
}

__all__ = ["DEFAULT", "STRATEGIES", "Strategy"]
