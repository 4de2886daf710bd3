"""Heads on cached features that no linear layer can stand for: they add to a classifier's logits.

A head reads the first F columns, those that it was fitted on: a classifier that is read at more depths since then
(`medtl.models.layers`) has its new ones behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineHead(nn.Module):
    """Logits by the angle between a scan and a class (Gidaris, Komodakis, CVPR 2018; Chen et al., ICLR 2019).

    logit of class c = gain * cos(z, w_c),  z = (features - centre) / spread.

    Args:
        centre, spread: (F,) mean and standard deviation of the site's features.
        weight: (K, F), their length does not matter.
        gain: of all logits.
    """

    centre: Tensor
    spread: Tensor
    weight: Tensor
    gain: Tensor

    def __init__(self, centre: Tensor, spread: Tensor, weight: Tensor, gain: float) -> None:
        super().__init__()
        self.register_buffer("centre", centre.float())
        self.register_buffer("spread", spread.float())
        self.register_buffer("weight", weight.float())
        self.register_buffer("gain", torch.tensor(gain, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F or more) -> logits (N, K)."""
        z = _direction(features, self.centre, self.spread)
        return self.gain * z @ F.normalize(self.weight, dim=1).T


class CacheHead(nn.Module):
    """Logits by likeness to the labelled scans (Tip-Adapter: Zhang et al., ECCV 2022, arXiv:2207.09519, equation 5).

    logits = gain * exp(-beta (1 - cos(z, keys))) @ values,  z = (features - centre) / spread.

    Args:
        centre, spread: (F,) mean and standard deviation of the site's features.
        keys: (S, F) the labelled scans' z.
        values: (S, K) how each labelled scan votes.
        beta: how near a scan must be for its vote to count.
        gain: of all logits.
    """

    centre: Tensor
    spread: Tensor
    keys: Tensor
    values: Tensor
    beta: Tensor
    gain: Tensor

    def __init__(self, centre: Tensor, spread: Tensor, keys: Tensor, values: Tensor, beta: float, gain: float) -> None:
        super().__init__()
        self.register_buffer("centre", centre.float())
        self.register_buffer("spread", spread.float())
        self.register_buffer("keys", keys.float())
        self.register_buffer("values", values.float())
        self.register_buffer("beta", torch.tensor(beta, dtype=torch.float32))
        self.register_buffer("gain", torch.tensor(gain, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F or more) -> logits (N, K)."""
        likeness = _direction(features, self.centre, self.spread) @ F.normalize(self.keys, dim=1).T
        return self.gain * torch.exp(-self.beta * (1 - likeness)) @ self.values


class StartHead(nn.Module):
    """The bottleneck and head of the model that an adapted one began from (`medtl.models.beside`).

    logits = gain * (relu(f hidden^T + hidden_bias) outer^T + outer_bias),  f = features[first : first + F].

    Args:
        hidden: (E, F), hidden_bias: (E,) the bottleneck, its batch normalisation worked into it.
        outer: (K, E), outer_bias: (K,) the head.
        first: the column in which the features of its own backbone begin.
        gain: of all logits.
    """

    hidden: Tensor
    hidden_bias: Tensor
    outer: Tensor
    outer_bias: Tensor
    gain: Tensor

    def __init__(
        self, hidden: Tensor, hidden_bias: Tensor, outer: Tensor, outer_bias: Tensor, first: float, gain: float
    ) -> None:
        super().__init__()
        self.register_buffer("hidden", hidden.float())
        self.register_buffer("hidden_bias", hidden_bias.float())
        self.register_buffer("outer", outer.float())
        self.register_buffer("outer_bias", outer_bias.float())
        self.register_buffer("first", torch.tensor(float(first)))
        self.register_buffer("gain", torch.tensor(gain, dtype=torch.float32))
        self._columns = slice(int(first), int(first) + hidden.shape[1])

    @classmethod
    def of(cls, classifier: Any, first: int, gain: float) -> StartHead:
        """That of a classifier (`medtl.models.Classifier`) in evaluation mode."""
        _, linear, norm, _ = classifier.bottleneck
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias + (linear.bias - norm.running_mean) * scale
        parts = (linear.weight * scale[:, None], shift, classifier.head.weight, classifier.head.bias)
        hidden, hidden_bias, outer, outer_bias = (each.detach().clone() for each in parts)
        return cls(hidden, hidden_bias, outer, outer_bias, float(first), gain)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, first + F or more) -> logits (N, K)."""
        hidden = torch.relu(features[:, self._columns] @ self.hidden.T + self.hidden_bias)
        return self.gain * (hidden @ self.outer.T + self.outer_bias)


FewShot = CosineHead | CacheHead

#: The buffer that only this head has -> the head.
HEADS: dict[str, type[CosineHead] | type[CacheHead] | type[StartHead]] = {
    "weight": CosineHead,
    "keys": CacheHead,
    "hidden": StartHead,
}


def heads_in(state: Mapping[str, Tensor]) -> nn.ModuleList:
    """The heads that a classifier's state dict has beside its linear ones, in their order; none in most.

    Args:
        state: its `few_shot.NUMBER.NAME` are looked at.
    """
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("few_shot."):
            number, buffer = name.removeprefix("few_shot.").split(".")
            found.setdefault(int(number), {})[buffer] = value
    heads = nn.ModuleList()
    for _, buffers in sorted(found.items()):
        kind: type[Any] = next(head for mark, head in HEADS.items() if mark in buffers)
        heads.append(kind(**{name: value if value.ndim else float(value) for name, value in buffers.items()}))
    return heads


def _direction(features: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    return F.normalize((features[:, : len(centre)] - centre) / spread, dim=1)
