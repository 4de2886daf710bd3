"""L2-SP: what is learnt stays near where it started."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.finetuning.base import Strategy
from medtl.methods.base import Batch
from medtl.models import Classifier


class L2SP(Strategy):
    """A penalty on the way from the starting point (L2-SP: Li, Grandvalet, Davoine, ICML 2018, arXiv:1802.01483).

    loss = task + alpha / 2 * |w - w0|^2 over all parameters that learn. The paper's second penalty, on the new layers,
    is the same one here: a model without a Run begins with a head of zeros.

    Args:
        classifier: is fine-tuned, from w0.
        alpha: 0.1, among the best in the paper's figure 1.
    """

    def __init__(self, classifier: Classifier, alpha: float = 0.1) -> None:
        super().__init__(classifier)
        self.alpha = alpha
        for number, parameter in enumerate(self._learning()):
            self.register_buffer(f"start_{number}", parameter.detach().clone(), persistent=False)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss, and the penalty."""
        return {**super().losses(batch, progress), "way": 0.5 * self.alpha * self.way()}

    def way(self) -> Tensor:
        """|w - w0|^2."""
        squares = [
            (parameter - self.get_buffer(f"start_{number}")).square().sum()
            for number, parameter in enumerate(self._learning())
        ]
        return torch.stack(squares).sum()

    def _learning(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.classifier.parameters() if parameter.requires_grad]
