"""How a model learns from a few labels: one file a strategy, one line here."""

from medtl.finetuning.base import Strategy
from medtl.finetuning.full import Full
from medtl.finetuning.linear_probe import LinearProbe
from medtl.finetuning.lp_ft import LPFT

STRATEGIES: dict[str, type[Strategy]] = {
    "lp-ft": LPFT,
    "linear-probe": LinearProbe,
    "full": Full,
}

__all__ = ["LPFT", "STRATEGIES", "Full", "LinearProbe", "Strategy"]
