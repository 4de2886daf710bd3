"""From the features of a scan's instances (slices) to those of the scan."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MeanPooling(nn.Module):
    """Every instance counts alike: features of a scan = mean of its instances' features.

    Args:
        width: F; nothing here hangs on it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, features: Tensor, bag: Tensor, scans: int) -> tuple[Tensor, None]:
        """Features (instances, F), bag (instances,) of 0..N-1, N -> features (N, F), no weights."""
        return mean_over_bags(features, bag, scans), None


class GatedAttention(nn.Module):
    """Instances count as much as they matter (Ilse, Tomczak, Welling, ICML 2018, arXiv:1802.04712, equation 9).

    features of a scan = sum over its instances k of a_k h_k, with

        a_k = softmax over the scan's instances of  w^T (tanh(V h_k) * sigmoid(U h_k)).

    w is zero at first, so that training begins at the mean.

    Args:
        width: F, the length of h.
        hidden: rows of V and U; 128 as in the paper.
    """

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.what = nn.Linear(width, hidden)  # V
        self.gate = nn.Linear(width, hidden)  # U
        self.score = nn.Linear(hidden, 1, bias=False)  # w; a bias would cancel in the softmax
        nn.init.zeros_(self.score.weight)

    def forward(self, features: Tensor, bag: Tensor, scans: int) -> tuple[Tensor, Tensor]:
        """Features (instances, F), bag (instances,) of 0..N-1, N -> features (N, F), weights (instances,).

        Where there are more columns than F, the first F decide. The weights sum to 1 within a scan. The softmax is
        taken in float32 at least and with the scan's largest score subtracted, so that no score overflows; a scan
        without instances has features of 0, as the mean gives.
        """
        seen = features[:, : self.what.in_features]
        score = self.score(torch.tanh(self.what(seen)) * torch.sigmoid(self.gate(seen))).squeeze(1)
        score = score.float() if score.dtype in (torch.float16, torch.bfloat16) else score
        mine = bag[None, :] == torch.arange(scans, device=bag.device)[:, None]  # (N, instances)
        weight = torch.softmax(score.masked_fill(~mine, torch.finfo(score.dtype).min), dim=1) * mine
        return weight.to(features.dtype) @ features, weight.sum(dim=0)


#: Adding a pooling = a class here and a line.
POOLINGS: dict[str, type[MeanPooling] | type[GatedAttention]] = {"mean": MeanPooling, "attention": GatedAttention}


def mean_over_bags(features: Tensor, bag: Tensor, scans: int) -> Tensor:
    """(instances, F) -> (scans, F): the mean of each bag's instances."""
    total = features.new_zeros(scans, features.shape[1]).index_add_(0, bag, features)
    count = torch.bincount(bag, minlength=scans).clamp(min=1).to(features.dtype)
    return total / count[:, None]
