"""Random views of scans, a whole batch at a time on the model's device.

MONAI's random transforms work scan by scan on the CPU: 160 ms for a batch of 64 pictures of 112 x 112 on one core, a
tenth of the training step. These do the same arithmetic for the batch at once, with torch (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

#: What is drawn for each scan, in this order: uniform numbers in [0, 1).
DRAWN = (
    "rotation", "scale", "flip", "shift_x", "shift_y", "gamma", "contrast", "brightness", "noise",
    "flip_vertical", "blurred", "sigma",
)  # fmt: skip
#: Instances that are worked on at once, or as many as there are scans, as in the backbone: on the way a view needs
#: some five times the memory of its pixels, and a batch of volumes is large.
TOGETHER = 64
#: Of a Gaussian, in standard deviations: as far as MONAI's GaussianFilter.
_REACH = 4.0


@dataclass(frozen=True)
class Augmentation:
    """How far a random view may be from the scan. The defaults suit grey scans of the body.

    Attributes:
        rotation: degrees, either way.
        scale: a fraction, either way.
        translation: a fraction of the side, either way.
        flip: the probability of left for right; 0 where the side matters.
        flip_vertical: the probability of top for bottom; 0 unless the picture has no up.
        contrast: a factor in [1 - contrast, 1 + contrast].
        brightness: an offset in [-brightness, brightness], where pixels run from -1 to 1.
        gamma: an exponent in [1 / (1 + gamma), 1 + gamma].
        noise: the largest standard deviation of Gaussian noise.
        blur: the probability of a Gaussian blur; a fifth, as in nnU-Net (Isensee et al., Nature Methods 2021).
        blur_sigma: its largest standard deviation in pixels, the smallest being half of it; nnU-Net's 0.5 to 1.
        holes: squares of mid grey in each instance (DeVries & Taylor, arXiv:1708.04552). None by default: a hole may
            hide the one small finding that the label speaks of.
        hole: the side of a hole, a fraction of the picture's.
    """

    rotation: float = 15.0
    scale: float = 0.15
    translation: float = 0.08
    flip: float = 0.5
    flip_vertical: float = 0.0
    contrast: float = 0.25
    brightness: float = 0.1
    gamma: float = 0.3
    noise: float = 0.05
    blur: float = 0.2
    blur_sigma: float = 1.0
    holes: int = 0
    hole: float = 0.2

    def stronger(self) -> Augmentation:
        """Twice as far in every way that it goes, and a hole: the second view of consistency methods.

        As RandAugment and Cutout in FixMatch (Sohn et al., NeurIPS 2020, arXiv:2001.07685), without the colours that
        a grey scan has not.
        """
        wider = ("rotation", "scale", "translation", "contrast", "brightness", "gamma", "noise", "blur")
        twice = {name: 2 * getattr(self, name) for name in wider}
        return replace(self, **{**twice, "blur": min(1.0, twice["blur"])}, holes=self.holes + 1)

    def __call__(self, pixels: Tensor, generator: torch.Generator, bag: Tensor | None = None) -> Tensor:
        """One random view of each scan.

        The instances of a scan (slices of a volume) move, and change their grey values, together, so that neighbouring
        slices stay neighbours; noise and holes are each instance's own.

        Args:
            pixels: (instances, C, H, W), about in [-1, 1], on any device; black, outside the scan, is -1.
            generator: on the CPU; the same state gives the same view on every device.
            bag: (instances,) the scan 0..N-1 of each instance, best on the CPU; None where each instance is a scan.

        Returns:
            (instances, C, H, W) in [-1, 1].
        """
        scans = len(pixels) if bag is None else int(bag.max()) + 1
        uniform = torch.rand(len(DRAWN), scans, generator=generator)
        if bag is not None:
            uniform = uniform[:, bag.cpu()]
        noise = _noise(pixels, generator) if self.noise else None
        places = torch.rand(2, self.holes, len(pixels), generator=generator)
        reach = self._reach(dict(zip(DRAWN, uniform, strict=True)))
        views = torch.empty_like(pixels)
        for start in range(0, len(pixels), max(TOGETHER, scans)):
            here = slice(start, start + max(TOGETHER, scans))
            drawn = dict(zip(DRAWN, uniform[:, here], strict=True))
            views[here] = self._view(pixels[here], drawn, reach, None if noise is None else noise(here))
            if self.holes:
                views[here] = self._with_holes(views[here], places[:, :, here])
        return views

    def _view(self, pixels: Tensor, drawn: dict[str, Tensor], reach: int, noise: Tensor | None) -> Tensor:
        """All but the holes, of some instances."""
        light = self._moved(pixels + 1, drawn)  # from here on black is 0 and white 2
        light = self._blurred(light, drawn, reach)
        exponent = (1 + self.gamma) ** _either_way(drawn["gamma"])
        gain = 1 + self.contrast * _either_way(drawn["contrast"])
        offset = self.brightness * _either_way(drawn["brightness"])
        on_device = torch.stack([exponent, 2 * gain, offset - gain, self.noise * drawn["noise"]]).to(pixels.device)
        exponent, gain, offset, level = on_device[:, :, None, None, None]
        view = light.mul_(0.5).clamp_(1e-6, 1).pow_(exponent).mul_(gain).add_(offset)
        if noise is not None:
            view.addcmul_(level, noise)
        return view.clamp_(-1, 1)

    def _moved(self, light: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """Turned, scaled, shifted and mirrored; what comes in from outside is 0."""
        angle = torch.deg2rad(self.rotation * _either_way(drawn["rotation"]))
        zoom = 1 + self.scale * _either_way(drawn["scale"])
        mirror, upside_down = (
            torch.where(drawn[name] < probability, -1.0, 1.0)
            for name, probability in (("flip", self.flip), ("flip_vertical", self.flip_vertical))
        )
        shift_x, shift_y = (2 * self.translation * _either_way(drawn[name]) for name in ("shift_x", "shift_y"))
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        rows = [[cos * mirror, -sin * upside_down, shift_x], [sin * mirror, cos * upside_down, shift_y]]
        theta = torch.stack([torch.stack(row, 1) for row in rows], 1).to(light)
        grid = F.affine_grid(theta, list(light.shape), align_corners=False)
        return F.grid_sample(light, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _blurred(self, light: Tensor, drawn: dict[str, Tensor], reach: int) -> Tensor:
        """Some of the instances blurred, each with its own sigma; what is outside is 0."""
        chosen, sigma = self._sigma(drawn)
        if len(chosen):
            here = chosen.to(light.device)
            light[here] = gaussian_blur(light[here], sigma, reach)
        return light

    def _sigma(self, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Which instances are blurred, and how far each."""
        chosen = torch.nonzero(drawn["blurred"] < self.blur)[:, 0]
        return chosen, self.blur_sigma * (1 + drawn["sigma"][chosen]) / 2

    def _reach(self, drawn: dict[str, Tensor]) -> int:
        """Of the widest blur of the batch, so that a view does not depend on what is worked on together."""
        sigma = self._sigma(drawn)[1]
        return reach_of(sigma) if len(sigma) else 0

    def _with_holes(self, view: Tensor, places: Tensor) -> Tensor:
        """`holes` squares of each instance, wholly inside it, in mid grey; `places` (2, holes, n) in [0, 1)."""
        height, width = view.shape[-2:]
        sides = [max(1, round(self.hole * side)) for side in (height, width)]
        for hole in range(self.holes):
            inside = [
                _inside((places[axis, hole] * (side - length + 1)).long(), length, side).to(view.device)
                for axis, (side, length) in enumerate(zip((height, width), sides, strict=True))
            ]
            view = view.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)
        return view


