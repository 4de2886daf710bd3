"""DeepJDOT: each source scan is carried to the target scans that look like it and may be called like it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


def losses_of_pairs(label: Tensor, logits: Tensor) -> Tensor:
    """The task loss of each target scan if it had the label of each source scan.

    Args:
        label: (N,) class, or (N, K) 0, 1 or NaN for unknown, of the source.
        logits: (M, K) of the target.

    Returns:
        (N, M); for several labels a scan the mean over those that are known.
    """
    if label.ndim == 1:
        return -F.log_softmax(logits, dim=1)[:, label].T
    known = (~label.isnan()).to(logits.dtype)
    yes = label.nan_to_num().to(logits.dtype)
    return (known @ F.softplus(logits).T - yes @ logits.T) / known.sum(1, keepdim=True).clamp(min=1)


def plan_of(cost: Tensor) -> Tensor:
    """The cheapest plan (N, M) that carries N equal weights, 1 in all, to M equal weights (equation 6); no gradient.

    Exact, by POT's network simplex, on the CPU: what the authors used. For a batch of 32 that takes about a
    millisecond, a hundred iterations of Sinkhorn some twenty times as long, and there is no entropy to be chosen. A GPU
    is waited for once a step.
    """
    import ot  # half of the time that `import medtl.methods` would take

    carried = ot.emd([], [], cost.detach().double().cpu().numpy())
    return torch.from_numpy(carried).to(cost)


class DeepJDOT(Method):
    """Joint distribution optimal transport (Damodaran et al., ECCV 2018, arXiv:1803.10081).

    Scans of a batch are paired across the sites at the least cost,
    distance * ||z_s - z_t||^2 + label * L(y_s, f(z_t)), and that cost is what is made small (equation 5): the
    target learns the labels of the source scans that it is paired with.

    Args:
        classifier: is adapted.
        distance: alpha, of the squared distance of the embeddings (N, E).
        label: lambda_t, of the loss of the source's labels at the target. Those of the authors' code for digits.
    """

    def __init__(self, classifier: Classifier, distance: float = 0.001, label: float = 0.0001) -> None:
        super().__init__(classifier)
        self.distance = distance
        self.label = label

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and what the plan costs."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        label = batch["source"].label
        task = task_loss(source.logits, label)
        assert label is not None  # or the task loss had said so
        squared = torch.cdist(source.embedding, target.embedding, compute_mode="donot_use_mm_for_euclid_dist").square()
        cost = self.distance * squared + self.label * losses_of_pairs(label, target.logits)
        return {"task": task, "transport": (plan_of(cost) * cost).sum()}
