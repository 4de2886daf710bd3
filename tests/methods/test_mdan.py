"""MDAN: DANN where there is one source; the gradients of the paper's log sum exp where there are several."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import DANN
from medtl.methods.losses import task_loss
from medtl.methods.mdan import MDAN, by_source, each_task_loss

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0], [0.4, 0.5], [-0.6, 1.1]])
LABEL, SITE = np.array([0, 1, 2, 2, 0]), np.array([0, 1, 1, 0, 1])
TARGET = np.array([[-1.0, 0.5], [0.3, 0.4]])


def test_with_one_source_it_is_dann():
    torch.manual_seed(0)
    method, dann = MDAN(linear.classifier()).double(), DANN(linear.classifier()).double()
    dann.load_state_dict(method.state_dict())
    dealt = {"source": linear.batch(SOURCE[:2], LABEL[:2]), "target": linear.batch(TARGET)}
    for each in (method, dann):
        sum(each.losses(dealt, 0.4).values()).backward()
    ours, danns = method.losses(dealt, 0.4), dann.losses(dealt, 0.4)
    assert {name: float(loss) for name, loss in ours.items()} == pytest.approx(
        {name: float(loss) for name, loss in danns.items()}
    )
    for (name, one), other in zip(method.named_parameters(), dann.parameters(), strict=True):
        if one.requires_grad:
            assert torch.allclose(one.grad, other.grad), name


@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_gradients_are_those_of_log_sum_exp(progress):
    method = MDAN(linear.classifier(3), sources=2, weight=0.7, gamma=4.0)
    method.discriminator = nn.Linear(2, 2, bias=False)
    method.double()
    losses = method.losses({"source": linear.batch(SOURCE, LABEL, SITE), "target": linear.batch(TARGET)}, progress)
    sum(losses.values()).backward()

    w, h, v = (linear.weights(m) for m in (method.classifier.backbone[1], method.classifier.head, method.discriminator))
    b = method.classifier.head.bias.detach().numpy()
    strength = 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)

    def errors(w: np.ndarray, h: np.ndarray) -> np.ndarray:
        each = linear.cross_entropy(SOURCE @ w.T @ h.T + b, LABEL)
        return np.array([each[site == SITE].mean() for site in (0, 1)])

    def domains(w: np.ndarray, v: np.ndarray) -> np.ndarray:
        of = lambda x, site: x @ w.T @ v[site]  # noqa: E731
        return np.array(
            [
                linear.binary(of(SOURCE[site == SITE], site), np.array(1)).mean() / 2
                + linear.binary(of(TARGET, site), np.array(0)).mean() / 2
                for site in (0, 1)
            ]
        )

    def soft_maximum(w: np.ndarray, h: np.ndarray) -> float:
        return float(np.log(np.exp(4 * (errors(w, h) - strength * domains(w, v))).sum()) / 4)

    share = np.exp(4 * (errors(w, h) - strength * domains(w, v)))
    share /= share.sum()
    assert [float(each) for each in method.measures().values()] == pytest.approx(share)
    assert float(losses["task"]) == pytest.approx(share @ errors(w, h))
    assert float(losses["domain"]) == pytest.approx(share @ domains(w, v))
    for layer, expected in (
        (method.classifier.backbone[1], linear.slope(lambda w: soft_maximum(w, h), w)),
        (method.classifier.head, linear.slope(lambda h: soft_maximum(w, h), h)),
        (method.discriminator, linear.slope(lambda v: float(share @ domains(w, v)), v)),
    ):
        assert np.allclose(layer.weight.grad, expected, atol=1e-7)


def test_a_source_that_was_not_dealt_counts_nothing():
    method = MDAN(linear.classifier(3), sources=3).double()
    dealt = {"source": linear.batch(SOURCE, LABEL, SITE * 2), "target": linear.batch(TARGET)}
    losses = method.losses(dealt, 0.5)
    assert all(torch.isfinite(loss) for loss in losses.values())
    share = list(method.measures().values())
    assert share[1] == 0 and float(sum(share)) == pytest.approx(1)


def test_sources_are_counted_where_they_are_dealt_from():
    assert MDAN.known({"source": SimpleNamespace(site=np.array([0, 2, 1])), "target": None}) == {"sources": 3}


def test_several_labels_a_scan_count_by_source_only_where_they_are_known():
    logits = torch.randn(4, 2).double()
    label = torch.tensor([[1.0, float("nan")], [0.0, 1.0], [float("nan"), float("nan")], [1.0, 0.0]]).double()
    mine = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]).double()
    found = by_source(*each_task_loss(logits, label), mine)
    assert torch.allclose(found[0], task_loss(logits[:2], label[:2]))
    assert torch.allclose(found[1], task_loss(logits[2:], label[2:]))
