"""Partial adversarial domain adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.errors import InputError
from medtl.methods.adversarial import ReverseGradient, ramp
from medtl.methods.base import Batch
from medtl.methods.dann import DANN
from medtl.models import Classifier, look
from medtl.models.batch_statistics import for_site


class PADA(DANN):
    """Partial adversarial domain adaptation (Cao et al., ECCV 2018, arXiv:1808.04205).

    For a target that lacks some of the source's classes. A class counts gamma_c, the mean of the target's predictions
    over its largest entry (equation 2): for the task and for the discriminator, source scans of a class that is
    predicted nowhere count next to nothing, and draw nothing to them. The target counts in full.

    Args:
        classifier: is adapted.
        weight: lambda at the end of DANN's schedule. The paper's is 1; 0.3 after a warm start is DANN's, measured.
        hidden: the width of the discriminator.
    """

    one_class = True

    def __init__(self, classifier: Classifier, weight: float = 0.3, hidden: int = 256) -> None:
        super().__init__(classifier, weight, hidden)
        self.register_buffer("class_weight", torch.ones(classifier.head.out_features))
        self.register_buffer("scan_weight", torch.zeros(0))

    def prepare(self, data: Any, progress: float) -> None:
        """Class weights by what the classifier, with the target's batch statistics, says of all target scans now."""
        target = data["target"].cohort
        here = for_site(self.classifier, target, self.classifier.fixed)
        self.class_weight = class_weights(look(here, target).logits)
        label = torch.from_numpy(data["source"].cohort.label).to(self.class_weight.device)
        self.scan_weight = self.class_weight[label]

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Task and discriminator's loss, the source's scans times their class's weight."""
        label = batch["source"].label
        if label is None:
            raise InputError("PADA needs labels of the source")
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        counts = self.class_weight[label]
        embedding = torch.cat([source.embedding, target.embedding])
        guess = self.discriminator(ReverseGradient.apply(embedding, self.weight * ramp(progress))).squeeze(1)
        everyone = torch.cat([counts, counts.new_ones(len(target.logits))])
        return {
            "task": (counts * F.cross_entropy(source.logits, label, reduction="none")).mean(),
            "domain": self.told_apart(guess, len(counts), everyone),
        }

    def source_weights(self) -> Tensor | None:
        """(N,) what each source scan counts, 1 on average."""
        return self.scan_weight / self.scan_weight.mean() if len(self.scan_weight) else None


def class_weights(logits: Tensor) -> Tensor:
    """(K,) gamma: the mean softmax of the target's logits (N, K), over its largest entry."""
    gamma = logits.softmax(dim=1).mean(dim=0)
    return gamma / gamma.max()
