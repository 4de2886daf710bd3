"""Adaptive feature norm: embeddings of both sites grow, since the target's are the shorter ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


def stepwise(embedding: Tensor, growth: float) -> Tensor:
    """(||z|| as it is + growth - ||z||)^2, the mean over rows (N, E) (equation 6).

    Its value is always growth^2, since what a norm shall reach moves with it; its gradient is not 0.
    """
    norm = embedding.norm(dim=1)
    return (norm.detach() + growth - norm).square().mean()


def hard(embedding: Tensor, radius: float) -> Tensor:
    """(mean norm - radius)^2 of rows (N, E) (equation 4)."""
    return (embedding.norm(dim=1).mean() - radius).square()


class AFN(Method):
    """Adaptive feature norm (Xu et al., ICCV 2019, arXiv:1811.07456).

    Scans that transfer badly have short embeddings (N, E). Each norm shall be a little longer than it is, at both
    sites; or, with a `radius`, all norms shall be so long on average.

    Args:
        classifier: is adapted.
        weight: lambda, of the norms' losses of both sites; the paper's.
        growth: Delta r, what each norm shall grow by in a step; the paper's.
        radius: R of the hard variant (the paper's is 25, of 1,000 columns); None for the stepwise one, which the paper
            found better.
    """

    def __init__(
        self, classifier: Classifier, weight: float = 0.05, growth: float = 1.0, radius: float | None = None
    ) -> None:
        super().__init__(classifier)
        self.weight = weight
        self.growth = growth
        self.radius = radius
        self.register_buffer("norms", torch.full((2,), float("nan")), persistent=False)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the norms' losses of both sites."""
        both = [self.forward(batch["source"]), self.forward(batch["target"])]
        self.norms = torch.stack([each.embedding.detach().norm(dim=1).mean() for each in both])
        norm = torch.stack([self._norm_loss(each.embedding) for each in both]).sum()
        return {"task": task_loss(both[0].logits, batch["source"].label), "norm": self.weight * norm}

    def _norm_loss(self, embedding: Tensor) -> Tensor:
        return stepwise(embedding, self.growth) if self.radius is None else hard(embedding, self.radius)

    def measures(self) -> dict[str, Tensor | float]:
        """How long the embeddings of both sites are."""
        return {"source_norm": self.norms[0], "target_norm": self.norms[1]}
