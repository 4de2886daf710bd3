"""Layer-wise decay of the learning rate."""

from medtl.finetuning.base import Strategy
from medtl.finetuning.depth import layers_of
from medtl.models import Classifier


class LayerDecay(Strategy):
    """The lower a layer, the slower it learns (Clark et al., ICLR 2020, arXiv:2003.10555; BEiT, arXiv:2106.08254).

    The learning rate of layer l of L, counted from the stem up, is lr * decay^(L - l); the bottleneck and the head are
    layer L. It stands for `backbone_lr`.

    Args:
        classifier: is fine-tuned.
        decay: of the learning rate from one layer to the one below. 0.75 as timm's `layer_decay` has it.
    """

    def __init__(self, classifier: Classifier, decay: float = 0.75) -> None:
        super().__init__(classifier)
        self.decay = decay

    def rates(self) -> dict[str, float]:
        """A power of `decay` for each parameter."""
        layers = layers_of(self.classifier)
        return {
            f"classifier.{name}": self.decay**above for above, layer in enumerate(reversed(layers)) for name in layer
        }
