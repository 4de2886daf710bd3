"""Gradual unfreezing: the layers learn one after the other, from the head down."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from medtl.finetuning.base import Strategy
from medtl.finetuning.depth import layers_of
from medtl.methods.base import Step
from medtl.models import Classifier


class Gradual(Strategy):
    """The head first, then one stage more at a time (ULMFiT: Howard, Ruder, ACL 2018, arXiv:1801.06146, section 3.3).

    In the first half of the training the stages of the backbone thaw one after the other, each for as many steps; in
    the second half all learn. A thaw begins with a new optimiser, so that none goes on with the momentum of others.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.layers = layers_of(classifier, coarse=True)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The head; the head and the last stage; and so on down."""
        named = dict(self.classifier.named_parameters())
        return {
            f"top {count}": [named[name] for layer in self.layers[-count:] for name in layer]
            for count in range(1, len(self.layers) + 1)
        }

    def steps(self, progress: float) -> Sequence[Step]:
        """One step of what has thawed."""
        thawed = min(len(self.layers), 1 + int(2 * progress * len(self.layers)))
        return (Step(moves=f"top {thawed}"),)
