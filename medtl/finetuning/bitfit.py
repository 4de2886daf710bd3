"""BitFit: only the biases learn."""

from medtl.finetuning.base import Strategy
from medtl.models import Classifier


class BitFit(Strategy):
    """The biases and the last layer alone (Ben-Zaken, Goldberg, Ravfogel, ACL 2022, arXiv:2106.10199).

    In a convolutional network nearly all biases are those of its batch normalisation.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        for name, parameter in classifier.named_parameters():
            learns = name.endswith("bias") or name.startswith("head.")
            parameter.requires_grad_(parameter.requires_grad and learns)
