"""Only the normalisation learns."""

from torch import nn

from medtl.finetuning.base import Strategy
from medtl.models import Classifier

NORMS = nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm


class NormOnly(Strategy):
    """Batch normalisation's scale and offset, and the last layer (Frankle et al., ICLR 2021, arXiv:2003.00152).

    Layer and group normalisation too, in backbones that have these instead.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        norms = [module for module in classifier.modules() if isinstance(module, NORMS)]
        learns = {id(parameter) for module in (*norms, classifier.head) for parameter in module.parameters()}
        for parameter in classifier.parameters():
            parameter.requires_grad_(parameter.requires_grad and id(parameter) in learns)
