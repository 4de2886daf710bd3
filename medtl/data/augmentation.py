"""Random views of scans, a whole batch at a time on the model's device.

MONAI's random transforms work scan by scan on the CPU: 160 ms for a batch of 64 pictures of 112 x 112 on one core, a
tenth of the training step. These do the same arithmetic for the batch at once, with torch: 26 ms (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How far a random view may be from the scan. The defaults suit grey scans of the body.

    Attributes:
        rotation: degrees, either way.
        scale: a fraction, either way.
        translation: a fraction of the side, either way.
        flip: the probability of left for right; 0 where the side matters.
        contrast: a factor in [1 - contrast, 1 + contrast].
        brightness: an offset in [-brightness, brightness], where pixels run from -1 to 1.
        gamma: an exponent in [1 / (1 + gamma), 1 + gamma].
        noise: the largest standard deviation of Gaussian noise.
    """

    rotation: float = 15.0
    scale: float = 0.15
    translation: float = 0.08
    flip: float | None = 0.5
    contrast: float = 0.25
    brightness: float = 0.1
    gamma: float = 0.3
    noise: float = 0.05

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """One random view of each instance.

        Args:
            pixels: (instances, C, H, W), about in [-1, 1].
            generator: on the CPU; the same state gives the same views.
        """
        n, device = len(pixels), pixels.device

        def uniform(low: float, high: float) -> Tensor:
            return (torch.rand(n, generator=generator) * (high - low) + low).to(device)

        pixels = self._affine(pixels, uniform)
        exponent = torch.exp(uniform(-1, 1) * torch.log1p(torch.tensor(self.gamma)))[:, None, None, None]
        pixels = ((pixels.clamp(-1, 1) + 1) / 2).clamp(min=1e-6).pow(exponent) * 2 - 1
        gain = uniform(1 - self.contrast, 1 + self.contrast)[:, None, None, None]
        offset = uniform(-self.brightness, self.brightness)[:, None, None, None]
        pixels = pixels * gain + offset
        if self.noise:
            level = uniform(0, self.noise)[:, None, None, None]
            pixels = pixels + level * torch.randn(pixels.shape, generator=generator).to(device)
        return pixels.clamp(-1, 1)

    def _affine(self, pixels: Tensor, uniform) -> Tensor:
        angle = torch.deg2rad(uniform(-self.rotation, self.rotation))
        zoom = 1 + uniform(-self.scale, self.scale)
        mirror = torch.where(uniform(0, 1) < (self.flip or 0.0), -1.0, 1.0)
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        shift_x, shift_y = (
            uniform(-2 * self.translation, 2 * self.translation),
            uniform(-2 * self.translation, 2 * self.translation),
        )
        theta = torch.stack(
            [torch.stack([cos * mirror, -sin, shift_x], 1), torch.stack([sin * mirror, cos, shift_y], 1)], 1
        )
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        # outside the scan is black, which is -1
        return F.grid_sample(pixels + 1, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1
