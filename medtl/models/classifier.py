"""Backbone, pooling over a bag, bottleneck and head."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from medtl.models.chunks import in_chunks, statistics_fixed
from medtl.models.output import Output
from medtl.models.pooling import POOLINGS, MeanPooling


class Classifier(nn.Module):
    """From pixels to class logits, one row a scan.

    A scan is a bag of instances (slices); their features are pooled. The bottleneck (a linear layer with batch
    normalisation, as in Long et al., CDAN, NeurIPS 2018) gives the embedding that adaptation aligns.
    A linear shortcut from the features to the logits is zero until a few labels fit it (medtl.finetuning.probe); what
    they fit that is not linear stands in `few_shot` (`medtl.models.heads`), an empty list at first, and is added.
    Of a backbone that is read at several depths (`medtl.models.layers`) the bottleneck and the attention see the last
    features alone, the shortcut sees all.

    More than 64 slices go through the backbone chunk by chunk (`medtl.models.chunks`): memory does not grow with
    their number. In training the batch statistics of the backbone are fixed while that is so; see
    `medtl.models.batch_statistics.for_site` for what that means when a model is handed over. A training that has any
    such batch sets `fixed`, so that they are fixed in its smaller batches too; no weight, and not in the state dict.

    Args:
        backbone: gives (instances, F) for pixels (instances, C, H, W), and knows its F as `num_features`.
        n_classes: K.
        bottleneck: E, the width of the embedding.
        dropout: before the bottleneck.
        pooling: a name in `medtl.models.pooling.POOLINGS`: "mean" or "attention".
    """

    def __init__(
        self, backbone: Any, n_classes: int, bottleneck: int = 256, dropout: float = 0.2, pooling: str = "mean"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = bottleneck
        self.last = getattr(backbone, "last", backbone.num_features)
        self.pooling = POOLINGS[pooling](self.last)
        self.bottleneck = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU()
        )
        self.head = nn.Linear(bottleneck, n_classes)
        self.shortcut = nn.Linear(backbone.num_features, n_classes, bias=False)
        nn.init.zeros_(self.shortcut.weight).requires_grad_(False)
        self.few_shot = nn.ModuleList()
        self.fixed = False

    def forward(self, pixels: Tensor, bag: Tensor | None = None, scans: int | None = None) -> Output:
        """Classify scans.

        Args:
            pixels: (instances, C, H, W).
            bag: (instances,) the scan 0..N-1 of each instance; None where each instance is a scan.
            scans: N; None where each instance is a scan.
        """
        n = len(pixels) if scans is None else scans
        with statistics_fixed(self.backbone) if self.fixed and self.training else nullcontext():
            features = in_chunks(self.backbone, pixels, n, fixed=self.training)
        if n == len(pixels) and isinstance(self.pooling, MeanPooling):
            return self.classify(features)
        bag = torch.arange(n, device=pixels.device) if bag is None else bag
        pooled, attention = self.pooling(features, bag, n)
        return self.classify(pooled)._replace(attention=attention)

    def classify(self, features: Tensor) -> Output:
        """From features (N, F) on."""
        embedding = self.bottleneck(features[:, : self.last])
        return Output(features, embedding, self.logits(embedding, features))

    def logits(self, embedding: Tensor, features: Tensor) -> Tensor:
        """(N, K) from the embedding (N, E) and the features (N, F)."""
        linear = self.head(embedding) + self.shortcut(features)
        return linear if not self.few_shot else linear + sum(head(features) for head in self.few_shot)
