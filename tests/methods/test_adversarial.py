"""What holds for all adversarial methods: three classes and volumes, and several labels a scan where they can."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import METHODS, Batch
from medtl.models import Classifier

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

NAMES = ["dann", "cdan", "cdan-e", "bsp", "adda", "mcd", "mdd", "wdgrl", "mdan", "iwan", "pada"]


def volumes(scans: int, label: torch.Tensor | None, seed: int) -> Batch:
    """Bags of 1, 2, 3, 1 ... slices."""
    sizes = torch.arange(scans) % 3 + 1
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(int(sizes.sum()), 1, 2, 2, generator=generator)
    rows = torch.arange(scans)
    return Batch(pixels, torch.repeat_interleave(rows, sizes), label, torch.zeros_like(rows), rows)


def make(name: str, classes: int) -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU())
    backbone.num_features = 6
    return METHODS[name](Classifier(backbone, classes, bottleneck=5))


def losses_of(method: nn.Module, dealt: dict[str, Batch]) -> dict[str, torch.Tensor]:
    return {
        f"{step.losses} {name}": loss
        for step in method.steps(0.5)
        for name, loss in getattr(method, step.losses)(dealt, 0.5).items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_three_classes_of_volumes_and_sites_of_unequal_batches(name):
    method = make(name, 3)
    dealt = {"source": volumes(7, torch.tensor([0, 1, 2, 0, 1, 2, 0]), 0), "target": volumes(5, None, 1)}
    losses = losses_of(method, dealt)
    assert losses and all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    moved = {id(parameter) for group in method.groups().values() for parameter in group}
    for step in method.steps(0.5):
        sum(getattr(method, step.losses)(dealt, 0.5).values()).backward()
    unmoved = [n for n, p in method.named_parameters() if id(p) in moved and p.grad is None]
    assert not unmoved
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in method.parameters())
    target = dealt["target"]
    assert method.predictor().eval()(target.pixels, target.bag, 5).logits.shape == (5, 3)


@pytest.mark.parametrize("name", [name for name in NAMES if not METHODS[name].one_class])
def test_several_labels_a_scan_are_learnt(name):
    method = make(name, 3)
    label = torch.from_numpy(np.array([[0, 1, np.nan], [1, 1, 0], [0, 0, 0], [1, np.nan, np.nan]], np.float32))
    dealt = {"source": volumes(4, label, 0), "target": volumes(4, None, 1)}
    assert all(torch.isfinite(loss) for loss in losses_of(method, dealt).values())


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bits_give_the_same_losses_to_two_digits(name):
    dealt = {"source": volumes(6, torch.tensor([0, 1, 2, 0, 1, 2]), 0), "target": volumes(6, None, 1)}
    method = make(name, 3).eval()  # without dropout
    torch.manual_seed(0)
    exact = losses_of(method, dealt)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(method, dealt)
    sum(losses.values()).backward()
    assert {key: loss.item() for key, loss in losses.items()} == pytest.approx(
        {key: loss.item() for key, loss in exact.items()}, rel=0.02, abs=0.02
    )
