"""PADA: class weights and losses by hand; a class that the target has not counts next to nothing."""

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
from medtl.methods.pada import PADA, class_weights

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE, LABEL = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, 2])
TARGET = np.array([[-1.0, 0.5], [0.3, 0.4]])


def test_class_weights_are_the_mean_prediction_over_its_largest():
    logits = np.random.default_rng(0).normal(size=(20, 4))
    mean = linear.softmax(logits).mean(0)
    assert np.allclose(class_weights(torch.from_numpy(logits)), mean / mean.max())


@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_losses_and_gradients_are_those_of_the_equations(progress):
    method = PADA(linear.classifier(3), weight=0.7)
    method.discriminator = nn.Linear(2, 1, bias=False)
    method.double()
    method.class_weight = torch.tensor([1.0, 0.3, 0.05]).double()
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, progress)
    sum(losses.values()).backward()

    w, h, v = (linear.weights(m) for m in (method.classifier.backbone[1], method.classifier.head, method.discriminator))
    b = method.classifier.head.bias.detach().numpy()
    counts = np.array([1.0, 0.3, 0.05])

    def task(w: np.ndarray) -> float:
        return float((counts * linear.cross_entropy(SOURCE @ w.T @ h.T + b, LABEL)).mean())

    def domain(w: np.ndarray) -> float:
        each = linear.binary(np.concatenate([SOURCE, TARGET]) @ w.T @ v[0], np.array([1, 1, 1, 0, 0]))
        return float((np.concatenate([counts, [1, 1]]) * each).mean())

    assert float(losses["task"]) == pytest.approx(task(w))
    assert float(losses["domain"]) == pytest.approx(domain(w))
    strength = 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)
    expected = linear.slope(lambda w: task(w) - strength * domain(w), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)


def test_before_it_has_looked_it_is_dann():
    torch.manual_seed(0)
    method, dann = PADA(linear.classifier()).double(), DANN(linear.classifier()).double()
    dann.load_state_dict(method.state_dict(), strict=False)
    dealt = {"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}
    assert {name: float(loss) for name, loss in method.losses(dealt, 0.4).items()} == pytest.approx(
        {name: float(loss) for name, loss in dann.losses(dealt, 0.4).items()}
    )
    assert method.source_weights() is None


def test_a_class_that_the_target_has_not_counts_next_to_nothing_and_no_target_label_is_looked_at():
    method = PADA(linear.classifier(3, inputs=3, width=3)).float()
    with torch.no_grad():
        method.classifier.backbone[1].weight.copy_(torch.eye(3))
        method.classifier.head.weight.copy_(5 * torch.eye(3))
        method.classifier.head.bias.zero_()
    source, target = np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 1, 0, 0, 1]]
    data = {
        "source": SimpleNamespace(cohort=linear.Vectors(source, np.array([0, 1, 2, 0]))),
        "target": SimpleNamespace(cohort=linear.Vectors(target)),
    }
    method.prepare(data, 0.0)
    assert method.class_weight[:2].tolist() == pytest.approx([1, 1]) and method.class_weight[2] < 0.02
    weights = method.source_weights()
    assert weights.mean().item() == pytest.approx(1) and weights[2] < 0.03 * weights[0]
    other = PADA(linear.classifier(3, inputs=3, width=3)).float()
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.source_weights(), weights)
