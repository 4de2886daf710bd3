"""Domain-specific batch normalisation: two networks that share all but their batch normalisation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from medtl.methods.adversarial import ramp
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier, look
from medtl.models.batch_statistics import for_site


def with_own_norms(classifier: Classifier) -> Classifier:
    """A second classifier with batch normalisation of its own: statistics, gains and offsets; all else is shared."""
    own = {id(p) for module in classifier.modules() if _is_norm(module) for p in module.parameters()}
    return copy.deepcopy(classifier, {id(p): p for p in classifier.parameters() if id(p) not in own})


class DSBN(Method):
    """Domain-specific batch normalisation (Chang et al., CVPR 2019, arXiv:1906.03950).

    Each site goes through norms of its own and weights that are shared; source labels teach one, pseudo-labels the
    other. A pseudo-label is the class that is likeliest by (1 - lambda) F_1(x) + lambda F_2(x): F_1 is the first
    stage's model, F_2 the one in training, and lambda rises from 0 to 1 as DANN's does (the paper's second stage).
    The first stage is here the model that the training starts from, with the target's batch statistics. Several source
    sites share one set of norms.

    Args:
        classifier: is adapted; its norms become the target's.
    """

    own_statistics = True
    first: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.source = with_own_norms(classifier)
        self.register_buffer("first", torch.zeros(0, classifier.head.out_features))  # (N, K) logits of F_1

    def prepare(self, data: Any, progress: float) -> None:
        """What the first stage says of each target scan, once."""
        if not len(self.first):
            cohort = data["target"].cohort
            self.first = look(for_site(self.classifier, cohort, self.classifier.fixed), cohort).logits

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss of both sites, each through its own norms."""
        at_home, label = batch["source"], batch["source"].label
        source = self.source(at_home.pixels, at_home.bag, len(at_home.row))
        target = self.forward(batch["target"])
        several = label is not None and label.ndim == 2
        share = ramp(progress)
        first, second = (
            logits.sigmoid() if several else logits.softmax(dim=1)
            for logits in (self.first[batch["target"].row], target.logits.detach())
        )
        mixed = (1 - share) * first + share * second
        pseudo = (mixed > 0.5).to(mixed.dtype) if several else mixed.argmax(dim=1)
        return {"task": task_loss(source.logits, label), "pseudo": task_loss(target.logits, pseudo)}


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
