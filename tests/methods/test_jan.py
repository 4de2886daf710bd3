"""JAN's kernel against pykale's, its losses and their gradients against NumPy."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl.methods.jan import JAN, joint

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

RANDOM = np.random.default_rng(0)
SOURCE, LABEL, TARGET = RANDOM.normal(size=(5, 2)), np.array([0, 1, 2, 2, 0]), RANDOM.normal(1, 1, size=(5, 2))


def test_kernel_is_the_product_of_pykales(kale):
    embedding, p = torch.randn(12, 4), torch.randn(12, 3).softmax(1)
    theirs = kale.gaussian_kernel(embedding[:6], embedding[6:]) * kale.gaussian_kernel(
        p[:6], p[6:], kernel_num=1, fix_sigma=1.68
    )
    assert torch.allclose(joint(embedding, p), theirs, atol=1e-5)


def discrepancy(embedding: np.ndarray, p: np.ndarray, bandwidth: float | None = None) -> float:
    squared, of_p = (((x[:, None] - x[None]) ** 2).sum(2) for x in (embedding, p))
    bandwidth = squared.sum() / 90 if bandwidth is None else bandwidth
    kernel = sum(np.exp(-squared / (factor * bandwidth)) for factor in (0.25, 0.5, 1, 2, 4)) * np.exp(-of_p / 1.68)
    other = ~np.eye(5, dtype=bool)
    return kernel[:5, :5][other].mean() + kernel[5:, 5:][other].mean() - 2 * kernel[:5, 5:].mean()


@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
def test_losses_and_gradients_are_those_computed_by_hand(progress):
    method = JAN(linear.classifier(), weight=0.7)
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, progress)
    sum(losses.values()).backward()

    w, h = linear.weights(method.classifier.backbone[1]), linear.weights(method.classifier.head)
    b = method.classifier.head.bias.detach().numpy()
    both = np.concatenate([SOURCE, TARGET])
    logits = lambda w: both @ w.T @ h.T + b  # noqa: E731
    strength = 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)
    expected = strength * discrepancy(both @ w.T, linear.softmax(logits(w)))
    assert float(losses["jmmd"].detach()) == pytest.approx(expected)
    at = both @ w.T
    bandwidth = ((at[:, None] - at[None]) ** 2).sum() / 90

    def whole(w: np.ndarray) -> float:
        task = linear.cross_entropy(logits(w)[:5], LABEL).mean()
        return task + strength * discrepancy(both @ w.T, linear.softmax(logits(w)), bandwidth)

    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, w), atol=1e-7)


def test_of_several_labels_a_scan_each_has_its_own_probability():
    method = JAN(linear.classifier())
    label = np.array([[1, 0, np.nan], [0, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1.0]])
    losses = method.losses({"source": linear.batch(SOURCE, label), "target": linear.batch(TARGET)}, 1.0)
    both = torch.from_numpy(np.concatenate([SOURCE, TARGET]))
    with torch.no_grad():
        output = method.classifier(both.reshape(10, 1, 1, 2))
    expected = discrepancy(output.embedding.numpy(), linear.sigmoid(output.logits.numpy()))
    assert float(losses["jmmd"].detach()) == pytest.approx(math.tanh(5) * expected)
