"""DSBN: what is shared and what is not, the first stage, and the pseudo-labels by hand."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medtl.methods.dsbn import DSBN
from medtl.models import Classifier, create_backbone, look
from medtl.models.batch_statistics import with_statistics_of
from medtl.training import Plan
from medtl.training.loop import _optimiser

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


class Net(nn.Module):
    """A norm between two linear layers."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels)


RANDOM = np.random.default_rng(0)
SOURCE = RANDOM.normal(size=(20, 3)).astype(np.float32)
TARGET = RANDOM.normal(2, 3, size=(24, 3)).astype(np.float32)
LABEL = np.arange(20) % 3


def made(classes: int = 3) -> DSBN:
    torch.manual_seed(0)
    return DSBN(Classifier(Net(), classes, bottleneck=4, dropout=0.0))


def roles(label: np.ndarray = LABEL) -> dict[str, SimpleNamespace]:
    return {
        "source": SimpleNamespace(cohort=linear.Vectors(SOURCE, label)),
        "target": SimpleNamespace(cohort=linear.Vectors(TARGET)),
    }


def is_of_a_norm(name: str) -> bool:
    return name.startswith(("backbone.layers.2.", "bottleneck.2."))


def test_all_is_shared_but_the_norms():
    method = made()
    target, source = (dict(each.named_parameters()) for each in (method.classifier, method.source))
    assert target.keys() == source.keys()
    for name in target:
        assert (target[name] is source[name]) != is_of_a_norm(name)
        assert torch.equal(target[name], source[name])
    method.train()
    method.source(torch.from_numpy(SOURCE))
    assert torch.equal(method.classifier.backbone.layers[2].running_mean, torch.zeros(4))
    assert not torch.equal(method.source.backbone.layers[2].running_mean, torch.zeros(4))


def test_first_stage_has_the_targets_statistics_and_is_asked_once():
    method = made()
    method.prepare(roles(), 0.0)
    there = with_statistics_of(method.classifier, roles()["target"].cohort)
    expected = look(there, roles()["target"].cohort).logits
    assert torch.equal(method.first, expected)
    with torch.no_grad():
        method.classifier.head.bias += 1
    method.prepare(roles(), 0.5)
    assert torch.equal(method.first, expected)
    resumed = made()
    resumed.load_state_dict(method.state_dict())
    resumed.prepare(roles(), 0.5)
    assert torch.equal(resumed.first, expected)


@pytest.mark.parametrize("progress", [0.0, 0.05, 0.1, 1.0])
def test_pseudo_labels_and_losses_are_those_computed_by_hand(progress):
    method = made().train()
    method.first = torch.from_numpy(RANDOM.normal(0, 3, size=(24, 3)).astype(np.float32))
    rows = torch.arange(24).flip(0)[:16]
    target = linear.batch(TARGET[rows.numpy()])._replace(row=rows)
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": target}, progress)
    with torch.no_grad():
        at_home = method.source(torch.from_numpy(SOURCE)).logits
        there = method.classifier(target.pixels).logits
    share = 2 / (1 + math.exp(-10 * progress)) - 1
    mixed = (1 - share) * linear.softmax(method.first[rows].numpy()) + share * linear.softmax(there.numpy())
    assert float(losses["task"].detach()) == pytest.approx(linear.cross_entropy(at_home.numpy(), LABEL).mean())
    expected = linear.cross_entropy(there.numpy(), mixed.argmax(1)).mean()
    assert float(losses["pseudo"].detach()) == pytest.approx(expected)


def test_each_site_moves_its_own_norms_and_both_move_the_rest():
    gradients = {}
    for which in ("task", "pseudo", "both"):
        method = made().train()
        method.prepare(roles(), 0.0)
        losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, 0.5)
        (sum(losses.values()) if which == "both" else losses[which]).backward()
        gradients[which] = {name: p.grad for name, p in method.named_parameters() if p.requires_grad}
    for name, both in gradients["both"].items():
        task, pseudo = (gradients[which][name] for which in ("task", "pseudo"))
        if is_of_a_norm(name.partition(".")[2]):
            assert (task is None) == name.startswith("classifier.") and (pseudo is None) == name.startswith("source.")
        else:
            assert torch.allclose(task + pseudo, both, atol=1e-6)


def test_several_labels_a_scan_are_each_believed_where_they_are_likelier_than_not():
    method = made().train()
    method.first = torch.from_numpy(RANDOM.normal(0, 3, size=(24, 3)).astype(np.float32))
    label = RANDOM.integers(0, 2, (20, 3)).astype(np.float32)
    target = linear.batch(TARGET)
    losses = method.losses({"source": linear.batch(SOURCE, label), "target": target}, 0.0)
    with torch.no_grad():
        there = method.classifier(target.pixels).logits
    expected = F.binary_cross_entropy_with_logits(there, (method.first > 0).float())
    assert float(losses["pseudo"].detach()) == pytest.approx(float(expected))


def test_norms_of_both_backbones_learn_at_the_backbones_rate():
    method = DSBN(Classifier(create_backbone(pretrained=False), 2))
    optimiser = _optimiser(method, method.groups()["all"], Plan(steps=1, lr=1.0, backbone_lr=0.25))
    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    for classifier in (method.classifier, method.source):
        assert {rate[id(p)] for p in classifier.backbone.parameters()} == {0.25}
        assert {rate[id(p)] for p in classifier.bottleneck.parameters()} == {1.0}
    assert len(rate) == len({id(p) for p in method.parameters() if p.requires_grad})
