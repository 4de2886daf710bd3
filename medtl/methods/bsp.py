"""Batch spectral penalization: no direction of the features may outgrow the others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.adversarial import ramp, wide
from medtl.methods.base import Batch
from medtl.methods.dann import DANN
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class BSP(DANN):
    """Batch spectral penalization on DANN (Chen et al., ICML 2019).

    What the discriminator cannot tell apart tends to lie along the first singular vector of the features, and what
    tells classes apart along the others. So the largest singular value of each site's embedding is kept small.

    Args:
        classifier: is adapted.
        weight: lambda at the end of DANN's schedule. The paper's is 1; 0.3 after a warm start is DANN's, measured.
        hidden: the width of the discriminator.
        penalty: beta, of the squared singular values; the paper's 1e-4.
        largest: k, how many singular values of each site are penalised; the paper's 1.
    """

    def __init__(
        self, classifier: Classifier, weight: float = 0.3, hidden: int = 256, penalty: float = 1e-4, largest: int = 1
    ) -> None:
        super().__init__(classifier, weight, hidden)
        self.penalty, self.largest = penalty, largest

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """DANN's, and the penalty on the spectrum of each site."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        spectrum = [squared_spectrum(site.embedding, self.largest) for site in (source, target)]
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "domain": self.domain_loss(source, target, self.weight * ramp(progress)),
            "spectrum": self.penalty * (spectrum[0] + spectrum[1]),
        }


def squared_spectrum(embedding: Tensor, largest: int) -> Tensor:
    """The sum of the `largest` greatest squared singular values of (N, E) (equation 4)."""
    return torch.linalg.svdvals(wide(embedding))[:largest].square().sum()
