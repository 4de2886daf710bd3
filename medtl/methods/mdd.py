"""Margin disparity discrepancy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medtl.methods.adversarial import ReverseGradient, ramp, wide
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.models import Classifier


class MDD(Method):
    """Margin disparity discrepancy (Zhang et al., ICML 2019, arXiv:1904.05801).

    A second head agrees with the first one on the source, with a margin, and disagrees with it on the target as far as
    it can; the features learn, through the reversed gradient, that it cannot. One step does both (section 5).

    Args:
        classifier: is adapted.
        weight: eta, of the reversed gradient, at the end of DANN's schedule; the paper's 0.1.
        margin: gamma = exp(rho), of the source's part; the paper's 4.
        hidden: the width of the second head.
    """

    one_class = True

    def __init__(self, classifier: Classifier, weight: float = 0.1, margin: float = 4.0, hidden: int = 256) -> None:
        super().__init__(classifier)
        self.weight, self.margin = weight, margin
        self.adversary = nn.Sequential(
            nn.Linear(classifier.width, hidden), nn.ReLU(), nn.Linear(hidden, classifier.head.out_features)
        )

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source, and the second head's loss behind the reversed gradient."""
        source, target = self.forward(batch["source"]), self.forward(batch["target"])
        embedding = torch.cat([source.embedding, target.embedding])
        adversary = self.adversary(ReverseGradient.apply(embedding, self.weight * ramp(progress)))
        guess = torch.cat([source.logits, target.logits]).argmax(dim=1)
        n = len(source.logits)
        return {
            "task": task_loss(source.logits, batch["source"].label),
            "disparity": self.margin * F.cross_entropy(adversary[:n], guess[:n])
            + disagreement(adversary[n:], guess[n:]),
        }


def disagreement(logits: Tensor, guess: Tensor) -> Tensor:
    """-log(1 - p_guess) of the softmax of (N, K), the mean over scans: small where another class is likely (eq. 29)."""
    logits = wide(logits)
    others = logits.scatter(1, guess[:, None], float("-inf"))
    return (logits.logsumexp(dim=1) - others.logsumexp(dim=1)).mean()
