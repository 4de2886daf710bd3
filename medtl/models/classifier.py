"""Backbone, pooling over a bag, bottleneck and head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from medtl.models.output import Output


class Classifier(nn.Module):
    """From pixels to class logits, one row a scan.

    A scan is a bag of instances (slices); their features are averaged. The bottleneck (a linear layer with batch
    normalisation, as in Long et al., CDAN, NeurIPS 2018) gives the embedding that adaptation aligns.
    A linear shortcut from the features to the logits is zero until a few labels fit it (medtl.finetuning.probe).

    Args:
        backbone: gives (instances, F) for pixels (instances, C, H, W), and knows its F as `num_features`.
        n_classes: K.
        bottleneck: E, the width of the embedding.
        dropout: before the bottleneck.
    """

    def __init__(self, backbone: Any, n_classes: int, bottleneck: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = bottleneck
        self.bottleneck = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(backbone.num_features, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU()
        )
        self.head = nn.Linear(bottleneck, n_classes)
        self.shortcut = nn.Linear(backbone.num_features, n_classes, bias=False)
        nn.init.zeros_(self.shortcut.weight).requires_grad_(False)

    def forward(self, pixels: Tensor, bag: Tensor | None = None, scans: int | None = None) -> Output:
        """Classify scans.

        Args:
            pixels: (instances, C, H, W).
            bag: (instances,) the scan 0..N-1 of each instance; None where each instance is a scan.
            scans: N; None where each instance is a scan.
        """
        features = self.backbone(pixels)
        if bag is not None and scans is not None and scans != len(pixels):
            features = mean_over_bags(features, bag, scans)
        return self.classify(features)

    def classify(self, features: Tensor) -> Output:
        """From features (N, F) on."""
        embedding = self.bottleneck(features)
        return Output(features, embedding, self.head(embedding) + self.shortcut(features))


def mean_over_bags(features: Tensor, bag: Tensor, scans: int) -> Tensor:
    """(instances, F) -> (scans, F): the mean of each bag's instances."""
    total = features.new_zeros(scans, features.shape[1]).index_add_(0, bag, features)
    count = torch.bincount(bag, minlength=scans).clamp(min=1).to(features.dtype)
    return total / count[:, None]
