"""Adaptive batch normalisation: the source's weights, with the target's batch statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medtl.methods.base import Batch, Method
from medtl.methods.losses import task_loss


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch normalisation by each batch's own statistics, without a trace in the running ones."""
    norms = [
        norm
        for norm in module.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class AdaBN(Method):
    """Adaptive batch normalisation (Li et al., Pattern Recognition 2018, arXiv:1603.04779).

    The weights learn from source batches, normalised by their own statistics; the running means and variances, with
    which the predictor works, are those of target batches alone. No gradient comes from the target.

    Of volumes that go through the backbone in chunks the statistics are fixed (`medtl.models.chunks`), for both sites:
    then only those of the bottleneck are the target's.
    """

    own_statistics = True

    def losses(self, batch: Mapping[str, Batch], progress: float) -> dict[str, Tensor]:
        """The task loss on the source; the target is seen by the batch normalisation only."""
        with statistics_kept(self.classifier):
            source = self.forward(batch["source"])
        with torch.no_grad():
            self.forward(batch["target"])
        return {"task": task_loss(source.logits, batch["source"].label)}
