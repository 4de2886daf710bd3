"""Pseudo-labels: the surest scans of each class are learnt from as if a person had labelled them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.methods.unlabelled import look_at_home
from medtl.models import Classifier

#: In place of a label, where there is none.
NONE = -1


def surest(p: Tensor, share: float) -> Tensor:
    """The likeliest class of the surest scans of each class, -1 for the others.

    A class's threshold is the probability that `share` of the scans that are called so reach (Zou et al., equation 5).

    Args:
        p: (N, K), rows sum to 1.
        share: in (0, 1]; at least one scan of each class that is called at all.

    Returns:
        int64 (N,).
    """
    confidence, label = p.max(dim=1)
    order = confidence.argsort(descending=True, stable=True)
    called = F.one_hot(label, p.shape[1])
    place = torch.empty_like(label)
    place[order] = (called[order].cumsum(dim=0) * called[order]).sum(dim=1)  # 1 for the surest of its class
    chosen = place <= (share * called.sum(dim=0)).ceil()[label]
    return label.where(chosen, NONE)


class PseudoLabel(Method):
    """Pseudo-labels, class-balanced (Lee, ICML Workshops 2013; Zou et al., ECCV 2018, arXiv:1810.07911).

    Before each epoch the target's scans are looked at; the surest of each class keep their likeliest class as their
    label until the next epoch. From Lee: the label, and that all is trained on with the cross-entropy. From Zou et al.:
    a threshold for each class, so that an easy class does not take all, and a share that grows. A class of which few
    are called counts as much as the others.

    Args:
        classifier: is adapted.
        weight: of the pseudo-labels' loss beside the task loss. Its mean is over the batch, scans without a
            pseudo-label counting as 0, so that it grows with their number as Lee's schedule lets it.
        first: the share of each class that is taken at the start. Zou et al. take 0.2 of the pixels of whole data sets;
            the surer half of a few hundred scans is a guess that has not been measured.
        last: the share at the end; all, as in Lee, and to be measured too.
    """

    one_class = True

    pseudo_label: Tensor
    class_weight: Tensor

    def __init__(self, classifier: Classifier, weight: float = 1.0, first: float = 0.5, last: float = 1.0) -> None:
        super().__init__(classifier)
        self.weight, self.first, self.last = weight, first, last
        self.register_buffer("pseudo_label", torch.zeros(0, dtype=torch.int64))  # (N,) of the target's rows
        self.register_buffer("class_weight", torch.ones(classifier.head.out_features))

    def prepare(self, data: Any, progress: float) -> None:
        """Take the surest scans of each class."""
        share = self.first + (self.last - self.first) * progress
        p = look_at_home(self.classifier, data["target"].cohort).logits.softmax(dim=1)
        self.pseudo_label = surest(p, share)
        count = F.one_hot(self.pseudo_label[self.pseudo_label != NONE], p.shape[1]).sum(dim=0)
        self.class_weight = count.sum() / (count.clamp_min(1) * (count > 0).sum())

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the same on those target scans that have a pseudo-label."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        label = self.pseudo_label[batch["target"].row]
        total = F.cross_entropy(target.logits, label, self.class_weight, ignore_index=NONE, reduction="sum")
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "pseudo_label": self.weight * total / len(label),
        }
