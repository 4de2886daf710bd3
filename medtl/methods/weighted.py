"""Transfer by instance: source scans count as much as they are like the target's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.importance import within_classes
from medtl.methods.losses import task_loss
from medtl.models import Classifier, look
from medtl.models.batch_statistics import for_site


class Weighted(Method):
    """The task loss on the source, each scan weighed once, at the start, by where the target's scans lie.

    The features of both sites are those of the network that training starts from, the target's with its own batch
    statistics, as the model will work there. Weights are 1 on average in each class, so that the classes stay as
    frequent as they are dealt, and at most about 10 (`medtl.methods.importance`).
    """

    weights: Tensor  # (N,) of the source's scans; (0,) before they are known

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier)
        self.register_buffer("weights", torch.zeros(0))

    @abstractmethod
    def weigh(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """(N,) weights from features (N, F) of the source and (M, F) of the target."""

    def prepare(self, data: Any, progress: float) -> None:
        """Weigh the source's scans, once: a resumed training has the weights that it began with."""
        if len(self.weights):
            return
        source, target = data["source"].cohort, data["target"].cohort
        at_target = for_site(self.classifier, target, self.classifier.fixed)
        features = [look(model, cohort).features for model, cohort in ((self.classifier, source), (at_target, target))]
        found = self.weigh(*(each.cpu().double().numpy() for each in features))
        weights = torch.from_numpy(within_classes(found, np.asarray(source.label)))
        self.weights = weights.to(features[0].device, torch.float32)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, weighed."""
        source = batch["source"]
        return {"task": weighted_task_loss(self.forward(source).logits, source.label, self.weights[source.row])}

    def source_weights(self) -> Tensor | None:
        """(N,) how much each source scan counts."""
        return self.weights if len(self.weights) else None


def weighted_task_loss(logits: Tensor, label: Tensor | None, weight: Tensor) -> Tensor:
    """`task_loss`, each scan counting as its weight says: the mean of weight times loss.

    Args:
        logits: (N, K).
        label: (N,) class, or (N, K) 0, 1 or NaN for unknown.
        weight: (N,).
    """
    if label is None:
        return task_loss(logits, label)
    if label.ndim == 1:
        return (weight * F.cross_entropy(logits, label, reduction="none")).mean()
    known = ~label.isnan()
    each = F.binary_cross_entropy_with_logits(logits, torch.where(known, label, 0.0), reduction="none")
    return (weight[:, None] * known * each).sum() / known.sum()
