"""A classifier that is linear, batches of vectors for it, and slopes by finite differences: to compute by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from medtl.methods import Batch
from medtl.models import Classifier


def classifier(classes: int = 3, inputs: int = 2, width: int = 2, seed: int = 0) -> Classifier:
    """Embedding W x, logits H f + b, in float64: W is `backbone[1].weight`, H and b the head's."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width, bias=False))
    backbone.num_features = width  # type: ignore[assignment]
    made = Classifier(backbone, classes, bottleneck=width)
    made.bottleneck = nn.Identity()  # type: ignore[assignment]
    return made.double()


def batch(x: np.ndarray, label: np.ndarray | None = None, site: np.ndarray | None = None) -> Batch:
    n = len(x)
    return Batch(
        pixels=torch.from_numpy(x).reshape(n, 1, 1, -1),
        bag=torch.arange(n),
        label=None if label is None else torch.from_numpy(label),
        site=torch.zeros(n, dtype=torch.int64) if site is None else torch.from_numpy(site),
        row=torch.arange(n),
    )


def weights(of: nn.Module) -> np.ndarray:
    return of.weight.detach().numpy().copy()


def slope(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient by central differences."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        shift = np.zeros_like(at)
        shift[place] = step
        found[place] = (function(at + shift) - function(at - shift)) / (2 * step)
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    return -np.log(softmax(logits)[np.arange(len(label)), label])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def binary(odds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return -np.log(np.where(truth == 1, sigmoid(odds), 1 - sigmoid(odds)))


class Vectors:
    """What a Role and `look` need of a cohort."""

    def __init__(self, x: np.ndarray, label: np.ndarray | None = None) -> None:
        self.stack = x.reshape(len(x), 1, 1, 1, -1).astype(np.float32)
        self.bag_sizes = np.ones(len(x), np.int64)
        self.given = label

    @property
    def label(self) -> np.ndarray:
        assert self.given is not None, "a target label was looked at"
        return self.given

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i]
