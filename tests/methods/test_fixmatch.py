"""FixMatch's loss in NumPy: who passes the threshold, which view learns, and what the source is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import Batch
from medtl.methods.fixmatch import FixMatch
from medtl.models import Classifier


def method(**options: float) -> FixMatch:
    """Logits are the pixels: what a view says is written in it."""
    backbone = nn.Flatten()
    backbone.num_features = 3  # type: ignore[assignment]
    classifier = Classifier(backbone, 3, bottleneck=3)
    classifier.bottleneck = nn.Identity()  # type: ignore[assignment]
    classifier.head.weight.data, classifier.head.bias.data = torch.eye(3), torch.zeros(3)
    return FixMatch(classifier, **options)


def batch(logits: list[list[float]], label: torch.Tensor | None = None, strong: torch.Tensor | None = None) -> Batch:
    rows = torch.arange(len(logits))
    return Batch(torch.tensor(logits).reshape(-1, 1, 1, 3), rows, label, rows, rows, strong)


def test_only_sure_weak_views_teach_the_strong_ones():
    made = method(weight=2.0, threshold=0.8)
    weak = [[4.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 3.0]]  # p = 0.965, 0.452, 0.909
    strong = torch.tensor([[0.3, -0.2, 1.0], [2.0, 0.0, 0.0], [1.0, 1.0, 0.5]], requires_grad=True)
    source = batch([[1.0, 0.0, 0.0]], torch.tensor([1]))
    losses = made.losses({"source": source, "target": batch(weak, strong=strong.reshape(-1, 1, 1, 3))}, 0.5)
    z = strong.detach().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert float(losses["consistency"]) == pytest.approx(-2 * (np.log(p[0, 0]) + np.log(p[2, 2])) / 3)
    assert float(losses["task"]) == pytest.approx(-np.log(1 / (np.e + 2)))
    assert float(made.measures()["sure"]) == pytest.approx(2 / 3)
    losses["consistency"].backward()
    label = np.eye(3)[[0, 0, 2]]
    assert np.allclose(strong.grad, 2 * (p - label) * np.array([[1], [0], [1]]) / 3, atol=1e-6)


def test_nobody_sure_costs_nothing():
    target = batch([[0.0, 0.1, 0.0]], strong=torch.randn(1, 1, 1, 3))
    losses = method().losses({"source": batch([[1.0, 0.0, 0.0]], torch.tensor([0])), "target": target}, 0.5)
    assert float(losses["consistency"].detach()) == 0.0


def test_weak_view_has_no_gradient():
    made = method()
    target = batch([[4.0, 0.0, 0.0]], strong=torch.zeros(1, 1, 1, 3))
    target.pixels.requires_grad_()
    losses = made.losses({"source": batch([[1.0, 0.0, 0.0]], torch.tensor([0])), "target": target}, 0.5)
    sum(losses.values()).backward()
    assert target.pixels.grad is None and made.classifier.head.weight.grad is not None


def test_it_asks_for_two_views():
    assert FixMatch.views == 2
