"""FixMatch: what is surely said of a scan must be said of the same scan distorted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class FixMatch(Method):
    """FixMatch (Sohn et al., NeurIPS 2020, arXiv:2001.07685).

    A target scan's usual view gives its label, where the prediction is sure enough; its stronger view learns it
    (equation 4). Both views and the source go through in batches of their own, so that each is normalised by its own
    statistics; in the paper, which knows one site only, they go through together.

    Args:
        classifier: is adapted.
        weight: lambda_u, 1 as in the paper.
        threshold: tau, how sure is sure enough. The paper's 0.95 is for ten classes and a million steps from a random
            network; 75 steps from a source-only model of two classes would see few such scans at a shifted site. 0.8 is
            a guess that has not been measured.
    """

    views = 2
    one_class = True

    def __init__(self, classifier: Classifier, weight: float = 1.0, threshold: float = 0.8) -> None:
        super().__init__(classifier)
        self.weight, self.threshold = weight, threshold
        self.register_buffer("sure", torch.tensor(float("nan")), persistent=False)

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the cross-entropy of the strong view with the weak view's label."""
        target = batch["target"]
        assert target.strong is not None
        with torch.no_grad():
            confidence, label = self.forward(target).logits.softmax(dim=1).max(dim=1)
        sure = (confidence >= self.threshold).float()
        strong = self.forward(target._replace(pixels=target.strong))
        self.sure = sure.mean()
        return {
            "task": task_loss(self.forward(batch["source"]).logits, batch["source"].label),
            "consistency": self.weight * (sure * F.cross_entropy(strong.logits, label, reduction="none")).mean(),
        }

    def measures(self) -> dict[str, Tensor | float]:
        """The share of the last batch that was sure enough."""
        return {"sure": self.sure}
