"""What the adversarial methods share: the reversed gradient, its schedule, a discriminator, a fixed source encoder."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from medtl.methods.base import Batch
from medtl.models import Classifier
from medtl.models.output import Output


class ReverseGradient(torch.autograd.Function):
    """R(x) = x, dR/dx = -lambda I (Ganin et al., JMLR 2016, equation 14)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:  # noqa: D102
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return -ctx.strength * gradient, None


def ramp(progress: float, gamma: float = 10.0) -> float:
    """DANN's schedule of lambda, 2 / (1 + exp(-gamma p)) - 1: 0 at the start, nearly 1 at the end."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


def discriminator(width: int, hidden: int = 256, outputs: int = 1) -> nn.Sequential:
    """Rows (N, width) -> (N, outputs), through two hidden layers."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


def source_first(guess: Tensor, sources: int) -> Tensor:
    """(N,) 1 for the first `sources` rows, which are the source's, and 0 for the target's."""
    return torch.cat([guess.new_ones(sources), guess.new_zeros(len(guess) - sources)])


def wide(x: Tensor) -> Tensor:
    """With 32 bits at least, in mixed precision too."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Fixed(nn.Module):
    """A copy of a classifier that stays as it is: the source encoder of ADDA and IWAN.

    Its dropout goes on in training: the other encoder has it, and a discriminator must not tell the two apart by it.

    Args:
        classifier: is copied.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = copy.deepcopy(classifier).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Fixed:  # noqa: D102
        super().train(False)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.training = mode
        return self

    @torch.no_grad()
    def forward(self, batch: Batch) -> Output:
        """The classifier's output for a batch, without gradient."""
        return self.classifier(batch.pixels, batch.bag, len(batch.row))
