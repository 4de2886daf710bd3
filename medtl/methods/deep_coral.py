"""Deep CORAL: the same covariance at both sites."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


def coral(source: Tensor, target: Tensor) -> Tensor:
    """The distance of the two covariances, ||C_S - C_T||^2 / 4 d^2, of rows (N, d) (equation 1)."""
    distance = torch.cov(source.T) - torch.cov(target.T)
    return distance.square().sum() / (4 * source.shape[1] ** 2)


class DeepCORAL(Method):
    """Correlation alignment (Sun and Saenko, ECCV Workshops 2016, arXiv:1607.01719).

    The classifier's outputs (N, K) on both sites shall have the same covariance.

    Args:
        classifier: is adapted.
        weight: of the distance, beside the task loss; the paper asks that the two end up about equal.
    """

    def __init__(self, classifier: Classifier, weight: float = 1.0) -> None:
        super().__init__(classifier)
        self.weight = weight

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the distance of the last layer's outputs."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "coral": self.weight * coral(source.logits, target.logits),
        }
