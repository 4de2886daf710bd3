"""The mean of networks is the mean of their weights, and of copies the network itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from medtl.models import Classifier
from medtl.models.averaging import averaged


def small(seed: int, classes: int = 2) -> Classifier:
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    backbone.num_features = 3  # type: ignore[assignment]
    return Classifier(backbone, classes, bottleneck=3)


def test_of_copies_it_is_the_network():
    one = small(0)
    mean = averaged([one, copy.deepcopy(one), copy.deepcopy(one)])
    assert all(torch.allclose(a, b) for a, b in zip(mean.state_dict().values(), one.state_dict().values(), strict=True))


def test_weights_and_statistics_are_means_and_no_network_is_changed():
    one, other = small(0), small(1)
    one.bottleneck[2].running_mean.fill_(1.0)
    one.bottleneck[2].num_batches_tracked.fill_(7)
    before = copy.deepcopy(one.state_dict())
    mean = averaged([one, other])
    assert torch.allclose(mean.head.weight, (one.head.weight + other.head.weight) / 2)
    assert torch.allclose(mean.bottleneck[2].running_mean, torch.full((3,), 0.5))
    assert int(mean.bottleneck[2].num_batches_tracked) == 7
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())


def test_a_linear_network_averages_its_outputs():
    x = torch.randn(5, 3)
    one, other = small(0), small(1)
    expected = (one.head(x) + other.head(x)) / 2
    assert torch.allclose(averaged([one, other]).head(x), expected)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="same architecture"):
        averaged([small(0), small(0, classes=3)])
