"""Importance weighted adversarial nets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medtl.methods.adda import encoder
from medtl.methods.adversarial import (
    Fixed,
    ReverseGradient,
    discriminator,
    ramp,
    source_first,
)
from medtl.methods.base import Batch, Method
from medtl.methods.losses import entropy
from medtl.models import Classifier, look


class IWAN(Method):
    """Importance weighted adversarial nets (Zhang et al., CVPR 2018, arXiv:1803.09210).

    As in ADDA the target has an encoder of its own, which begins as the source's, and the head stays. A first
    discriminator D says how unlike the target a source scan is; w = 1 - D, of mean 1, is what the scan counts for the
    second discriminator D_0, which the target encoder learns to mislead, through the reversed gradient. So classes that
    only the source has draw nothing to them. The target encoder also learns to be sure (entropy).

    Args:
        classifier: the source-only model, whose encoder becomes the target's.
        weight: lambda, of the reversed gradient, at the end of DANN's schedule; the paper ends at 0.1.
        certainty: gamma, of the entropy of the target's predictions; the paper's 0.1.
        hidden: the width of the discriminators; the paper's is 1024.
    """

    own_statistics: ClassVar[bool] = True
    one_class: ClassVar[bool] = True
    source_embedding: Tensor  # (N, E) of the source scans; of none before the first look

    def __init__(self, classifier: Classifier, weight: float = 0.1, certainty: float = 0.1, hidden: int = 256) -> None:
        super().__init__(classifier)
        self.weight, self.certainty = weight, certainty
        self.source = Fixed(classifier)
        self.weigher = discriminator(classifier.width, hidden)  # D
        self.discriminator = discriminator(classifier.width, hidden)  # D_0
        self.register_buffer("source_embedding", torch.zeros(0, classifier.width))
        self.register_buffer("domain_accuracy", torch.tensor(float("nan")), persistent=False)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The target encoder's and both discriminators'."""
        judges = [*self.weigher.parameters(), *self.discriminator.parameters()]
        return {"all": [*encoder(self.classifier), *judges]}

    def prepare(self, data: Any, progress: float) -> None:
        """Keep the embedding of all source scans, which stays, to say at the end what each counted."""
        if not len(self.source_embedding):
            self.source_embedding = look(self.source.classifier, data["source"].cohort).embedding

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Both discriminators' losses, the second one's behind the reversed gradient, and the target's entropy."""
        source, target = self.source(batch["source"]).embedding, self.forward(batch["target"])
        n = len(source)
        unlike = self.weigher(torch.cat([source, target.embedding.detach()])).squeeze(1)
        reversed_target = ReverseGradient.apply(target.embedding, self.weight * ramp(progress))
        guess = self.discriminator(torch.cat([source, reversed_target])).squeeze(1)
        domain = source_first(guess, n)
        self.domain_accuracy = ((guess > 0) == (domain > 0.5)).float().mean().detach()
        counts = torch.cat([importance(unlike[:n]), torch.ones_like(guess[n:])])
        return {
            "weigher": F.binary_cross_entropy_with_logits(unlike, domain),
            "domain": F.binary_cross_entropy_with_logits(guess, domain, counts),
            "entropy": self.certainty * entropy(target.logits).mean(),
        }

    def measures(self) -> dict[str, Tensor | float]:
        """The second discriminator's accuracy on the last batch: 0.5 when it cannot tell the sites apart."""
        return {"domain_accuracy": self.domain_accuracy}

    @torch.no_grad()
    def source_weights(self) -> Tensor | None:
        """(N,) what each source scan counts for the second discriminator."""
        if not len(self.source_embedding):
            return None
        return importance(self.weigher(self.source_embedding).squeeze(1))


def importance(unlike: Tensor) -> Tensor:
    """(N,) w = 1 - D over its mean, of log odds (N,) of the source; no gradient goes through it (equation 6)."""
    w = torch.sigmoid(-unlike.detach())
    return w / w.mean()
