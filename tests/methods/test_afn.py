"""AFN's losses and gradients in closed form."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl.methods.afn import AFN, hard, stepwise

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

Z = torch.tensor([[3.0, 4.0], [0.0, 2.0], [5.0, 12.0]], dtype=torch.float64)  # norms 5, 2, 13


def test_stepwise_pulls_each_norm_outwards_alike():
    z = Z.clone().requires_grad_()
    loss = stepwise(z, growth=1.5)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.5**2)
    direction = Z / torch.tensor([[5.0], [2.0], [13.0]])
    assert torch.allclose(z.grad, -2 * 1.5 * direction / 3)


def test_hard_pulls_the_mean_norm_to_the_radius():
    z = Z.clone().requires_grad_()
    loss = hard(z, radius=25.0)
    loss.backward()
    mean = 20 / 3
    assert float(loss.detach()) == pytest.approx((mean - 25) ** 2)
    direction = Z / torch.tensor([[5.0], [2.0], [13.0]])
    assert torch.allclose(z.grad, 2 * (mean - 25) * direction / 3)


@pytest.mark.parametrize("radius", [None, 4.0])
def test_losses_and_gradients_are_those_computed_by_hand(radius):
    random = np.random.default_rng(0)
    source, label, target = random.normal(size=(5, 2)), np.array([0, 1, 2, 2, 0]), random.normal(size=(4, 2))
    method = AFN(linear.classifier(), weight=0.3, growth=0.8, radius=radius)
    losses = method.losses({"source": linear.batch(source, label), "target": linear.batch(target)}, 0.5)
    sum(losses.values()).backward()

    at, h = linear.weights(method.classifier.backbone[1]), linear.weights(method.classifier.head)
    b = method.classifier.head.bias.detach().numpy()
    norm = lambda x, w: np.linalg.norm(x @ w.T, axis=1)  # noqa: E731

    def of_norms(x: np.ndarray, w: np.ndarray) -> float:
        if radius is not None:
            return (norm(x, w).mean() - radius) ** 2
        return ((norm(x, at) + 0.8 - norm(x, w)) ** 2).mean()

    def whole(w: np.ndarray) -> float:
        task = linear.cross_entropy(source @ w.T @ h.T + b, label).mean()
        return task + 0.3 * (of_norms(source, w) + of_norms(target, w))

    assert float(sum(losses.values()).detach()) == pytest.approx(whole(at))
    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, at), atol=1e-7)
    measured = method.measures()
    assert float(measured["source_norm"]) == pytest.approx(norm(source, at).mean())
    assert float(measured["target_norm"]) == pytest.approx(norm(target, at).mean())


def test_an_embedding_of_zeros_has_a_finite_gradient():
    for loss in (stepwise, hard):
        z = torch.zeros(3, 2, requires_grad=True)
        loss(z, 1.0).backward()
        assert torch.isfinite(z.grad).all()
