"""IWAN: weights, losses and gradients by hand; what each source scan counted is told at the end."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods.iwan import IWAN, importance

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE, LABEL = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, 2])
TARGET = np.array([[-1.0, 0.5], [0.3, 0.4]])


def test_what_is_unlike_the_target_counts_less_and_one_on_average():
    odds = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    w = importance(odds)
    by_hand = 1 - 1 / (1 + np.exp([2.0, 0.0, -3.0]))
    assert np.allclose(w, by_hand / by_hand.mean()) and not w.requires_grad


@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_losses_and_gradients_are_those_of_the_equations(progress):
    method = IWAN(linear.classifier(3), weight=0.7, certainty=0.2)
    method.weigher, method.discriminator = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    method.double()
    with torch.no_grad():
        method.classifier.backbone[1].weight.mul_(1.5)  # the target encoder has gone its own way
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, progress)
    sum(losses.values()).backward()

    layers = (method.source.classifier.backbone[1], method.classifier.backbone[1], method.classifier.head)
    fixed, w, h = (linear.weights(layer) for layer in layers)
    d, d0 = linear.weights(method.weigher), linear.weights(method.discriminator)
    b = method.classifier.head.bias.detach().numpy()
    truth, of_source = np.array([1, 1, 1, 0, 0]), SOURCE @ fixed.T
    counts = 1 - linear.sigmoid(of_source @ d[0])
    counts = np.concatenate([counts / counts.mean(), [1, 1]])

    def judged(w: np.ndarray, d: np.ndarray) -> np.ndarray:
        return linear.binary(np.concatenate([of_source, TARGET @ w.T]) @ d[0], truth)

    def unsure(w: np.ndarray) -> float:
        p = linear.softmax(TARGET @ w.T @ h.T + b)
        return float(-(p * np.log(p)).sum(1).mean())

    assert float(losses["weigher"]) == pytest.approx(judged(w, d).mean())
    assert float(losses["domain"]) == pytest.approx((counts * judged(w, d0)).mean())
    assert float(losses["entropy"]) == pytest.approx(0.2 * unsure(w))
    strength = 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)
    expected = linear.slope(lambda w: 0.2 * unsure(w) - strength * float((counts * judged(w, d0)).mean()), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)  # nothing of the weigher's
    expected = linear.slope(lambda d: float(judged(w, d).mean()), d)
    assert np.allclose(method.weigher.weight.grad, expected, atol=1e-7)
    expected = linear.slope(lambda d: float((counts * judged(w, d)).mean()), d0)
    assert np.allclose(method.discriminator.weight.grad, expected, atol=1e-7)
    assert not any(id(p) == id(method.classifier.head.weight) for p in method.groups()["all"])


def test_source_weights_are_of_all_scans_and_survive_a_checkpoint():
    method = IWAN(linear.classifier(3)).float()
    assert method.source_weights() is None
    data = {"source": SimpleNamespace(cohort=linear.Vectors(SOURCE, LABEL)), "target": None}
    method.prepare(data, 0.0)
    odds = method.weigher(torch.from_numpy(SOURCE).float() @ method.classifier.backbone[1].weight.T).squeeze(1)
    assert torch.allclose(method.source_weights(), importance(odds))
    other = IWAN(linear.classifier(3, seed=1)).float()
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.source_weights(), method.source_weights())
