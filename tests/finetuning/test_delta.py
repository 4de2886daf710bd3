"""DELTA against its equation in NumPy, and its attention against putting each channel to zero."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medtl.finetuning import STRATEGIES
from medtl.finetuning.delta import losses_without, maps_of, way
from medtl.methods.base import Batch
from medtl.models import Classifier, create_backbone
from medtl.models.layers import layered


class Scans:
    """Labelled bags in memory."""

    def __init__(self, sizes=(1, 3, 1, 2), side=32, classes=2, seed=0):
        random = np.random.default_rng(seed)
        self.bag_sizes = np.array(sizes)
        self.bags = [random.normal(size=(size, 1, side, side)).astype(np.float32) for size in sizes]
        self.label = np.arange(len(sizes)) % classes

    def __len__(self):
        return len(self.bags)

    def pixels(self, i):
        return self.bags[i]

    def batch(self):
        bag = torch.from_numpy(np.repeat(np.arange(len(self)), self.bag_sizes))
        rows = torch.arange(len(self))
        return Batch(torch.from_numpy(np.concatenate(self.bags)), bag, torch.from_numpy(self.label), rows * 0, rows)


def timm_classifier(seed=0, deep=False):
    torch.manual_seed(seed)
    classifier = Classifier(create_backbone("test_efficientnet", pretrained=False, channels=1), 2, bottleneck=8)
    return layered(classifier) if deep else classifier


def test_the_way_is_the_papers():
    random = np.random.default_rng(0)
    now, then = random.normal(size=(2, 5, 4, 3, 6))
    attention = random.dirichlet(np.ones(4))
    expected = 4 * sum(
        attention[j] * ((now[:, j] - then[:, j]) ** 2).reshape(5, -1).sum(1).mean() / (3 * 6) for j in range(4)
    )
    found = way(torch.from_numpy(now), torch.from_numpy(then), torch.from_numpy(attention))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize("deep", [False, True])
def test_attention_is_the_loss_that_rises_without_a_channel(deep):
    """By central differences of a factor on each channel, through the whole classifier."""
    classifier, scans = timm_classifier(deep=deep).eval(), Scans()
    if deep:
        nn.init.normal_(classifier.shortcut.weight)
    own = classifier.backbone.backbone if deep else classifier.backbone
    batch = scans.batch()
    found = losses_without(classifier, scans)
    classifier.double()
    widths = [stage["num_chs"] for stage in own.feature_info[-4:]]
    assert [len(each) for each in found] == widths

    def loss(stage: int, channel: int, factor: float) -> float:
        scale = torch.ones(widths[stage], dtype=torch.float64)
        scale[channel] = factor
        module = own.get_submodule(own.feature_info[-4:][stage]["module"])
        hook = module.register_forward_hook(lambda module, inputs, output: output * scale[:, None, None])
        with torch.no_grad():
            logits = classifier(batch.pixels.double(), batch.bag, len(scans)).logits
        hook.remove()
        return float(F.cross_entropy(logits, batch.label))

    for stage, channel in ((0, 0), (0, 5), (1, 3), (2, 7), (3, 1), (3, 9)):
        slope = (loss(stage, channel, 1 + 1e-4) - loss(stage, channel, 1 - 1e-4)) / 2e-4
        assert float(found[stage][channel]) == pytest.approx(-slope, rel=0.02, abs=1e-6), (stage, channel)


def test_attention_sums_to_one_and_is_even_under_a_head_of_zeros():
    data = {"labelled": type("Role", (), {"cohort": Scans()})()}
    told = STRATEGIES["delta"](timm_classifier())
    told.prepare(data, 0.0)
    silent = timm_classifier()
    nn.init.zeros_(silent.head.weight)
    even = STRATEGIES["delta"](silent)
    even.prepare(data, 0.0)
    for number in range(4):
        attention = told.get_buffer(f"attention_{number}")
        assert float(attention.sum()) == pytest.approx(1, abs=1e-5) and attention.std() > 0
        flat = even.get_buffer(f"attention_{number}")
        torch.testing.assert_close(flat, torch.full_like(flat, 1 / len(flat)))


def test_attention_is_taken_once_and_kept():
    method = STRATEGIES["delta"](timm_classifier())
    method.prepare({"labelled": type("Role", (), {"cohort": Scans()})()}, 0.0)
    before = method.attention_2.clone()
    again = STRATEGIES["delta"](timm_classifier(seed=1))
    again.load_state_dict(method.state_dict())
    again.prepare({"labelled": type("Role", (), {"cohort": Scans(seed=5)})()}, 0.5)
    assert torch.equal(again.attention_2, before)


def test_no_way_at_the_start_and_the_whole_of_it_after_a_move():
    method, scans = STRATEGIES["delta"](timm_classifier(), alpha=0.5), Scans()
    method.prepare({"labelled": type("Role", (), {"cohort": scans})()}, 0.0)
    method.train()
    dealt = {"labelled": scans.batch()}
    assert method.losses(dealt, 0.0)["way"].item() == 0
    start = copy.deepcopy(method.classifier.backbone).eval()
    with torch.no_grad():
        for parameter in method.classifier.backbone.parameters():
            parameter.mul_(1.1)
    method.classifier.backbone.eval()
    pixels = dealt["labelled"].pixels
    with torch.no_grad():
        pairs = zip(maps_of(method.classifier.backbone, pixels), maps_of(start, pixels), strict=True)
        ways = [way(*pair, method.get_buffer(f"attention_{number}")) for number, pair in enumerate(pairs)]
    found = method.losses(dealt, 0.0)["way"]
    assert found.item() == pytest.approx(0.25 * float(sum(ways)), rel=1e-4) and found > 0
    found.backward()
    assert all(parameter.grad is None for parameter in method.start.parameters())
    assert any(parameter.grad is not None for parameter in method.classifier.backbone.parameters())
