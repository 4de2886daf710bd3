"""Deep adaptation network: the same mean at both sites, in the space of several kernels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.kernels import check_estimate, gaussian, mmd
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class DAN(Method):
    """Deep adaptation network (Long et al., ICML 2015, arXiv:1502.02791).

    The multi-kernel maximum mean discrepancy of the embeddings (N, E) is made small, beside the task loss. Of the
    paper's layers only the last hidden one is matched, and its kernels count alike instead of being weighed by a
    quadratic programme: as in the authors' later code.

    Args:
        classifier: is adapted.
        weight: lambda, of the discrepancy of five kernels; 1 as in the authors' code.
        estimate: "unbiased" or "biased", of the discrepancy.
    """

    def __init__(self, classifier: Classifier, weight: float = 1.0, estimate: str = "unbiased") -> None:
        super().__init__(classifier)
        self.weight = weight
        self.estimate = check_estimate(estimate)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the discrepancy of the embeddings."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        kernel = gaussian(torch.cat([source.embedding, target.embedding]))
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "mmd": self.weight * mmd(kernel, len(source.embedding), self.estimate),
        }
