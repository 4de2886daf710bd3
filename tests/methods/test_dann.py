"""DANN against its equations: the reversal, the schedule, and both losses and their gradients computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skada.deep._adversarial import DANNLoss
from torch import nn

from medtl.methods import DANN, Batch
from medtl.methods.dann import ReverseGradient, ramp
from medtl.models import Classifier


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5])
def test_reversal_is_identity_forward_and_minus_lambda_backward(strength):
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    function = lambda x: (x.sin() * x).sum()  # noqa: E731
    y = ReverseGradient.apply(x, strength)
    assert torch.equal(y, x)
    (reversed_gradient,) = torch.autograd.grad(function(y), x)
    x, step = x.detach(), 1e-6
    for place in np.ndindex(5, 3):
        shift = torch.zeros_like(x)
        shift[place] = step
        slope = (function(x + shift) - function(x - shift)) / (2 * step)
        assert float(reversed_gradient[place]) == pytest.approx(-strength * float(slope), abs=1e-8)


def test_ramp_is_the_papers():
    # 2 / (1 + exp(-10 p)) - 1, section 5.2.2 of Ganin et al.
    values = {0.0: 0.0, 0.1: 0.462117, 0.25: 0.848284, 0.5: 0.986614, 1.0: 0.999909}
    for p, value in values.items():
        assert ramp(p) == pytest.approx(value, abs=1e-6)
        assert ramp(p, gamma=4.0) == pytest.approx(math.tanh(2 * p))


def linear_dann(weight: float) -> DANN:
    """Everything linear: features W x, logits H f, domain v f; small enough to differentiate by hand."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    backbone.num_features = 2  # type: ignore[assignment]
    classifier = Classifier(backbone, 2, bottleneck=2)
    classifier.bottleneck = nn.Identity()  # type: ignore[assignment]
    classifier.head = nn.Linear(2, 2, bias=False)
    method = DANN(classifier, weight=weight)
    method.discriminator = nn.Linear(2, 1, bias=False)  # type: ignore[assignment]
    with torch.no_grad():
        backbone[1].weight.copy_(torch.tensor([[1.0, 0.5], [-0.5, 1.0]]))
        classifier.head.weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0]]))
        method.discriminator.weight.copy_(torch.tensor([[2.0, -1.0]]))
    return method.double()


def batch(x: np.ndarray, label: np.ndarray | None) -> Batch:
    n = len(x)
    return Batch(
        pixels=torch.from_numpy(x).reshape(n, 1, 1, 2),
        bag=torch.arange(n),
        label=None if label is None else torch.from_numpy(label),
        site=torch.zeros(n, dtype=torch.int64),
        row=torch.arange(n),
    )


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_losses_and_gradients_are_those_computed_by_hand(progress):
    weight = 0.7
    method = linear_dann(weight)
    source, label = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]]), np.array([0, 1, 1])
    target = np.array([[-1.0, 0.5], [0.3, 0.3]])
    losses = method.losses({"source": batch(source, label), "target": batch(target, None)}, progress)
    sum(losses.values()).backward()

    w, h, v = np.array([[1.0, 0.5], [-0.5, 1.0]]), np.array([[1.0, -1.0], [0.5, 2.0]]), np.array([2.0, -1.0])
    logits = source @ w.T @ h.T
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    both = np.concatenate([source, target])
    is_source = np.array([1, 1, 1, 0, 0])
    d = 1 / (1 + np.exp(-(both @ w.T @ v)))
    task, domain = (float(losses[name].detach()) for name in ("task", "domain"))
    assert task == pytest.approx(-np.log(p[range(3), label]).mean())
    expected_domain = -(is_source * np.log(d) + (1 - is_source) * np.log(1 - d)).mean()
    assert domain == pytest.approx(expected_domain)
    assert float(method.measures()["domain_accuracy"]) == pytest.approx(np.mean((d > 0.5) == is_source))

    to_logits = (p - np.eye(2)[label]) / 3
    to_domain = (d - is_source) / 5
    strength = weight * (2 / (1 + math.exp(-10 * progress)) - 1)
    features = both @ w.T
    assert np.allclose(method.classifier.head.weight.grad, to_logits.T @ features[:3])
    assert np.allclose(method.discriminator.weight.grad, to_domain @ features)  # full strength, and downhill
    expected = (to_logits @ h).T @ source - strength * np.outer(v, to_domain @ both)  # uphill for the features
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected)


def test_loss_is_half_of_skadas_which_adds_where_we_average():
    torch.manual_seed(0)
    guess = torch.randn(8)
    ours = linear_dann(1.0).told_apart(guess, 4)
    theirs = DANNLoss()(torch.sigmoid(-guess[:4]), torch.sigmoid(-guess[4:]))  # its 1 is the target
    assert float(ours) == pytest.approx(float(theirs) / 2, abs=1e-5)
