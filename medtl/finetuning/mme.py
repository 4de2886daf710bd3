"""Minimax entropy: few labels, and all scans of the site without theirs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.finetuning.base import Strategy
from medtl.methods.base import Batch
from medtl.methods.dann import ReverseGradient
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class MME(Strategy):
    """Minimax entropy: semi-supervised adaptation (Saito et al., ICCV 2019, arXiv:1904.06487).

    The head moves towards the unlabelled scans, by making their predictions less sure, and through the reversed
    gradient the features gather around it, by making them surer (equation 3):

        head = argmin task - weight * H,    features = argmin task + weight * H,

    with H the mean entropy of the predictions on unlabelled scans. The labelled scans are those of the new site, and
    the source's too where they are dealt. The head is the classifier's own, linear one; the paper's is a cosine.

    Args:
        classifier: is fine-tuned.
        weight: lambda, 0.1 as in the paper.
    """

    roles = ("labelled", "unlabelled", "source")

    def __init__(self, classifier: Classifier, weight: float = 0.1) -> None:
        super().__init__(classifier)
        self.weight = weight

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on what is labelled, and the entropy that the head raises and the features lower."""
        labelled = [self.forward(batch[role]) for role in ("labelled", "source") if role in batch]
        labels = [batch[role].label for role in ("labelled", "source") if role in batch]
        tasks = [task_loss(output.logits, label) for output, label in zip(labelled, labels, strict=True)]
        here = self.forward(batch["unlabelled"])
        embedding, features = (ReverseGradient.apply(each, 1.0) for each in (here.embedding, here.features))
        logits = self.classifier.logits(embedding, features)
        unsure = entropy(logits, multilabel=labels[0] is not None and labels[0].ndim == 2)
        return {"task": torch.stack(tasks).mean(), "sureness": -self.weight * unsure}


def entropy(logits: Tensor, multilabel: bool) -> Tensor:
    """The mean entropy of predictions, in nats: logits (N, K); of several labels a scan, that of each label."""
    if multilabel:
        return (torch.sigmoid(logits) * F.softplus(-logits) + torch.sigmoid(-logits) * F.softplus(logits)).mean()
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
