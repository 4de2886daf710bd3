"""Linear probe: the network stays as it is, its last layer is fitted."""

from medtl.finetuning.base import Strategy


class LinearProbe(Strategy):
    """Logistic regression on the features and the source model's logits (Kornblith et al., arXiv:1805.08974)."""

    trains = False
