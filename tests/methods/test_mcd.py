"""MCD: the discrepancy by hand, what each step moves and where to, and the averaged head."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medtl.methods.mcd import MCD, discrepancy

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE, LABEL = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, 2])
TARGET = np.array([[-1.0, 0.5], [0.3, 0.4]])


@pytest.fixture
def method() -> MCD:
    return MCD(linear.classifier(3)).double()


@pytest.fixture
def dealt() -> dict:
    return {"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}


def parts(method: MCD) -> tuple[np.ndarray, ...]:
    head, second = method.classifier.head, method.second
    biases = (layer.bias.detach().numpy() for layer in (head, second))
    return (linear.weights(method.classifier.backbone[1]), linear.weights(head), linear.weights(second), *biases)


def apart(w: np.ndarray, h1: np.ndarray, h2: np.ndarray, b1: np.ndarray, b2: np.ndarray) -> float:
    p, q = linear.softmax(TARGET @ w.T @ h1.T + b1), linear.softmax(TARGET @ w.T @ h2.T + b2)
    return float(np.mean([np.mean(np.abs(p[i] - q[i])) for i in range(2)]))


def tasks(w: np.ndarray, h1: np.ndarray, h2: np.ndarray, b1: np.ndarray, b2: np.ndarray) -> float:
    return float(sum(linear.cross_entropy(SOURCE @ w.T @ h.T + b, LABEL).mean() for h, b in ((h1, b1), (h2, b2))))


def test_discrepancy_of_opposite_heads_is_two_over_classes():
    one, other = torch.tensor([[50.0, 0.0, 0.0]]), torch.tensor([[0.0, 50.0, 0.0]])
    assert float(discrepancy(one, other)) == pytest.approx(2 / 3)
    assert float(discrepancy(one, one)) == 0


def test_step_a_learns_the_source_with_both_heads(method, dealt):
    losses = method.losses(dealt, 0.5)
    sum(losses.values()).backward()
    w, *heads = parts(method)
    assert float(sum(losses.values())) == pytest.approx(tasks(w, *heads))
    expected = linear.slope(lambda w: tasks(w, *heads), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)


def test_step_b_moves_heads_alone_and_apart_on_the_target(method, dealt):
    losses = method.losses_of_heads(dealt, 0.5)
    sum(losses.values()).backward()
    w, h1, h2, b1, b2 = parts(method)
    assert float(losses["agreement"]) == pytest.approx(-apart(w, h1, h2, b1, b2))
    assert method.classifier.backbone[1].weight.grad is None
    for layer, expected in (
        (method.classifier.head, linear.slope(lambda h: tasks(w, h, h2, b1, b2) - apart(w, h, h2, b1, b2), h1)),
        (method.second, linear.slope(lambda h: tasks(w, h1, h, b1, b2) - apart(w, h1, h, b1, b2), h2)),
    ):
        assert np.allclose(layer.weight.grad, expected, atol=1e-7)


def test_step_c_brings_the_target_where_the_heads_agree(method, dealt):
    losses = method.losses_of_encoder(dealt, 0.5)
    losses["discrepancy"].backward()
    w, *heads = parts(method)
    assert float(losses["discrepancy"]) == pytest.approx(apart(w, *heads))
    expected = linear.slope(lambda w: apart(w, *heads), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)


def test_steps_are_a_b_and_n_times_c(method):
    assert [step.moves for step in method.steps(0.0)] == ["all", "heads", "encoder", "encoder"]
    assert [step.moves for step in MCD(linear.classifier(), encoder_steps=4).steps(0.0)][2:] == ["encoder"] * 4
    groups = {name: {id(p) for p in group} for name, group in method.groups().items()}
    assert groups["heads"] | groups["encoder"] == groups["all"] and not groups["heads"] & groups["encoder"]


def test_predictor_gives_the_mean_of_both_heads_logits_and_what_stands_beside_them(method, dealt):
    with torch.no_grad():
        method.classifier.shortcut.weight.fill_(0.3)  # as a few labels would fit it
    output = method.forward(dealt["source"])
    first, second = method._both(output)
    beside = F.linear(output.features, method.classifier.shortcut.weight)
    assert torch.allclose(second, method.second(output.embedding) + beside)
    predicted = method.predictor()(dealt["source"].pixels).logits
    assert torch.allclose(predicted, (first + second) / 2)
    assert not torch.equal(method.classifier.head.weight, method.second.weight)  # or they could not disagree
