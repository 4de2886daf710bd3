"""What the classifier gives for a batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """What the classifier gives for a Batch."""

    features: Tensor  # (N, F) pooled over the bag
    embedding: Tensor  # (N, E) after the bottleneck: what is aligned
    logits: Tensor  # (N, K)
    attention: Tensor | None = None  # (instances,) weights that sum to 1 within a bag; None where all count alike
