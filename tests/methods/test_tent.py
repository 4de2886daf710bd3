"""TENT: the entropy against SciPy, what moves and by whose statistics, and the guard against collapse."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import nn

from medtl.errors import InputError
from medtl.methods import Batch
from medtl.methods.tent import TENT, diversity
from medtl.models import Classifier


def method(**options: float) -> TENT:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Flatten())
    backbone.num_features = 12  # type: ignore[assignment]
    return TENT(Classifier(backbone, 2, bottleneck=5, dropout=0.5), **options)


class Rows:
    """Twenty cohort rows."""

    multilabel = False
    bag_sizes = np.ones(20, int)
    stack = np.random.default_rng(1).normal(size=(20, 1, 1, 2, 2)).astype(np.float32)

    def __len__(self) -> int:
        return 20

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i]


def prepared(**options: float) -> TENT:
    made = method(**options)
    made.prepare({"target": SimpleNamespace(cohort=Rows())}, 0.0)
    return made.train()


def target() -> Batch:
    rows = torch.arange(20)
    return Batch(torch.from_numpy(Rows.stack[:, 0]), rows, None, rows, rows)


def test_loss_is_scipys_entropy_by_the_batchs_own_statistics_without_dropout():
    made = prepared()
    loss = float(made.losses({"target": target()}, 0.5)["entropy"])
    classifier = made.classifier
    x = classifier.backbone[0](target().pixels).detach().double().numpy()
    x = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    linear, head = classifier.bottleneck[1], classifier.head
    z = x.reshape(20, -1) @ linear.weight.detach().double().numpy().T + linear.bias.detach().double().numpy()
    z = np.maximum((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), 0)
    z = z @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    assert loss == pytest.approx(entropy(np.exp(z) / np.exp(z).sum(1, keepdims=True), axis=1).mean(), rel=1e-4)


def test_only_scale_and_offset_of_the_norms_learn():
    made = prepared()
    made.losses({"target": target()}, 0.5)["entropy"].backward()
    moved = {name for name, p in made.named_parameters() if p.grad is not None}
    norms = ("classifier.backbone.1", "classifier.bottleneck.2")
    assert moved == {f"{norm}.{part}" for norm in norms for part in ("weight", "bias")}
    assert len(made.groups()["all"]) == 4


def collapse(made: TENT, p: list[float]) -> None:
    """A step after which the batch is called `p` on average."""
    with torch.no_grad():
        for parameter in made.groups()["all"]:
            parameter.add_(1.0)
    made.batch_mean = torch.tensor(p)
    made.after_step(0.5)


def test_the_guard_goes_back_to_the_start_and_not_before():
    made = prepared(keep=0.5, memory=0.0)
    made.start_mean = torch.tensor([0.5, 0.5])
    start = [p.detach().clone() for p in made.groups()["all"]]
    collapse(made, [0.15, 0.85])  # 0.42 nats, more than half of 0.69
    assert all(torch.equal(p, s + 1) for p, s in zip(made.groups()["all"], start, strict=True))
    assert float(made.measures()["restored"]) == 0
    collapse(made, [0.05, 0.95])  # 0.20 nats
    assert all(torch.equal(p, s) for p, s in zip(made.groups()["all"], start, strict=True))
    assert float(made.measures()["restored"]) == 1
    assert torch.equal(made.recent_mean, made.start_mean)


def test_a_rare_class_is_no_collapse():
    made = prepared(memory=0.0)
    made.start_mean = torch.tensor([0.05, 0.95])
    collapse(made, [0.04, 0.96])
    assert float(made.measures()["restored"]) == 0


def test_one_odd_batch_is_no_collapse():
    made = prepared(memory=0.9)
    made.start_mean = torch.tensor([0.5, 0.5])
    made.recent_mean = torch.tensor([0.5, 0.5])
    collapse(made, [0.0, 1.0])
    assert float(made.measures()["restored"]) == 0
    assert made.recent_mean.tolist() == pytest.approx([0.45, 0.55])
    for _ in range(30):
        collapse(made, [0.0, 1.0])
    assert float(made.measures()["restored"]) > 0


def test_without_the_guard_it_collapses_and_with_it_not():
    """A learning rate that drives all scans into one class."""

    def trained(keep: float) -> TENT:
        made = prepared(keep=keep)
        optimiser = torch.optim.SGD(made.groups()["all"], lr=20.0)
        for _ in range(60):
            optimiser.zero_grad()
            made.losses({"target": target()}, 0.5)["entropy"].backward()
            optimiser.step()
            made.after_step(0.5)
        return made

    free, guarded = trained(0.0), trained(0.5)
    assert float(diversity(free.recent_mean)) < 0.2 * float(diversity(free.start_mean))
    assert float(guarded.restored) > 0
    assert float(diversity(guarded.recent_mean)) >= 0.5 * float(diversity(guarded.start_mean))


def test_diversity_is_the_entropy():
    assert float(diversity(torch.tensor([0.5, 0.5]))) == pytest.approx(math.log(2))
    assert float(diversity(torch.tensor([1.0, 0.0]))) == pytest.approx(0, abs=1e-6)


def test_what_was_seen_at_the_start_is_not_looked_at_again():
    made = prepared()
    before = made.start_mean.clone()
    with torch.no_grad():
        made.classifier.head.bias.add_(torch.tensor([3.0, 0.0]))
    made.prepare({"target": SimpleNamespace(cohort=Rows())}, 0.5)
    assert torch.equal(made.start_mean, before)


@pytest.mark.parametrize("norm", [nn.Identity(), nn.GroupNorm(1, 3)])
def test_a_backbone_without_batch_normalisation_is_refused(norm):
    backbone = nn.Sequential(nn.Conv2d(1, 3, 1), norm, nn.Flatten())
    backbone.num_features = 12  # type: ignore[assignment]
    with pytest.raises(InputError, match="this backbone has none: choose shot"):
        TENT(Classifier(backbone, 2, bottleneck=5))


def test_no_source_is_asked_for():
    assert TENT.roles == ("target",) and TENT.own_statistics
