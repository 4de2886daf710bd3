"""WDGRL: the penalty in closed form and against pykale; the critic finds a distance that is known."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods.adversarial import discriminator
from medtl.methods.wdgrl import WDGRL, distance, gradient_penalty

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


def test_penalty_and_gradient_of_a_linear_critic_are_those_of_its_norm():
    critic = nn.Linear(3, 1).double()
    v = critic.weight.detach().clone()
    penalty = gradient_penalty(critic, torch.randn(4, 3).double(), torch.randn(6, 3).double())
    penalty.backward()
    assert penalty.item() == pytest.approx((float(v.norm()) - 1) ** 2)
    assert torch.allclose(critic.weight.grad, 2 * (v.norm() - 1) * v / v.norm())


def test_penalty_of_a_quadratic_critic_is_taken_at_scans_and_between_them():
    curvature = torch.tensor([1.0, 3.0]).double()
    critic = lambda h: (curvature * h**2 / 2).sum(1, keepdim=True)  # noqa: E731 - its slope at h is curvature * h
    source, target = torch.randn(3, 2).double(), torch.randn(4, 2).double()
    torch.manual_seed(5)
    share = torch.rand(3, 1).double()
    torch.manual_seed(5)
    penalty = gradient_penalty(critic, source, target)
    points = np.concatenate([source + share * (target[:3] - source), source, target])
    by_hand = np.mean((np.linalg.norm(points * [1.0, 3.0], axis=1) - 1) ** 2)
    assert penalty.item() == pytest.approx(by_hand)


def test_penalty_is_pykales(kale):
    critic = discriminator(5, 8)
    source, target = torch.randn(7, 5), torch.randn(7, 5)
    torch.manual_seed(1)
    ours = gradient_penalty(critic, source, target)
    torch.manual_seed(1)
    assert float(ours) == pytest.approx(float(kale.gradient_penalty(critic, source, target)), abs=1e-5)


def test_critic_finds_the_distance_of_two_clouds():
    torch.manual_seed(0)
    method = WDGRL(linear.classifier(inputs=2), hidden=64).double()
    with torch.no_grad():
        method.classifier.backbone[1].weight.copy_(torch.eye(2))
    cloud = np.random.default_rng(0).normal(size=(64, 2))
    dealt = {"source": linear.batch(cloud + np.array([3.0, 0.0])), "target": linear.batch(cloud)}
    optimiser = torch.optim.AdamW(method.groups()["critic"], lr=3e-3)
    method.losses_of_critic(dealt, 0.5)
    for _ in range(200):
        optimiser.zero_grad()
        losses = method.losses_of_critic_again(dealt, 0.5)
        sum(losses.values()).backward()
        optimiser.step()
    # The distance of a cloud from itself shifted by 3 is 3; a slope s is worth 3 s - 10 (s - 1)^2, most at 1 + 3 / 20
    assert -losses["critic"].item() == pytest.approx(3 * (1 + 3 / 20), rel=0.03)


def test_losses_and_what_each_step_moves():
    method = WDGRL(linear.classifier(3), weight=0.4, penalty=7.0)
    method.critic = nn.Linear(2, 1)
    method.double()
    source, label = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, 2])
    target = np.array([[-1.0, 0.5], [0.3, 0.4]])
    dealt = {"source": linear.batch(source, label), "target": linear.batch(target)}
    w, h, v = (linear.weights(m) for m in (method.classifier.backbone[1], method.classifier.head, method.critic))
    b = method.classifier.head.bias.detach().numpy()

    def apart(w: np.ndarray) -> float:
        return float((source @ w.T @ v[0]).mean() - (target @ w.T @ v[0]).mean())

    for name in ("losses_of_critic", "losses_of_critic_again"):
        losses = getattr(method, name)(dealt, 0.5)
        assert float(losses["critic"]) == pytest.approx(-apart(w))
        assert float(losses["slope"]) == pytest.approx(7 * (math.hypot(*v[0]) - 1) ** 2)
        sum(losses.values()).backward()
        assert method.classifier.backbone[1].weight.grad is None
    losses = method.losses(dealt, 0.5)
    sum(losses.values()).backward()
    assert float(losses["distance"]) == pytest.approx(0.4 * apart(w))

    def whole(w: np.ndarray) -> float:
        return float(linear.cross_entropy(source @ w.T @ h.T + b, label).mean() + 0.4 * apart(w))

    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, w), atol=1e-7)
    assert [step.moves for step in method.steps(0.0)] == ["critic"] * 5 + ["classifier"]
    assert distance(method.critic, torch.ones(2, 2).double(), torch.ones(3, 2).double()) == 0
