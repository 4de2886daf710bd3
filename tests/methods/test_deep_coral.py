"""Deep CORAL against its equation in NumPy, skada, and finite differences."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from skada.deep.losses import deepcoral_loss

from medtl.methods.deep_coral import DeepCORAL, coral

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


def by_hand(source: np.ndarray, target: np.ndarray) -> float:
    """Equations 1 to 3, as they stand in the paper."""

    def covariance(d: np.ndarray) -> np.ndarray:
        ones = np.ones((1, len(d)))
        return (d.T @ d - (ones @ d).T @ (ones @ d) / len(d)) / (len(d) - 1)

    difference = covariance(source) - covariance(target)
    return np.linalg.norm(difference) ** 2 / (4 * source.shape[1] ** 2)


def test_distance_is_the_papers():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(20, 3)), random.normal(size=(30, 3)) * [1, 2, 3]
    found = coral(torch.from_numpy(source), torch.from_numpy(target))
    assert float(found) == pytest.approx(by_hand(source, target))
    assert float(coral(torch.from_numpy(source), torch.from_numpy(source) + 5)) == pytest.approx(0)


def test_distance_is_skadas():
    source, target = torch.randn(32, 16), 2 * torch.randn(32, 16) + 1
    assert float(coral(source, target)) == pytest.approx(float(deepcoral_loss(source, target)), abs=1e-5)


def test_losses_and_gradients_are_those_computed_by_hand():
    random = np.random.default_rng(0)
    source, label, target = random.normal(size=(5, 2)), np.array([0, 1, 2, 2, 0]), random.normal(1, 2, size=(4, 2))
    method = DeepCORAL(linear.classifier(), weight=0.7)
    losses = method.losses({"source": linear.batch(source, label), "target": linear.batch(target)}, 0.5)
    sum(losses.values()).backward()

    w, h = linear.weights(method.classifier.backbone[1]), linear.weights(method.classifier.head)
    b = method.classifier.head.bias.detach().numpy()
    logits = lambda x, w: x @ w.T @ h.T + b  # noqa: E731

    def whole(w: np.ndarray) -> float:
        task = linear.cross_entropy(logits(source, w), label).mean()
        return task + 0.7 * by_hand(logits(source, w), logits(target, w))

    assert float(sum(losses.values()).detach()) == pytest.approx(whole(w))
    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, w), atol=1e-7)
