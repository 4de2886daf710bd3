"""Where the model looked: which slices mattered, and Grad-CAM of the answer it gave."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from medtl.models import Classifier
from medtl.models.chunks import CHUNK, in_chunks

# The least side of a map worth drawing; the last one of a 112-pixel input has 4. On 60 ultrasound scans of Egypt
# (frozen Lite0, trained head) the brightest point lay in the lesion's mask in 0.25, with the last map 0.20, with 14
# cells 0.07; chance is 0.08.
CELLS = 7


class Saliency(NamedTuple):
    """What spoke for an answer."""

    instance: int  # the one that mattered most
    where: np.ndarray  # float32 (H, W) in [0, 1], 1 where that instance speaks most for the answer
    weights: np.ndarray  # float32 (instances,), how much each mattered, sum 1


def saliency(classifier: Classifier, pixels: np.ndarray, answer: int) -> Saliency:
    """The instance that speaks most for the answer, where in it, and how much each instance matters.

    Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) by captum, on the deepest features with at least 7 by 7
    cells. How much an instance matters is its weight where the model attends, else its share of the whole map.
    Instances go through in chunks, as everywhere: the map of each is what it would be in one pass.

    Args:
        classifier: in eval mode afterwards.
        pixels: float32 (instances, C, H, W), one scan.
        answer: the class number.
    """
    classifier.eval()
    device = next(classifier.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).to(device)
    layer = deepest_map(getattr(classifier.backbone, "backbone", classifier.backbone), batch[:1])
    with torch.no_grad():
        features = in_chunks(classifier.backbone, batch, 1, fixed=True)
        attention = classifier.pooling(features, _one_bag(batch), 1)[1]
    if attention is not None:
        weights = attention.float().cpu().numpy()
        chosen = int(weights.argmax())
        where = _maps(classifier, layer, batch, features, slice(chosen, chosen + 1), answer)[0]
    else:
        rows = [slice(start, start + CHUNK) for start in range(0, len(batch), CHUNK)]
        maps = np.concatenate([_maps(classifier, layer, batch, features, each, answer) for each in rows])
        mass = maps.sum(axis=(1, 2), dtype=np.float64)
        chosen, where = int(mass.argmax()), maps[mass.argmax()]
        weights = (mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / len(mass))).astype(np.float32)
    return Saliency(chosen, (where / max(float(where.max()), 1e-12)).astype(np.float32), weights)


def _maps(
    classifier: Classifier, layer: nn.Module, batch: Tensor, features: Tensor, rows: slice, answer: int
) -> np.ndarray:
    """The maps of some of the instances, float32 (rows, H, W), those of the others being constant meanwhile."""
    with torch.enable_grad():
        model = _SomeOf(classifier, features, rows)
        maps = LayerGradCam(model, layer).attribute(batch[rows], target=answer, relu_attributions=True)
    maps = LayerAttribution.interpolate(maps, tuple(batch.shape[-2:]), interpolate_mode="bicubic")
    return maps.detach().clamp(min=0)[:, 0].cpu().numpy()


@torch.no_grad()
def deepest_map(backbone: nn.Module, pixels: Tensor) -> nn.Module:
    """The last module of the backbone that gives a feature map of at least 7 by 7 cells, or the last map at all."""
    maps: list[tuple[nn.Module, int]] = []

    def note(module: nn.Module, _: object, out: object) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[-2:]) > 1:
            maps.append((module, min(out.shape[-2:])))

    hooks = [m.register_forward_hook(note) for m in backbone.modules() if m is not backbone]
    try:
        backbone(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    if not maps:
        raise ValueError(f"{type(backbone).__name__} gives no feature map to draw over a scan")
    fine = [module for module, side in maps if side >= CELLS]
    return fine[-1] if fine else maps[-1][0]


class _SomeOf(nn.Module):
    """Some instances of one scan in, the scan's logits (1, K) out."""

    def __init__(self, classifier: Classifier, features: Tensor, rows: slice) -> None:
        super().__init__()
        self.classifier, self.features, self.rows = classifier, features, rows

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.features.clone()
        features[self.rows] = self.classifier.backbone(pixels)
        return self.classifier.classify(self.classifier.pooling(features, _one_bag(features), 1)[0]).logits


def _one_bag(instances: Tensor) -> Tensor:
    return torch.zeros(len(instances), dtype=torch.long, device=instances.device)
