"""Linear probe, then fine-tuning."""

from medtl.finetuning.base import Strategy


class LPFT(Strategy):
    """The last layer first, then all layers, so that they move little (Kumar et al., ICLR 2022, arXiv:2202.10054)."""
