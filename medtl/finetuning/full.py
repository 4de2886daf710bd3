"""Full fine-tuning."""

from medtl.finetuning.base import Strategy


class Full(Strategy):
    """All layers at once, from the model as it is (Yosinski et al., NIPS 2014, arXiv:1411.1792)."""
