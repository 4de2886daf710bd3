"""Transfer by instance: the weighed loss by hand, and weights that are kept."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import METHODS, Batch
from medtl.methods.losses import task_loss
from medtl.methods.weighted import weighted_task_loss
from medtl.models import Classifier

NAMES = ("kmm", "density-ratio", "kliep", "cluster-selection")


def test_loss_by_hand():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    found = weighted_task_loss(logits, torch.tensor([0, 1]), torch.tensor([3.0, 0.5]))
    assert float(found) == pytest.approx((3 * math.log(2) + 0.5 * math.log(4)) / 2)


def test_loss_of_several_labels_by_hand():
    label = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    found = weighted_task_loss(torch.zeros(2, 2), label, torch.tensor([2.0, 0.5]))
    assert float(found) == pytest.approx((2 + 0.5 + 0.5) * math.log(2) / 3)


@pytest.mark.parametrize("label", [torch.tensor([0, 2, 1]), torch.tensor([[1.0, 0, 1], [0, 0, torch.nan], [1, 1, 0]])])
def test_alike_it_is_the_task_loss(label):
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(weighted_task_loss(logits, label, torch.ones(3)), task_loss(logits, label))


def cohort(n: int, seed: int, shift: float, classes: int = 3) -> types.SimpleNamespace:
    """Volumes of two or three slices whose first pixel tells the kind."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 4, n)
    bags = [random.normal(shift, 1, (size, 1, 2, 2)).astype(np.float32) for size in sizes]

    class Held(types.SimpleNamespace):
        def __len__(self) -> int:
            return n

    return Held(bag_sizes=sizes, pixels=bags.__getitem__, label=random.integers(0, classes, n), bags=bags)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_found_once_and_used_by_row(name):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 6))
    backbone.num_features = 6  # type: ignore[assignment]
    method = METHODS[name](Classifier(backbone, 3, bottleneck=4))
    assert method.source_weights() is None
    source, target = cohort(80, 0, 0.0), cohort(60, 1, 0.5)
    data = {role: types.SimpleNamespace(cohort=held) for role, held in (("source", source), ("target", target))}
    method.prepare(data, 0.0)
    weights = method.source_weights()
    assert weights.shape == (80,) and weights.dtype == torch.float32
    for c in range(3):
        assert float(weights[torch.from_numpy(source.label == c)].mean()) == pytest.approx(1, abs=1e-5)
    before = weights.clone()
    with torch.no_grad():
        backbone[1].weight.mul_(-2)
    method.prepare(data, 0.5)
    assert torch.equal(method.source_weights(), before)

    rows = np.array([5, 70, 31])
    bags = [source.bags[row] for row in rows]
    batch = Batch(
        pixels=torch.from_numpy(np.concatenate(bags)),
        bag=torch.from_numpy(np.repeat(np.arange(3), [len(bag) for bag in bags])),
        label=torch.from_numpy(source.label[rows]),
        site=torch.zeros(3, dtype=torch.int64),
        row=torch.from_numpy(rows),
    )
    method.eval()
    logits = method.forward(batch).logits
    each = -torch.log_softmax(logits, dim=1)[torch.arange(3), batch.label]
    assert torch.allclose(method.losses({"source": batch}, 0.0)["task"], (weights[rows] * each).mean())

    resumed = METHODS[name](Classifier(backbone, 3, bottleneck=4))
    resumed.load_state_dict(method.state_dict())
    resumed.prepare(data, 0.5)  # a resumed training is prepared first at a later progress
    assert torch.equal(resumed.source_weights(), before)
