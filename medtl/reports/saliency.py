"""Where the model looked: Grad-CAM of the answer it gave."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

# The least side of a map worth drawing; the last one of a 112-pixel input has 4. On 60 ultrasound scans of Egypt
# (frozen Lite0, trained head) the brightest point lay in the lesion's mask in 0.25, with the last map 0.20, with 14
# cells 0.07; chance is 0.08.
CELLS = 7


def saliency(classifier: nn.Module, pixels: np.ndarray, answer: int) -> tuple[int, np.ndarray]:
    """The instance that speaks most for the answer, and where in it.

    Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) by captum, on the deepest features with at least 7 by 7
    cells.

    Args:
        classifier: `medtl.models.Classifier`, in eval mode.
        pixels: float32 (instances, C, H, W), one scan.
        answer: the class number.

    Returns:
        The instance's number, and float32 (H, W) in [0, 1], 1 where it speaks most for the answer.
    """
    classifier.eval()
    device = next(classifier.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).to(device)
    layer = deepest_map(classifier.backbone, batch[:1])  # type: ignore[arg-type]
    with torch.enable_grad():
        maps = LayerGradCam(_OneScan(classifier), layer).attribute(batch, target=answer, relu_attributions=True)
    maps = LayerAttribution.interpolate(maps, tuple(batch.shape[-2:]), interpolate_mode="bicubic")
    maps = maps.detach().clamp(min=0)[:, 0].cpu().numpy()
    instance = int(maps.sum(axis=(1, 2)).argmax())
    chosen = maps[instance]
    return instance, (chosen / max(float(chosen.max()), 1e-12)).astype(np.float32)


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


class _OneScan(nn.Module):
    """The instances of one scan in, its logits (1, K) out."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        bag = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
        return self.classifier(pixels, bag, 1).logits
