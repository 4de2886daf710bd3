"""Multisource domain adversarial networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.adversarial import ReverseGradient, discriminator, ramp
from medtl.methods.base import Batch, Method
from medtl.models import Classifier


class MDAN(Method):
    """Multisource domain adversarial networks (Zhao et al., NeurIPS 2018, arXiv:1705.09684).

    The discriminator has an output for each source site, which tells that site from the target. A source site counts
    a_i, the softmax over sites of gamma (e_i - lambda d_i), of its task loss e_i and its discriminator's loss d_i: one
    that is still hard, or still easily told from the target, counts more. These are the gradients of the paper's
    1/gamma log sum exp (its "soft" version). With one source it is DANN.

    Args:
        classifier: is adapted.
        sources: source sites; known from the source's scans.
        weight: lambda at the end of DANN's schedule. The authors' code has 0.01; 0.3 after a warm start is DANN's.
        gamma: how sharply the hardest source is preferred; 10 in the authors' code.
        hidden: the width of the discriminator.
    """

    def __init__(
        self, classifier: Classifier, sources: int = 1, weight: float = 0.3, gamma: float = 10.0, hidden: int = 256
    ) -> None:
        super().__init__(classifier)
        self.sources, self.weight, self.gamma = sources, weight, gamma
        self.discriminator = discriminator(classifier.width, hidden, sources)
        self.register_buffer("share", torch.full((sources,), 1 / sources), persistent=False)

    @classmethod
    def known(cls, cohorts: Mapping[str, Any]) -> dict[str, Any]:
        """How many source sites there are."""
        return {"sources": int(cohorts["source"].site.max()) + 1}

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Task and discriminator's loss of each source, each times a_i."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        strength = self.weight * ramp(progress)
        embedding = torch.cat([source.embedding, target.embedding])
        guess = self.discriminator(ReverseGradient.apply(embedding, strength))
        n = len(source.logits)
        mine = F.one_hot(batch["source"].site, self.sources)
        task = by_source(*each_task_loss(source.logits, batch["source"].label), mine)
        from_source, from_target = F.softplus(-guess[:n]), F.softplus(guess[n:]).mean(dim=0)
        count = mine.sum(dim=0)
        domain = ((mine * from_source).sum(dim=0) / count.clamp(min=1) + from_target) / 2
        hardness = self.gamma * (task - strength * domain).detach()
        self.share = hardness.masked_fill(count == 0, float("-inf")).softmax(dim=0)
        return {"task": (self.share * task).sum(), "domain": (self.share * domain).sum()}

    def measures(self) -> dict[str, Tensor | float]:
        """What each source site counted in the last batch."""
        return {f"share_of_source_{site + 1}": share for site, share in enumerate(self.share)}


def each_task_loss(logits: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
    """(N,) the sum of each scan's losses and (N,) of how many labels: 1 of a class, or the known ones of several."""
    if label is None:
        raise TypeError("the task loss needs labels: an unlabelled batch was dealt for a labelled role")
    if label.ndim == 1:
        loss = F.cross_entropy(logits, label, reduction="none")
        return loss, torch.ones_like(loss)
    known = ~label.isnan()
    loss = F.binary_cross_entropy_with_logits(logits, label.nan_to_num(), reduction="none")
    return (loss * known).sum(dim=1), known.sum(dim=1).to(loss)


def by_source(loss: Tensor, labels: Tensor, mine: Tensor) -> Tensor:
    """(S,) the mean loss of each source, from (N,) sums over labels, (N,) how many, and (N, S) whose a scan is."""
    return (loss[:, None] * mine).sum(dim=0) / (labels[:, None] * mine).sum(dim=0).clamp(min=1)
