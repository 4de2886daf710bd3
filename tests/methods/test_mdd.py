"""MDD against skada where the definitions agree, closed forms, and gradients by finite differences."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skada.deep._adversarial import MDDLoss, ModifiedCrossEntropyLoss
from torch import nn
from torch.nn import functional as F

from medtl.methods.mdd import MDD, disagreement

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


def test_of_two_classes_disagreement_is_the_cross_entropy_of_the_other_one():
    logits, guess = torch.randn(9, 2).double(), torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1])
    assert torch.allclose(disagreement(logits, guess), F.cross_entropy(logits, 1 - guess))


def test_disagreement_is_equation_29_and_finite_where_the_adversary_is_sure():
    logits, guess = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 3, 1, 2, 2, 0])
    by_hand = -np.log(1 - linear.softmax(logits)[np.arange(6), guess]).mean()
    assert float(disagreement(torch.from_numpy(logits), torch.from_numpy(guess))) == pytest.approx(by_hand)
    sure = torch.tensor([[1000.0, 0.0, 0.0]], requires_grad=True)
    disagreement(sure, torch.tensor([0])).backward()
    assert torch.isfinite(sure.grad).all()


def test_is_skadas_for_one_target_scan_without_its_smoothing():
    # skada takes p[..., guess] for all pairs of scans, so only one scan is as in the paper; and it smooths p
    torch.manual_seed(0)
    theirs = MDDLoss(gamma=4.0)
    theirs.disc_criterion_t = ModifiedCrossEntropyLoss(smoothing=0.0)
    logits, target, adversary = torch.randn(8, 3), torch.randn(1, 3), torch.randn(9, 3)
    ours = 4.0 * F.cross_entropy(adversary[:8], logits.argmax(1)) + disagreement(adversary[8:], target.argmax(1))
    assert float(ours) == pytest.approx(float(theirs(logits, target, adversary[:8], adversary[8:])), abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_losses_and_gradients_are_those_of_the_equations(classes, progress):
    method = MDD(linear.classifier(classes), weight=0.3, margin=2.5)
    method.adversary = nn.Linear(2, classes, bias=False)
    method.double()
    source, label = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, classes - 1])
    target = np.array([[-1.0, 0.5], [0.3, 0.4]])
    losses = method.losses({"source": linear.batch(source, label), "target": linear.batch(target)}, progress)
    sum(losses.values()).backward()

    w, h, a = (linear.weights(m) for m in (method.classifier.backbone[1], method.classifier.head, method.adversary))
    b = method.classifier.head.bias.detach().numpy()
    of_source, of_target = ((x @ w.T @ h.T + b).argmax(1) for x in (source, target))

    def disparity(w: np.ndarray, a: np.ndarray) -> float:
        p = linear.softmax(target @ w.T @ a.T)
        agree = linear.cross_entropy(source @ w.T @ a.T, of_source).mean()
        return float(2.5 * agree - np.log(1 - p[np.arange(2), of_target]).mean())

    def task(w: np.ndarray, h: np.ndarray) -> float:
        return float(linear.cross_entropy(source @ w.T @ h.T + b, label).mean())

    assert float(losses["task"]) == pytest.approx(task(w, h))
    assert float(losses["disparity"]) == pytest.approx(disparity(w, a))
    strength = 0.3 * (2 / (1 + math.exp(-10 * progress)) - 1)
    expected = linear.slope(lambda w: task(w, h) - strength * disparity(w, a), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)
    assert np.allclose(method.classifier.head.weight.grad, linear.slope(lambda h: task(w, h), h), atol=1e-7)
    assert np.allclose(method.adversary.weight.grad, linear.slope(lambda a: disparity(w, a), a), atol=1e-7)
