"""Fourier domain adaptation: scans of one site with the low frequencies of another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

#: How far above a picture's darkest value its black border may lie: what noise of 0.05 leaves after a mean of 3 x 3.
_BLACK = 0.2


def swap_amplitude(source: Tensor, target: Tensor, beta: float = 0.01) -> Tensor:
    """Pictures with the low-frequency amplitude of others (Yang & Soatto, CVPR 2020, arXiv:2004.05498, equation 1).

    The amplitude of the source's Fourier transform becomes the target's within the square of half side
    floor(beta min(H, W)) about frequency 0; the phase stays, and with it where things are. What changes is brightness,
    contrast and slow shading, which differ between sites, and not anatomy.

    Args:
        source: (n, C, H, W) light, black being 0. Frequency 0 keeps the sign of its mean, so that the target's mean is
            taken where both are of one sign, as light is.
        target: (n, C, H, W) light, the picture whose amplitude each takes.
        beta: the smallest of the paper's 0.01, 0.05 and 0.09, which leaves the fewest artefacts. At 112 rows it reaches
            one wave across the picture (3 x 3 frequencies), below 100 rows it changes the mean grey alone.

    Returns:
        (n, C, H, W), not clipped.

    Raises:
        ValueError: the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(f"source {tuple(source.shape)} and target {tuple(target.shape)} differ in shape")
    height, width = source.shape[-2:]
    reach = math.floor(beta * min(height, width))
    spectrum, style = (torch.fft.rfft2(each.float()) for each in (source, target))
    rows = [*range(reach + 1), *range(height - reach, height)]
    low = spectrum[..., rows, : reach + 1]
    amplitude = style[..., rows, : reach + 1].abs()
    spectrum[..., rows, : reach + 1] = torch.polar(amplitude, low.angle())
    return torch.fft.irfft2(spectrum, s=(height, width)).to(source.dtype)


def restyle(source: Tensor, target: Tensor, beta: float = 0.01) -> Tensor:
    """`swap_amplitude` of what the pictures show: their black border stays black.

    The bars that pad a scan to a square, the air around a body and the corners around an ultrasound fan are slow waves
    of great amplitude. Swapped with the rest, they paint the target's bars as shadows over the source's tissue, and
    grey over its own bars. So the border is filled with the mean of what is shown before, and put back after; pictures
    without one are as in the paper. A target that is border all over, such as a volume's blank slice, has no style to
    give: the source stays.

    Args:
        source: (n, C, H, W) in [-1, 1].
        target: (n, C, H, W), the picture whose style each takes.
        beta: see `swap_amplitude`.

    Returns:
        (n, C, H, W) in [-1, 1].
    """
    border, others = black_border(source), black_border(target)
    light = swap_amplitude(_filled(source, border) + 1, _filled(target, others) + 1, beta)
    stays = torch.maximum(border, others.amin((2, 3), keepdim=True))
    return torch.lerp((light - 1).clamp(-1, 1), source, stays.expand_as(source))


def black_border(pixels: Tensor) -> Tensor:
    """1 where a pixel belongs to the black border, else 0: along its row or column, all up to an edge is black.

    Black is the picture's own darkest value, which a random view may have lifted.

    Args:
        pixels: (n, C, H, W).

    Returns:
        (n, 1, H, W), of the pixels' type.
    """
    smooth = _mean_of_neighbours(pixels.amax(1, keepdim=True))
    lit = (smooth > smooth.amin((2, 3), keepdim=True) + _BLACK).to(pixels.dtype)
    border = torch.zeros_like(lit)
    for axis in (2, 3):
        side = lit.shape[axis]
        place = torch.arange(1.0, side + 1, device=lit.device).view((side, 1) if axis == 2 else (1, side))
        last = (lit * place).amax(axis, keepdim=True)
        first = side + 1 - (lit * (side + 1 - place)).amax(axis, keepdim=True)
        border += (place < first).to(lit) + (place > last).to(lit)
    return border.clamp_(max=1)


def _mean_of_neighbours(pixels: Tensor) -> Tensor:
    """The mean over 3 x 3 pixels, the edge repeated; twice as fast as avg_pool2d on a CPU."""
    padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def _filled(pixels: Tensor, border: Tensor) -> Tensor:
    """The border as the mean of what is shown: the picture's own, channel by channel."""
    inside = 1 - border
    mean = (pixels * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.lerp(pixels, mean.expand_as(pixels), border.expand_as(pixels))
