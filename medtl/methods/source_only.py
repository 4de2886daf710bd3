"""Source-only: the labelled hospital alone, what every adaptation has to beat."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss


class SourceOnly(Method):
    """Supervised training on the source (the baseline of Ben-David et al., Machine Learning 2010)."""

    roles = ("source",)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source batch."""
        source = batch["source"]
        return {"task": task_loss(self.forward(source).logits, source.label)}
