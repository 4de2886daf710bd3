"""A backbone that is read at several depths, beside the frozen ImageNet backbone that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from medtl.models.beside import WithStart
from medtl.models.classifier import Classifier

#: Stages whose means are read beside the last features: of five, all but the first, whose 16 filters say little.
STAGES = 4


class Layered(nn.Module):
    """Features of several depths: what a few labels ask for may be a shape, a texture, or neither.

    A network that learnt another hospital's task has the last layers for it; the means of earlier stages, and the
    features that ImageNet gave, are still there to be read (Head2Toe: Evci et al., ICML 2022, arXiv:2201.03529).

    features (instances, F + ...) = the backbone's own last ones, the means of its last stages from early to late, and
    both of `beside`.

    `last` is how many of them are the backbone's own last ones, which come first.

    Args:
        backbone: a timm model without its head.
        beside: the same architecture, frozen as it is; None for none.
    """

    def __init__(self, backbone: Any, beside: Any | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.beside = beside.requires_grad_(False).eval() if beside is not None else None
        stages = [stage["num_chs"] for stage in backbone.feature_info[-STAGES:]]
        #: Columns of each depth, for each backbone: its stages from early to late, then its last features.
        self.depths: list[list[slice]] = []
        start = 0
        for _ in range(1 if beside is None else 2):
            last, start = slice(start, start + backbone.num_features), start + backbone.num_features
            blocks = []
            for width in stages:
                blocks.append(slice(start, start + width))
                start += width
            self.depths.append([*blocks, last])
        self.num_features = start
        self.last = backbone.num_features

    @property
    def views(self) -> list[list[slice]]:
        """What a probe may read: the last features; the last two stages as well; all stages."""
        kept = (1, 3, STAGES + 1)
        return [[block for depths in self.depths for block in depths[-count:]] for count in kept]

    @property
    def early(self) -> list[slice]:
        """The two earliest stages that are read: texture, sharpness and exposure more than shape."""
        return [block for depths in self.depths for block in depths[:2]]

    def frozen(self) -> Iterator[nn.Module]:
        """The modules that keep what ImageNet gave them, batch statistics too."""
        return iter(()) if self.beside is None else self.beside.modules()

    def train(self, mode: bool = True) -> Layered:
        """As torch's; what is frozen stays so, its batch statistics too."""
        super().train(mode)
        if self.beside is not None:
            self.beside.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (instances, C, H, W) -> (instances, F + ...)."""
        read = [*_layers(self.backbone, pixels)]
        if self.beside is not None:
            read += _layers(self.beside, pixels)
        return torch.cat(read, dim=1)


def layered(classifier: Classifier, beside: Any | None = None) -> Classifier:
    """The classifier, changed in place to read its backbone at several depths; it gives the same logits as before.

    One that does so already, or whose backbone tells no stages, stays as it is.
    """
    if isinstance(classifier.backbone, Layered) or not can_be_layered(classifier.backbone):
        return classifier
    classifier.backbone = Layered(classifier.backbone, beside)
    narrow = classifier.shortcut
    wide = nn.Linear(classifier.backbone.num_features, narrow.out_features, bias=False).to(narrow.weight)
    nn.init.zeros_(wide.weight).requires_grad_(False)
    wide.weight.data[:, : narrow.in_features] = narrow.weight.data
    classifier.shortcut = wide
    return classifier


def backbone_of(weights: Iterable[str], create: Callable[[], Any]) -> Any:
    """The backbone that a classifier's state dict belongs to: one or two of `create()`, or one read at several depths.

    Args:
        weights: the names in the state dict.
        create: gives the backbone without weights.
    """
    names = tuple(weights)
    if any(name.startswith("backbone.start.") for name in names):
        return WithStart(create(), create())
    if not any(name.startswith("backbone.backbone.") for name in names):
        return create()
    return Layered(create(), create() if any(name.startswith("backbone.beside.") for name in names) else None)


def can_be_layered(backbone: Any) -> bool:
    """Whether the backbone tells its stages, as timm's convolutional networks do."""
    return hasattr(backbone, "forward_intermediates") and len(backbone.feature_info) >= STAGES


def _layers(backbone: Any, pixels: Tensor) -> list[Tensor]:
    last, stages = backbone.forward_intermediates(pixels, indices=STAGES)
    return [backbone.forward_head(last), *(stage.mean(dim=(2, 3)) for stage in stages)]
