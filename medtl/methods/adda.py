"""Adversarial discriminative domain adaptation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medtl.methods.adversarial import Fixed, discriminator, source_first
from medtl.methods.base import Batch, Method, Step
from medtl.models import Classifier


class ADDA(Method):
    """Adversarial discriminative domain adaptation (Tzeng et al., CVPR 2017, arXiv:1702.05464).

    The target has an encoder of its own, which begins as the source's. A discriminator learns to tell the source's
    embedding by the source encoder, which stays, from the target's by the target encoder (equation 7); that one then
    learns to be taken for the source (inverted labels, equation 8). The head stays as the source taught it. So no
    source label is needed here; but nothing ties the classes, and where they are seen differently often at the two
    sites the encoder may exchange them.

    Args:
        classifier: the source-only model, whose encoder becomes the target's.
        hidden: the width of the discriminator, with two hidden layers; the paper's is 500.
    """

    own_statistics: ClassVar[bool] = True

    def __init__(self, classifier: Classifier, hidden: int = 256) -> None:
        super().__init__(classifier)
        self.source = Fixed(classifier)
        self.discriminator = discriminator(classifier.width, hidden)
        self.register_buffer("domain_accuracy", torch.tensor(float("nan")), persistent=False)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The discriminator's, and those of the target encoder: all that the embedding depends on."""
        return {"discriminator": list(self.discriminator.parameters()), "encoder": encoder(self.classifier)}

    def steps(self, progress: float) -> Sequence[Step]:
        """The discriminator's step, then the target encoder's."""
        return Step("losses_of_discriminator", "discriminator"), Step("losses", "encoder")

    def losses_of_discriminator(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """How badly the discriminator tells the two encoders apart."""
        with torch.no_grad():
            source, target = self.source(batch["source"]), self.forward(batch["target"])
        guess = self.discriminator(torch.cat([source.embedding, target.embedding])).squeeze(1)
        domain = source_first(guess, len(source.logits))
        self.domain_accuracy = ((guess > 0) == (domain > 0.5)).float().mean().detach()
        return {"domain": F.binary_cross_entropy_with_logits(guess, domain)}

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """How seldom the target is taken for the source: -log D(M_t(x_t))."""
        return {"encoder": F.softplus(-self.discriminator(self.forward(batch["target"]).embedding)).mean()}

    def measures(self) -> dict[str, Tensor | float]:
        """The discriminator's accuracy on the last batch: 0.5 when it cannot tell the sites apart."""
        return {"domain_accuracy": self.domain_accuracy}


def encoder(classifier: Classifier) -> list[nn.Parameter]:
    """What the embedding depends on and that trains: backbone, pooling, bottleneck."""
    parts = (classifier.backbone, classifier.pooling, classifier.bottleneck)
    return [p for part in parts for p in part.parameters() if p.requires_grad]
