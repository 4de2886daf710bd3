"""DELTA: what the network sees stays near what it saw, where that matters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medtl.finetuning.base import Strategy
from medtl.methods.base import Batch
from medtl.methods.losses import task_loss
from medtl.models import Classifier
from medtl.models.chunks import CHUNK
from medtl.models.layers import STAGES, Layered, can_be_layered
from medtl.models.looking import batches, together


class DELTA(Strategy):
    """Feature maps held to those of the start, with attention (DELTA: Li et al., ICLR 2019, arXiv:1901.09229).

    loss = task + alpha / 2 * sum over stages s and their channels j of

        C_s w_sj  mean over instances and places of  (map_sj(x) - map_sj of the start (x))^2,

    C_s the channels of s. The attention w_s sums to 1 and is, as in the paper, the softmax over channels of how much
    the loss on the labelled scans rises when a channel is put to zero. The paper measures it with a forward pass for
    each channel; here it is the first-order term, - sum over places of map * d loss / d map, of one backward pass
    before the training (Molchanov et al., ICLR 2017, arXiv:1611.06440). A model without a Run has a head of zeros,
    which says nothing of channels: then they count alike. The paper's penalty on the head is AdamW's decay.

    The maps are a second pass through the backbone; of volumes that take several, of 64 of their slices, evenly spread.
    A backbone that does not tell its stages is held by its features.

    Args:
        classifier: is fine-tuned.
        alpha: the authors' 0.01, whose loss is summed over a batch of 64, not averaged.
    """

    def __init__(self, classifier: Classifier, alpha: float = 0.64) -> None:
        super().__init__(classifier)
        self.alpha = alpha
        self.start = copy.deepcopy(_own(classifier.backbone)).requires_grad_(False).eval()
        for number in range(STAGES if can_be_layered(self.start) else 1):
            self.register_buffer(f"attention_{number}", torch.zeros(0))

    def train(self, mode: bool = True) -> DELTA:
        """As torch's; the start stays as it is."""
        super().train(mode)
        self.start.eval()
        return self

    def prepare(self, data: Any, progress: float) -> None:
        """Once: the attention, by all labelled scans as they are."""
        if len(self.get_buffer("attention_0")) == 0:
            for number, risen in enumerate(losses_without(self.classifier, data["labelled"].cohort)):
                setattr(self, f"attention_{number}", risen.softmax(dim=0))

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss, and how far the maps are from those of the start."""
        pixels = batch["labelled"].pixels
        pixels = pixels[:: -(-len(pixels) // max(CHUNK, len(batch["labelled"].row)))]
        with torch.no_grad():
            before = maps_of(self.start, pixels)
        ways = [
            way(now, then, self.get_buffer(f"attention_{number}"))
            for number, (now, then) in enumerate(
                zip(maps_of(_own(self.classifier.backbone), pixels), before, strict=True)
            )
        ]
        return {**super().losses(batch, progress), "way": 0.5 * self.alpha * torch.stack(ways).sum()}


def way(now: Tensor, then: Tensor, attention: Tensor) -> Tensor:
    """C sum over channels of w_j mean (now_j - then_j)^2: maps (instances, C, H, W), attention w (C,) of sum 1."""
    return len(attention) * (attention * (now - then).square().mean(dim=(0, 2, 3))).sum()


def maps_of(backbone: Any, pixels: Tensor) -> list[Tensor]:
    """The last maps of each of the last stages, (instances, C, H, W), early ones first."""
    if not can_be_layered(backbone):
        return [backbone(pixels)[:, :, None, None]]
    return backbone.forward_intermediates(pixels, indices=STAGES, intermediates_only=True)


@torch.enable_grad()
def losses_without(classifier: Classifier, cohort: Any) -> list[Tensor]:
    """For each stage (C,): by how much the mean task loss of the cohort rises without a channel, to first order.

    Args:
        classifier: is left in the mode in which it was.
        cohort: labelled scans.
    """
    was, device = classifier.training, next(classifier.parameters()).device
    classifier.eval()
    total: list[Tensor] = []
    for scans in batches(cohort.bag_sizes):
        pixels, bag = together(cohort, scans, device)
        maps, features = _read(classifier.backbone, pixels)
        pooled, _ = classifier.pooling(features, bag, len(scans))
        label = torch.from_numpy(cohort.label[scans]).to(device)
        loss = task_loss(classifier.classify(pooled).logits, label) * len(scans) / len(cohort)
        slopes = torch.autograd.grad(loss, maps, allow_unused=True, materialize_grads=True)
        risen = [-(slope * each).sum(dim=(0, 2, 3)).detach() for slope, each in zip(slopes, maps, strict=True)]
        total = [one + other for one, other in zip(total, risen, strict=True)] if total else risen
    classifier.train(was)
    return total


def _read(backbone: Any, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
    """The maps, and the features (instances, F) that are computed from them."""
    own = _own(backbone)
    if not can_be_layered(own):
        features = own(pixels)[:, :, None, None]
        return [features], features.flatten(1)
    last, maps = own.forward_intermediates(pixels, indices=STAGES)
    if own is backbone:
        return maps, own.forward_head(last)
    read = torch.cat([own.forward_head(last), *(each.mean(dim=(2, 3)) for each in maps)], dim=1)
    return maps, torch.cat([read, backbone(pixels)[:, read.shape[1] :].detach()], dim=1)


def _own(backbone: Any) -> Any:
    """What learns of a backbone that is read at several depths."""
    return backbone.backbone if isinstance(backbone, Layered) else backbone
