"""A network that was adapted and the one that it began from, as one: their answers are averaged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from medtl.models.classifier import Classifier
from medtl.models.heads import StartHead


class WithStart(nn.Module):
    """Two backbones of one architecture: the adapted one, and beside it that of the model that it began from.

    features (n, 2 F) = the adapted one's F, then the other's. The other stays as it is, its batch statistics too.
    """

    def __init__(self, backbone: Any, start: Any) -> None:
        super().__init__()
        self.start = start.requires_grad_(False).eval()
        self.backbone = backbone
        self.last = backbone.num_features
        self.num_features = 2 * backbone.num_features

    def frozen(self) -> Iterator[nn.Module]:
        """The modules that keep their batch statistics."""
        return self.start.modules()

    def train(self, mode: bool = True) -> WithStart:
        """As torch's; the start stays as it is."""
        super().train(mode)
        self.start.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (instances, C, H, W) -> (instances, 2 F)."""
        return torch.cat([self.backbone(pixels), self.start(pixels)], dim=1)


def with_start(classifier: Classifier, start: Classifier, own: float, its: float) -> Classifier:
    """The classifier whose logits are own * (the adapted one's) + its * (those of the model that it began from).

    Networks that err in different ways err less together (Hansen and Salamon, PAMI 1990), at twice the cost.

    Args:
        classifier: adapted; stays as it is.
        start: the model that it began from, of the same architecture, with a bottleneck and a head alone (`is_plain`).
        own: weight of the classifier's logits.
        its: weight of the start's.
    """
    both = copy.deepcopy(classifier)
    both.backbone = WithStart(both.backbone, copy.deepcopy(start.backbone))
    narrow = both.shortcut
    both.shortcut = nn.Linear(both.backbone.num_features, narrow.out_features, bias=False).to(narrow.weight)
    with torch.no_grad():
        both.shortcut.weight.zero_()[:, : narrow.in_features] = own * narrow.weight
        both.head.weight.mul_(own)
        both.head.bias.mul_(own)
        for name, buffer in both.few_shot.named_buffers():
            if name.endswith("gain"):
                buffer.mul_(own)
    both.shortcut.weight.requires_grad_(False)
    both.few_shot.append(StartHead.of(start, first=narrow.in_features, gain=its).to(narrow.weight.device))
    return both.eval()


def without_start(classifier: Classifier) -> Classifier:
    """The adapted one alone, to train it further; any other classifier as it is."""
    if not isinstance(classifier.backbone, WithStart):
        return classifier
    alone = copy.deepcopy(classifier)
    alone.backbone = alone.backbone.backbone
    wide, features = alone.shortcut, alone.backbone.num_features
    alone.shortcut = nn.Linear(features, wide.out_features, bias=False).to(wide.weight)
    alone.shortcut.weight.data.copy_(wide.weight[:, :features])
    alone.shortcut.weight.requires_grad_(False)
    alone.few_shot = nn.ModuleList(head for head in alone.few_shot if not isinstance(head, StartHead))
    return alone


def is_plain(classifier: Classifier) -> bool:
    """Whether a classifier's answer comes from its bottleneck and head alone."""
    return not classifier.few_shot and not bool(classifier.shortcut.weight.any())
