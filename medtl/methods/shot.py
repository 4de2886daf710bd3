"""SHOT: the new site's features are brought to where the source's head expects them, and no source scan is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.methods.base import Batch, Method
from medtl.methods.losses import entropy
from medtl.methods.unlabelled import look_at_home
from medtl.models import Classifier


def by_centroids(embedding: Tensor, p: Tensor) -> Tensor:
    """The class whose centroid is nearest by the cosine (equations 4 to 6).

    The first centroids are means weighted by the predictions, the second those of the classes found so. A class that no
    scan is called by has none; a column of ones stands beside the embedding, as in the authors' code.

    Args:
        embedding: (N, E).
        p: (N, K), rows sum to 1.

    Returns:
        int64 (N,).
    """
    rows = F.normalize(torch.cat([embedding, torch.ones_like(embedding[:, :1])], dim=1), dim=1)
    weight, label = p, p.argmax(dim=1)
    for _ in range(2):
        likeness = rows @ F.normalize(weight.T @ rows, dim=1).T  # of the sum: its direction is the mean's
        called = torch.bincount(label, minlength=p.shape[1]) > 0
        label = likeness.masked_fill(~called, -torch.inf).argmax(dim=1)
        weight = F.one_hot(label, p.shape[1]).to(rows)
    return label


class SHOT(Method):
    """SHOT, which needs no source scans (Liang et al., ICML 2020, arXiv:2002.08546).

    The head stays as the source made it. The backbone and the bottleneck learn so that the predictions are sure scan by
    scan and of all classes together (information maximisation, equation 3), and so that each scan goes to the class
    whose centroid is nearest (equation 7).

    The paper's label smoothing, and its head of normalised weights, belong to the training of the source model, which
    is what it is here: `--from` any Run. Classes are expected about equally often; where the new site's are not, the
    mean prediction is drawn away from the truth.

    Args:
        classifier: is adapted.
        pseudo_weight: beta of the nearest centroid's class; 0.3 as in the paper.
        information_weight: of the information, 1 as in the paper.
    """

    roles = ("target",)
    own_statistics = True
    one_class = True
    pseudo_label: Tensor

    def __init__(self, classifier: Classifier, pseudo_weight: float = 0.3, information_weight: float = 1.0) -> None:
        super().__init__(classifier)
        self.pseudo_weight, self.information_weight = pseudo_weight, information_weight
        for part in (classifier.head, classifier.shortcut, classifier.few_shot):
            part.requires_grad_(False)
        self.register_buffer("pseudo_label", torch.zeros(0, dtype=torch.int64))  # (N,) of the target's rows

    def prepare(self, data: Any, progress: float) -> None:
        """Give each scan the class of its nearest centroid."""
        here = look_at_home(self.classifier, data["target"].cohort)
        self.pseudo_label = by_centroids(here.embedding, here.logits.softmax(dim=1))

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """Minus the information that the predictions hold, and the cross-entropy with the pseudo-labels."""
        target = batch["target"]
        logits = self.forward(target).logits
        mean = logits.softmax(dim=1).mean(dim=0)
        information = -(mean * mean.clamp_min(1e-8).log()).sum() - entropy(logits).mean()
        return {
            "information": -self.information_weight * information,
            "pseudo_label": self.pseudo_weight * F.cross_entropy(logits, self.pseudo_label[target.row]),
        }
