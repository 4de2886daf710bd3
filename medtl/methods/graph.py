"""A graph network over scans: neighbours, and scans of one patient or study, speak for each other."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medtl.measures.graph import SAME_PATIENT, SAME_STUDY, edges, normalised
from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss
from medtl.methods.unlabelled import look_at_home
from medtl.models import Classifier

ROLES = ("source", "target")


class Graph(Method):
    """Graph co-teaching (Roy et al., CVPR 2021, arXiv:2104.00808; by Kipf and Welling, ICLR 2017, arXiv:1609.02907).

    Two heads share the embedding E. The classifier's sees a scan alone; the graph's sees it through its neighbours,

        logits = A E W + b,    A = D^-1/2 (edges + I) D^-1/2,

    over the scans of a source and a target batch (`medtl.measures.graph.edges`: the nearest by embedding, and what the
    manifest knows to be of one study or patient). Both learn the source's labels. Before each epoch the graph's head
    looks at all scans of both sites at once (transductively), and teaches the classifier's the target scans of which it
    is sure:

        loss = task + node * task of the graph's head + pseudo-label loss on the target.

    What is handed over is the plain classifier: a new scan at the hospital comes alone, and a graph of one scan is its
    own loop, A = I. Not of the paper: its edges come from a network that it trains beside; ours are given. Its
    adversary (CDAN) is a method of its own here.

    Args:
        classifier: is adapted; the graph's head begins as a copy of its own.
        k: neighbours in the graph of all scans; in a batch's as many.
        node: the weight of the graph's task loss, 0.3 as in the paper's code.
        sure: the probability from which on the graph's head teaches; 0.7 as in the paper.
    """

    def __init__(self, classifier: Classifier, k: int = 10, node: float = 0.3, sure: float = 0.7) -> None:
        super().__init__(classifier)
        self.head = copy.deepcopy(classifier.head)
        self.k, self.node, self.sure = k, node, sure
        self.register_buffer("belief", torch.zeros(0, classifier.head.out_features))
        for role in ROLES:
            self.register_buffer(f"{role}_groups", torch.zeros(0, 2, dtype=torch.long))

    def prepare(self, data: Any, progress: float) -> None:
        """The graph's logits of all target scans, from a graph of all scans of both sites."""
        cohorts = [data[role].cohort for role in ROLES]
        names = {"patient": [_patients(each) for each in cohorts], "study": [_studies(each) for each in cohorts]}
        joint = {kind: _apart(each) for kind, each in names.items()}
        numbers = torch.from_numpy(np.stack([_numbers(each) for each in joint.values()], axis=1))
        embedding = torch.cat([look_at_home(self.classifier, each).embedding for each in cohorts])
        graph = normalised(edges(embedding.cpu().numpy(), self.k, **joint), loops=1.0)
        mixed = torch.from_numpy(graph @ embedding.cpu().numpy().astype(float)).to(embedding)
        with torch.no_grad():
            self.belief = self.head(mixed)[len(cohorts[0]) :].float()
        for role, each in zip(ROLES, numbers.split([len(each) for each in cohorts]), strict=True):
            setattr(self, f"{role}_groups", each.to(embedding.device))

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task losses of both heads on the source, and what the graph teaches of the target."""
        source, target = (self.forward(batch[role]) for role in ROLES)
        label = batch["source"].label
        embedding = torch.cat([source.embedding, target.embedding])
        groups = torch.cat([self.get_buffer(f"{role}_groups")[batch[role].row] for role in ROLES])
        through = self.head(convolution(batch_edges(embedding.detach(), groups, self.k)) @ embedding)
        several = label is not None and label.ndim == 2
        return {
            "task": task_loss(source.logits, label),
            "node": self.node * task_loss(through[: len(source.logits)], label),
            "taught": taught_loss(target.logits, self.belief[batch["target"].row], self.sure, several),
        }


def batch_edges(embedding: Tensor, groups: Tensor, k: int) -> Tensor:
    """`medtl.measures.graph.edges` within a batch, dense: weights (N, N) in [0, 1], symmetric, nothing on the diagonal.

    Args:
        embedding: (N, E).
        groups: (N, 2) numbers of the patient and the study, -1 for unknown.
        k: the neighbours.
    """
    n = len(embedding)
    itself = torch.eye(n, dtype=torch.bool, device=embedding.device)
    distance = torch.cdist(embedding, embedding).masked_fill(itself, torch.inf)
    nearest = distance.topk(min(k, n - 1), largest=False)
    near = torch.zeros_like(itself).scatter(1, nearest.indices, True)
    scale = nearest.values[:, -1]
    tiny = torch.finfo(distance.dtype).tiny
    weight = torch.exp(-distance.square() / (scale[:, None] * scale).clamp(min=tiny)) * (near | near.T)
    together = (groups[:, None] == groups[None]) & (groups[:, None] >= 0)  # (N, N, 2)
    known = torch.maximum(SAME_PATIENT * together[..., 0], SAME_STUDY * together[..., 1])
    return torch.maximum(weight, known.to(weight)).masked_fill(itself, 0.0)


def convolution(weights: Tensor) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 of weights A (N, N), D the row sums of A + I (Kipf and Welling, equation 2)."""
    weights = weights + torch.eye(len(weights), device=weights.device, dtype=weights.dtype)
    scale = weights.sum(dim=1).rsqrt()
    return scale[:, None] * weights * scale


def taught_loss(logits: Tensor, belief: Tensor, sure: float, several: bool = False) -> Tensor:
    """Cross-entropy with the class that is believed; scans where its probability is below `sure` count 0.

    Args:
        logits: (N, K) of the pupil.
        belief: (N, K) logits of the teacher.
        sure: in [0, 1].
        several: labels a scan; each is taught by itself.
    """
    if several:
        p = torch.sigmoid(belief)
        loss = F.binary_cross_entropy_with_logits(logits, (p > 0.5).to(logits), reduction="none")
        return (loss * (torch.maximum(p, 1 - p) >= sure)).mean()
    p, believed = belief.softmax(dim=1).max(dim=1)
    return (F.cross_entropy(logits, believed, reduction="none") * (p >= sure)).mean()


def _patients(cohort: Any) -> np.ndarray:
    return np.asarray(cohort.patient, dtype=str)


def _studies(cohort: Any) -> np.ndarray:
    """Empty where the manifest does not know."""
    if not hasattr(cohort, "manifest"):
        return np.full(len(cohort), "")
    return cohort.manifest.frame.study.to_numpy(str)


def _apart(names: list[np.ndarray]) -> np.ndarray:
    """The names of both sites, one after the other: patient 17 of another hospital is another."""
    marked = [np.where(each == "", "", np.char.add(f"{site}:", each)) for site, each in enumerate(names)]
    return np.concatenate(marked)


def _numbers(names: np.ndarray) -> np.ndarray:
    """A number for each name, -1 for none."""
    return np.where(names == "", -1, np.unique(names, return_inverse=True)[1])
