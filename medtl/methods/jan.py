"""Joint adaptation network: the same joint distribution of embedding and prediction at both sites."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.adversarial import ramp
from medtl.methods.base import Batch, Method
from medtl.methods.kernels import check_estimate, gaussian, mmd
from medtl.methods.losses import task_loss
from medtl.models import Classifier

#: Of the kernel of the predictions, in units of squared probability: 2 * 0.92^2 of the authors' code.
BANDWIDTH = 1.68


def joint(embedding: Tensor, probability: Tensor) -> Tensor:
    """The kernel (M, M) of pairs of embedding (M, E) and prediction (M, K): the product of both (equation 9)."""
    return gaussian(embedding) * gaussian(probability, factors=(1.0,), bandwidth=BANDWIDTH)


class JAN(Method):
    """Joint adaptation network (Long et al., ICML 2017, arXiv:1605.06636).

    The maximum mean discrepancy of embeddings together with what is predicted from them: a scan's neighbours at the
    other site are those that look alike and are called alike. Without the paper's adversarial variant (JAN-A).

    Args:
        classifier: is adapted.
        weight: lambda at the end of its schedule, 1 as in the paper; it rises as DANN's does.
        estimate: "unbiased" or "biased", of the discrepancy.
    """

    def __init__(self, classifier: Classifier, weight: float = 1.0, estimate: str = "unbiased") -> None:
        super().__init__(classifier)
        self.weight = weight
        self.estimate = check_estimate(estimate)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the discrepancy of embeddings and predictions."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        label = batch["source"].label
        logits = torch.cat([source.logits, target.logits])
        several = label is not None and label.ndim == 2
        probability = logits.sigmoid() if several else logits.softmax(dim=1)
        kernel = joint(torch.cat([source.embedding, target.embedding]), probability)
        return {
            "task": task_loss(source.logits, label),
            "jmmd": self.weight * ramp(progress) * mmd(kernel, len(source.embedding), self.estimate),
        }
