"""Kernels between the scans of a batch, and the distance of two sites' means in the space that a kernel spans."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from medtl.errors import InputError

#: Bandwidths of a multi-kernel MMD, as multiples of the mean squared distance: those of DAN's and JAN's authors.
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)

ESTIMATES = ("biased", "unbiased")


def gaussian(points: Tensor, factors: tuple[float, ...] = FACTORS, bandwidth: float | None = None) -> Tensor:
    """The sum of Gaussian kernels of several bandwidths, sum_u exp(-||x - y||^2 / (factor_u * bandwidth)).

    Args:
        points: (M, E), in full precision under autocast too.
        factors: (U,) all computed at once.
        bandwidth: in units of squared distance; None for the mean over all pairs, through which no gradient goes.

    Returns:
        (M, M), between 0 and U.
    """
    squared = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    scale: Tensor | float
    if bandwidth is None:
        scale = squared.detach().sum() / (len(points) * (len(points) - 1))
        scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)  # of scans that are all the same
    else:
        scale = bandwidth
    widths = _on_device(factors, squared.dtype, squared.device) * scale
    return torch.exp(-squared / widths[:, None, None]).sum(0)


@cache
def _on_device(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Once for each device: a GPU is waited for when numbers are copied to it."""
    return torch.tensor(numbers, dtype=dtype, device=device)


def mmd(kernel: Tensor, n_source: int, estimate: str = "unbiased") -> Tensor:
    """The squared maximum mean discrepancy (Gretton et al., JMLR 2012, equations 3 and 5), in the kernel's units.

    Args:
        kernel: (M, M), the source's scans first.
        n_source: how many of them are the source's.
        estimate: "unbiased", whose mean is 0 where the sites are alike, so that it may fall below 0; or "biased", which
            counts each scan as its own neighbour and is never below 0. Their gradients differ by a factor alone within
            each site, n / (n - 1).
    """
    source, target = kernel[:n_source, :n_source], kernel[n_source:, n_source:]
    between = kernel[:n_source, n_source:].mean()
    mean = torch.mean if check_estimate(estimate) == "biased" else _mean_of_pairs
    return mean(source) + mean(target) - 2 * between


def check_estimate(estimate: str) -> str:
    """The estimate, where `mmd` has it; an `InputError` where not."""
    if estimate not in ESTIMATES:
        raise InputError(f"estimate is {estimate!r}: it can be {' or '.join(ESTIMATES)}")
    return estimate


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    return (kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1))
