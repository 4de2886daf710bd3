"""Minimum class confusion: predictions at the target that do not hesitate between two classes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import entropy, task_loss
from medtl.models import Classifier


def class_confusion(logits: Tensor, temperature: float = 2.5) -> Tensor:
    """The share of the class correlation that lies between classes, in [0, 1] (equations 2 to 6).

    C = P^T W P with rows scaled to sum 1, where W weighs a scan by 1 + exp(-entropy), 1 on average, and is no way for
    the gradient (as in the authors' code).

    Args:
        logits: (N, K).
        temperature: T, by which the logits are divided first.
    """
    p = (logits / temperature).softmax(dim=1)
    weight = 1 + (-entropy(logits / temperature).detach()).exp()
    with torch.autocast(p.device.type, enabled=False):  # 16 bits would round the confusion to 1 in 250
        confusion = p.T @ (weight[:, None] / weight.mean() * p)
    return 1 - (confusion.diagonal() / confusion.sum(dim=1)).mean()


class MCC(Method):
    """Minimum class confusion (Jin et al., ECCV 2020, arXiv:1912.03699).

    Nothing is aligned: where the classifier hesitates between two classes on the target's scans, it learns to decide,
    the more by those scans of which it is sure.

    Args:
        classifier: is adapted.
        weight: mu, beside the task loss; 1 as in the paper.
        temperature: of the target's predictions; 2.5 as the authors take for Office-31 and Office-Home.
    """

    one_class = True

    def __init__(self, classifier: Classifier, weight: float = 1.0, temperature: float = 2.5) -> None:
        super().__init__(classifier)
        self.weight, self.temperature = weight, temperature

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the confusion of the classes at the target."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "confusion": self.weight * class_confusion(target.logits.float(), self.temperature),
        }
