"""DAN's losses and their gradients against NumPy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.methods.dan import DAN

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

RANDOM = np.random.default_rng(0)
SOURCE, LABEL, TARGET = RANDOM.normal(size=(5, 2)), np.array([0, 1, 2, 2, 0]), RANDOM.normal(1, 1, size=(4, 2))


def discrepancy(embedding: np.ndarray, n: int, unbiased: bool, bandwidth: float | None = None) -> float:
    squared = ((embedding[:, None] - embedding[None]) ** 2).sum(2)
    bandwidth = squared.sum() / (len(squared) * (len(squared) - 1)) if bandwidth is None else bandwidth
    kernel = sum(np.exp(-squared / (factor * bandwidth)) for factor in (0.25, 0.5, 1, 2, 4))
    means = []
    for own in (kernel[:n, :n], kernel[n:, n:]):
        means.append(own[~np.eye(len(own), dtype=bool)].mean() if unbiased else own.mean())
    return sum(means) - 2 * kernel[:n, n:].mean()


@pytest.mark.parametrize("estimate", ["unbiased", "biased"])
def test_losses_and_gradients_are_those_computed_by_hand(estimate):
    method = DAN(linear.classifier(), weight=0.7, estimate=estimate)
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, 0.5)
    sum(losses.values()).backward()

    w, h = linear.weights(method.classifier.backbone[1]), linear.weights(method.classifier.head)
    b = method.classifier.head.bias.detach().numpy()
    both = np.concatenate([SOURCE, TARGET])
    task = lambda w: linear.cross_entropy(SOURCE @ w.T @ h.T + b, LABEL).mean()  # noqa: E731
    assert float(losses["task"].detach()) == pytest.approx(task(w))
    unbiased = estimate == "unbiased"
    assert float(losses["mmd"].detach()) == pytest.approx(0.7 * discrepancy(both @ w.T, 5, unbiased))
    at = both @ w.T
    squared = ((at[:, None] - at[None]) ** 2).sum(2)
    bandwidth = squared.sum() / 72
    whole = lambda w: task(w) + 0.7 * discrepancy(both @ w.T, 5, unbiased, bandwidth)  # noqa: E731
    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, w), atol=1e-7)


def test_another_estimate_is_refused_before_training():
    with pytest.raises(InputError, match="biased or unbiased"):
        DAN(linear.classifier(), estimate="linear")