def reach_of(sigma: Tensor) -> int:
    """Pixels either way that the widest of these Gaussians (n,) is cut at."""
    return int(_REACH * float(sigma.max()) + 0.5)


def gaussian_blur(pixels: Tensor, sigma: Tensor, reach: int | None = None) -> Tensor:
    """Each instance blurred with its own Gaussian, integrated over each pixel; 0 outside.

    Args:
        pixels: (n, C, H, W).
        sigma: (n,) standard deviations in pixels, on the CPU.
        reach: pixels either way; by default those of the widest.
    """
    reach = reach_of(sigma) if reach is None else reach
    steps = torch.arange(-reach, reach + 1)
    scaled = (2**-0.5) / sigma[:, None]
    weights = (0.5 * (torch.erf(scaled * (steps + 0.5)) - torch.erf(scaled * (steps - 0.5)))).to(pixels)
    n, channels, height, width = pixels.shape
    weights = weights.repeat_interleave(channels, dim=0)[:, None, None]  # one filter a channel: (n * C, 1, 1, taps)
    together = pixels.reshape(1, n * channels, height, width)
    together = F.conv2d(together, weights, padding=(0, reach), groups=n * channels)
    together = F.conv2d(together, weights.transpose(2, 3), padding=(reach, 0), groups=n * channels)
    return together.reshape(pixels.shape)


def _noise(like: Tensor, generator: torch.Generator) -> Callable[[slice], Tensor]:
    """Gaussian noise for some of (n, C, H, W): cut from a pool, at a place of its own for each instance.

    The pool is as long as two instances. All numbers are drawn on the CPU, so that a GPU gives the same views, and
    drawing each number of 128 colour pictures of 224 x 224 there would take longer than a GPU's training step.
    """
    length = like[0].numel()
    pool = torch.randn(2 * length, generator=generator)
    spread = torch.arange(len(like)) + torch.rand(len(like), generator=generator)  # no two of them in one place
    starts = (spread * (length / len(like))).long().to(like.device)
    pieces = pool.to(like).unfold(0, length, 1)
    return lambda here: pieces[starts[here]].view(-1, *like.shape[1:])


def _either_way(uniform: Tensor) -> Tensor:
    """[0, 1) as [-1, 1)."""
    return 2 * uniform - 1


def _inside(start: Tensor, length: int, side: int) -> Tensor:
    """(n, side): whether a row or column is one of the `length` from `start` (n,) on."""
    place = torch.arange(side)
    return (place >= start[:, None]) & (place < start[:, None] + length)
