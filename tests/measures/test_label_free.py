"""Label-free scores: hand-computed ends, bounds, and the order they are meant to give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.measures import class_confusion, information, mean_entropy, nuclear_norm, soft_neighbourhood_density

RNG = np.random.default_rng(0)
SURE = np.eye(2)[np.arange(40) % 2]
UNSURE = np.full((40, 2), 0.5)
COLLAPSED = np.eye(2)[np.zeros(40, int)]


def test_the_ends():
    assert mean_entropy(UNSURE) == pytest.approx(np.log(2))
    assert mean_entropy(SURE) == mean_entropy(COLLAPSED) == 0
    assert information(SURE) == pytest.approx(np.log(2))
    assert information(UNSURE) == pytest.approx(0) == information(COLLAPSED)
    assert class_confusion(SURE) < 1e-3
    assert class_confusion(UNSURE) == pytest.approx(0.5)
    assert nuclear_norm(SURE) == pytest.approx(1)
    assert nuclear_norm(COLLAPSED) == pytest.approx(np.sqrt(0.5)) and nuclear_norm(UNSURE) == pytest.approx(0.5)


@given(st.integers(2, 5), st.integers(2, 30), st.integers(0, 1000))
def test_bounds(k, n, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(k), n)
    assert 0 <= mean_entropy(p) <= np.log(k) + 1e-9
    assert -1e-9 <= information(p) <= np.log(k) + 1e-9
    assert 0 <= class_confusion(p) <= 1
    assert 0 < nuclear_norm(p) <= 1 + 1e-9
    assert -1e-9 <= soft_neighbourhood_density(p) <= np.log(n - 1) + 1e-9


def test_class_confusion_is_the_papers_loss():
    # The released loss (Versatile-Domain-Adaptation, PyTorch), in NumPy.
    logit = RNG.normal(size=(20, 3))
    p = np.exp(logit) / np.exp(logit).sum(1, keepdims=True)
    flat = np.exp(logit / 2.5) / np.exp(logit / 2.5).sum(1, keepdims=True)
    weight = 1 + np.exp(np.sum(flat * np.log(flat), axis=1))
    weight = 20 * weight / weight.sum()
    confusion = (flat * weight[:, None]).T @ flat
    confusion /= confusion.sum(1)[:, None]
    assert class_confusion(p) == pytest.approx((confusion.sum() - np.trace(confusion)) / 3)


def test_density_by_hand_and_in_clusters():
    # Three unit vectors, two alike: similarities 1 and 0, so rows (1, 0), (1, 0), (1/2, 1/2) at a low temperature.
    same = np.array([[1.0, 0], [1, 0], [0, 1]])
    assert soft_neighbourhood_density(same) == pytest.approx(np.log(2) / 3, abs=1e-6)
    dense = np.repeat(np.eye(4), 50, axis=0) + 0.01 * RNG.normal(size=(200, 4))
    assert soft_neighbourhood_density(dense) > soft_neighbourhood_density(RNG.normal(size=(200, 4)))
    assert soft_neighbourhood_density(dense, most=40) > 0
    assert np.isnan(soft_neighbourhood_density(dense[:1]))
