"""Where the model looked: which slices mattered, and where in the one that mattered most, by three methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from medtl.intensity.values import BLACK, WHITE
from medtl.models import Classifier
from medtl.models.chunks import CHUNK, in_chunks

# The least side of a map worth drawing; the last one of a 112-pixel input has 4. On 60 ultrasound scans of Egypt
# (frozen Lite0, trained head) the brightest point lay in the lesion's mask in 0.25, with the last map 0.20, with 14
# cells 0.07; chance is 0.08.
CELLS = 7
STEPS = 8  # of integrated gradients from black, and as many from white: Gauss-Legendre's points
SMOOTH = 0.02  # of the side: one pixel's gradient is noise (Smilkov et al., SmoothGrad, arXiv:1706.03825)
PATCH = 4  # the side of what is covered is a fourth of the picture's, and it moves by half of its own


class Saliency(NamedTuple):
    """What spoke for an answer."""

    instance: int  # the one that mattered most
    where: np.ndarray  # float32 (H, W) in [0, 1], 1 where that instance speaks most for the answer
    weights: np.ndarray  # float32 (instances,), how much each mattered, sum 1


class Looked(NamedTuple):
    """One scan on its way through a classifier."""

    classifier: Classifier
    pixels: Tensor  # (instances, C, H, W)
    features: Tensor  # (instances, F)
    answer: int


def saliency(classifier: Classifier, pixels: np.ndarray, answer: int, how: str = "Grad-CAM") -> Saliency:
    """The instance that speaks most for the answer, where in it, and how much each instance matters.

    How much an instance matters is its weight where the model attends, else its share of all instances' Grad-CAM:
    every method looks at the same one. Instances go through in chunks, as everywhere: the map of each is what it would
    be in one pass.

    Args:
        classifier: in eval mode afterwards.
        pixels: float32 (instances, C, H, W), one scan.
        answer: the class number.
        how: one of SALIENCIES.
    """
    return saliencies(classifier, pixels, answer, (how,))[how]


def saliencies(
    classifier: Classifier, pixels: np.ndarray, answer: int, names: tuple[str, ...] | None = None
) -> dict[str, Saliency]:
    """As `saliency`, by several methods, all of SALIENCIES where none is named: name -> its map."""
    classifier.eval()
    device = next(classifier.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).to(device)
    with torch.no_grad():
        features = in_chunks(classifier.backbone, batch, 1, fixed=True)
        attention = classifier.pooling(features, _one_bag(batch), 1)[1]
    scan = Looked(classifier, batch, features, answer)
    if attention is not None:
        weights = attention.float().cpu().numpy()
    else:
        rows = [slice(start, start + CHUNK) for start in range(0, len(batch), CHUNK)]
        mass = np.concatenate([_grad_cams(scan, each).sum(axis=(1, 2), dtype=np.float64) for each in rows])
        weights = (mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / len(mass))).astype(np.float32)
    chosen = int(weights.argmax())
    maps = {name: SALIENCIES[name](scan, chosen) for name in names or SALIENCIES}
    return {
        name: Saliency(chosen, (where / max(float(where.max()), 1e-12)).astype(np.float32), weights)
        for name, where in maps.items()
    }


def grad_cam(scan: Looked, instance: int) -> np.ndarray:
    """(H, W): where the deepest features with at least 7 by 7 cells speak for the answer.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391, by captum.
    """
    return _grad_cams(scan, slice(instance, instance + 1))[0]


def integrated_gradients(scan: Looked, instance: int) -> np.ndarray:
    """(H, W): what each pixel adds to the answer on the straight way to the picture, smoothed.

    Sundararajan et al., ICML 2017, arXiv:1703.01365, by captum. The mean of the way from black and the way from white:
    from black alone a dark pixel can add nothing, and in ultrasound the lesion is dark (of 18 scans of Egypt, none had
    its maximum there; Sturmfels et al., Distill 2020, on what a baseline hides).
    """
    method = IntegratedGradients(_Variants(scan, instance))
    pixels = scan.pixels[instance : instance + 1]
    with torch.enable_grad():
        added = [
            method.attribute(pixels, start, target=scan.answer, n_steps=STEPS, internal_batch_size=STEPS)
            for start in (BLACK, WHITE)
        ]
    return _for_the_answer((added[0] + added[1]) / 2, SMOOTH * pixels.shape[-1])


def occlusion(scan: Looked, instance: int) -> np.ndarray:
    """(H, W): how much of the answer goes when a patch there is covered with the picture's mean.

    Zeiler and Fergus, ECCV 2014, arXiv:1311.2901, by captum. Not with black, which in ultrasound looks like a lesion.
    """
    pixels = scan.pixels[instance : instance + 1]
    side = max(1, pixels.shape[-1] // PATCH)
    step = max(1, side // 2)
    with torch.no_grad():
        lost = Occlusion(_Variants(scan, instance)).attribute(
            pixels,
            sliding_window_shapes=(pixels.shape[1], side, side),
            strides=(pixels.shape[1], step, step),
            baselines=float(pixels.mean()),
            target=scan.answer,
            perturbations_per_eval=CHUNK,
        )
    return _for_the_answer(lost, step / 2)


#: Adding a method = a function of a scan and one of its instances, and a line here.
SALIENCIES: Mapping[str, Callable[[Looked, int], np.ndarray]] = {
    "Grad-CAM": grad_cam,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
}


def _for_the_answer(given: Tensor, sigma: float) -> np.ndarray:
    """(1, C, H, W) attributions as (H, W), what speaks against the answer being 0."""
    smooth: np.ndarray = gaussian_filter(given.detach()[0].sum(dim=0).float().cpu().numpy(), sigma)
    return np.maximum(smooth, 0)


def _grad_cams(scan: Looked, rows: slice) -> np.ndarray:
    """The maps of some of the instances, float32 (rows, H, W), those of the others being constant meanwhile."""
    backbone = scan.classifier.backbone
    layer = deepest_map(getattr(backbone, "backbone", backbone), scan.pixels[:1])
    with torch.enable_grad():
        cam = LayerGradCam(_SomeOf(scan.classifier, scan.features, rows), layer)
        maps = cam.attribute(scan.pixels[rows], target=scan.answer, relu_attributions=True)
    maps = LayerAttribution.interpolate(maps, tuple(scan.pixels.shape[-2:]), interpolate_mode="bicubic")
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


class _Variants(nn.Module):
    """Variants of one instance of a scan in, (n, C, H, W); the scan's logits with each of them out, (n, K)."""

    def __init__(self, scan: Looked, instance: int) -> None:
        super().__init__()
        self.classifier, self.features, self.instance = scan.classifier, scan.features, instance

    def forward(self, pixels: Tensor) -> Tensor:
        n, instances = len(pixels), len(self.features)
        features = self.features.repeat(n, 1, 1)
        features[:, self.instance] = self.classifier.backbone(pixels)
        bag = torch.arange(n, device=pixels.device).repeat_interleave(instances)
        return self.classifier.classify(self.classifier.pooling(features.flatten(0, 1), bag, n)[0]).logits


def _one_bag(instances: Tensor) -> Tensor:
    return torch.zeros(len(instances), dtype=torch.long, device=instances.device)
