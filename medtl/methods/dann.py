"""Domain-adversarial training of neural networks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.adversarial import ReverseGradient, discriminator, ramp, source_first
from medtl.methods.base import Batch, Method, Output
from medtl.methods.losses import task_loss
from medtl.models import Classifier

__all__ = ["DANN", "ReverseGradient", "ramp"]


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
        self.discriminator = discriminator(classifier.width, hidden)
        self.register_buffer("domain_accuracy", torch.tensor(float("nan")), persistent=False)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the discriminator's loss behind the reversed gradient."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "domain": self.domain_loss(source, target, self.weight * ramp(progress)),
        }

    def domain_loss(self, source: Output, target: Output, strength: float) -> Tensor:
        """How badly source and target are told apart by the embedding, its gradient reversed."""
        embedding = torch.cat([source.embedding, target.embedding])
        guess = self.discriminator(ReverseGradient.apply(embedding, strength)).squeeze(1)
        return self.told_apart(guess, len(source.logits))

    def told_apart(self, guess: Tensor, sources: int, weight: Tensor | None = None) -> Tensor:
        """The discriminator's binary cross-entropy: the mean over scans, each times its `weight`.

        Args:
            guess: (N,) log odds of the source, its scans first.
            sources: how many of them are the source's.
            weight: (N,).
        """
        domain = source_first(guess, sources)
        self.domain_accuracy = ((guess > 0) == (domain > 0.5)).float().mean().detach()
        if weight is None:
            return F.binary_cross_entropy_with_logits(guess, domain)
        return (weight * F.binary_cross_entropy_with_logits(guess, domain, reduction="none")).mean()

    def measures(self) -> dict[str, Tensor | float]:
        """The discriminator's accuracy on the last batch: 0.5 when it cannot tell the sites apart."""
        return {"domain_accuracy": self.domain_accuracy}
