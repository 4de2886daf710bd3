"""Domain-adversarial training of neural networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class ReverseGradient(torch.autograd.Function):
    """R(x) = x, dR/dx = -lambda I (Ganin et al., equation 14)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:  # noqa: D102
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return -ctx.strength * gradient, None


def ramp(progress: float, gamma: float = 10.0) -> float:
    """The paper's schedule of lambda, 2 / (1 + exp(-gamma p)) - 1: 0 at the start, nearly 1 at the end."""
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


class DANN(Method):
    """Domain-adversarial training (Ganin et al., JMLR 2016, arXiv:1505.07818).

    A discriminator learns to tell source from target by the embedding; the classifier's features learn, through the
    reversed gradient, that it cannot, while the source labels keep them useful.

    Args:
        classifier: is adapted.
        weight: lambda at the end of its schedule. The paper's is 1; 0.3 after a warm start
            is from our measurement (docs/benchmarks.md).
        hidden: the width of the discriminator.
    """

    def __init__(self, classifier: Classifier, weight: float = 0.3, hidden: int = 256) -> None:
        super().__init__(classifier)
        self.weight = weight
        self.discriminator = nn.Sequential(
            nn.Linear(classifier.width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        self.register_buffer("domain_accuracy", torch.tensor(float("nan")), persistent=False)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the discriminator's loss behind the reversed gradient."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        embedding = torch.cat([source.embedding, target.embedding])
        domain = torch.cat([embedding.new_ones(len(source.logits)), embedding.new_zeros(len(target.logits))])
        guess = self.discriminator(ReverseGradient.apply(embedding, self.weight * ramp(progress))).squeeze(1)
        self.domain_accuracy = ((guess > 0) == (domain > 0.5)).float().mean().detach()
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "domain": F.binary_cross_entropy_with_logits(guess, domain),
        }

    def measures(self) -> dict[str, Tensor | float]:
        """The discriminator's accuracy on the last batch: 0.5 when it cannot tell the sites apart."""
        return {"domain_accuracy": self.domain_accuracy}
