"""The backbone over many slices, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

#: Instances that go through the backbone at once. The same number in training, prediction and the report.
CHUNK = 64


def in_chunks(backbone: nn.Module, pixels: Tensor, scans: int, fixed: bool) -> Tensor:
    """The features of all instances, at most 64 of them (or as many as there are scans) in the backbone at once.

    With so many or fewer instances this is `backbone(pixels)`. Pictures are never cut: a batch of them is as large as
    the user chose. Of volumes, each chunk has slices of every scan, evenly spread, and chunks are equally large.

    Where a gradient is wanted, nothing of a chunk is kept but its pixels; it goes through the backbone once more when
    the gradient comes back (two passes: Chen et al., arXiv:1604.06174). That costs a third more time and no memory.

    With `fixed`, batch normalisation uses its running statistics in a chunk and leaves them alone, in both passes: a
    chunk's own statistics would depend on where a batch was cut, and be counted twice. The gradient is then that of
    the whole batch. Without `fixed`, the norms do as they are set, chunk by chunk.

    Args:
        backbone: gives (instances, F) for pixels (instances, C, H, W).
        pixels: (instances, C, H, W). They are all in memory, 50 kB a slice of 112 x 112.
        scans: N of the batch.
        fixed: whether the batch statistics stay, as in training; False to measure them.

    Returns:
        (instances, F).
    """
    n = len(pixels)
    parts = -(-n // max(CHUNK, scans))
    if parts <= 1:
        return backbone(pixels)

    def features_of(part: Tensor) -> Tensor:
        with statistics_fixed(backbone) if fixed else nullcontext():
            return backbone(part)

    again = torch.is_grad_enabled() and (pixels.requires_grad or any(p.requires_grad for p in backbone.parameters()))
    found = [_twice(features_of, pixels[k::parts]) if again else features_of(pixels[k::parts]) for k in range(parts)]
    order = torch.cat([torch.arange(k, n, parts, device=pixels.device) for k in range(parts)])
    return torch.cat(found)[order.argsort()]


def is_cut(instances: float, scans: int) -> bool:
    """Whether a batch of so many instances of so many scans goes through the backbone in chunks."""
    return instances > max(CHUNK, scans)


@contextmanager
def statistics_fixed(module: nn.Module) -> Iterator[None]:
    """Batch normalisation by the running statistics, which stay as they are; afterwards as before."""
    moving = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.training]
    for norm in moving:
        norm.training = False
    try:
        yield
    finally:
        for norm in moving:
            norm.training = True


def _twice(features_of: Any, part: Tensor) -> Tensor:
    return checkpoint(features_of, part, use_reentrant=False)
