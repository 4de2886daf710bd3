"""The losses that several methods share, and the entropy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def task_loss(logits: Tensor, label: Tensor | None) -> Tensor:
    """Cross-entropy; for several labels a scan, binary cross-entropy over the labels that are known.

    Args:
        logits: (N, K).
        label: (N,) class, or (N, K) 0, 1 or NaN for unknown.
    """
    if label is None:
        raise TypeError("the task loss needs labels: an unlabelled batch was dealt for a labelled role")
    if label.ndim == 1:
        return F.cross_entropy(logits, label)
    known = ~label.isnan()
    return F.binary_cross_entropy_with_logits(logits[known], label[known])


def entropy(logits: Tensor) -> Tensor:
    """(N,) the entropy of the softmax of each row of (N, K), in nats."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)
