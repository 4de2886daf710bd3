"""AdaBN: the statistics are the target's, by hand; the gradient is the source's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medtl.methods import Batch
from medtl.methods.adabn import AdaBN, statistics_kept
from medtl.models import Classifier, create_backbone


class Net(nn.Module):
    """Batch normalisation of the pixels, then their means."""

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.norm(pixels).mean((2, 3))


def batch(pixels: Tensor, label: Tensor | None = None) -> Batch:
    rows = torch.arange(len(pixels))
    return Batch(pixels, rows, label, torch.zeros_like(rows), rows)


def given(seed: int = 0) -> dict[str, Batch]:
    random = torch.Generator().manual_seed(seed)
    source = torch.randn(8, 2, 4, 4, generator=random)
    target = 3 * torch.randn(8, 2, 4, 4, generator=random) + 5
    return {"source": batch(source, torch.arange(8) % 2), "target": batch(target)}


def test_running_statistics_are_moving_averages_of_the_targets_alone():
    torch.manual_seed(0)
    method = AdaBN(Classifier(Net(), 2, bottleneck=4)).train()
    mean, variance = np.zeros(2), np.ones(2)
    for seed in range(3):
        dealt = given(seed)
        method.losses(dealt, 0.5)
        seen = dealt["target"].pixels.double().numpy().transpose(1, 0, 2, 3).reshape(2, -1)
        mean, variance = 0.9 * mean + 0.1 * seen.mean(1), 0.9 * variance + 0.1 * seen.var(1, ddof=1)
    norm = method.predictor().backbone.norm
    assert np.allclose(norm.running_mean, mean, rtol=1e-4)
    assert np.allclose(norm.running_var, variance, rtol=1e-4)
    assert int(norm.num_batches_tracked) == 3


def test_gradient_is_that_of_the_source_by_its_own_batch_statistics():
    torch.manual_seed(0)
    method = AdaBN(Classifier(Net(), 2, bottleneck=4, dropout=0.0)).train()
    alone = copy.deepcopy(method.classifier)
    dealt = given()
    losses = method.losses(dealt, 0.5)
    assert list(losses) == ["task"]
    losses["task"].backward()
    F.cross_entropy(alone(dealt["source"].pixels).logits, dealt["source"].label).backward()
    for one, other in zip(method.classifier.parameters(), alone.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("fails", [False, True])
def test_statistics_are_kept_in_the_default_backbone_too(fails):
    backbone = create_backbone(pretrained=False)
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    try:
        with statistics_kept(backbone):
            backbone.train()(torch.randn(2, 3, 64, 64))
            assert not fails, "on purpose"
    except AssertionError:
        assert fails
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    backbone(torch.randn(2, 3, 64, 64))
    assert not all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
