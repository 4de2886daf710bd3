"""Pooling against the paper's equation taken by hand, and against what would overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.models.pooling import POOLINGS, GatedAttention, MeanPooling


def attention(width: int = 5, seed: int = 0) -> GatedAttention:
    """With weights of w that are not zero."""
    torch.manual_seed(seed)
    pooling = GatedAttention(width, hidden=7).double()
    torch.nn.init.normal_(pooling.score.weight)
    return pooling


def by_hand(pooling: GatedAttention, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equation 9 of Ilse et al. for one bag (instances, F): features (F,) and weights (instances,)."""
    v, c = (each.detach().numpy() for each in (pooling.what.weight, pooling.what.bias))
    u, d = (each.detach().numpy() for each in (pooling.gate.weight, pooling.gate.bias))
    w = pooling.score.weight.detach().numpy()[0]
    e = np.exp([w @ (np.tanh(v @ each + c) / (1 + np.exp(-(u @ each + d)))) for each in h])
    a = e / e.sum()
    return a @ h, a


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_it_is_the_papers_equation_in_each_bag(sizes: list[int], seed: int) -> None:
    pooling = attention(seed=seed)
    bag = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))  # in any order
    h = np.random.default_rng(seed).normal(size=(len(bag), 5))
    features, weights = pooling(torch.from_numpy(h), torch.from_numpy(bag), len(sizes))
    for scan in range(len(sizes)):
        expected, a = by_hand(pooling, h[bag == scan])
        np.testing.assert_allclose(features[scan].detach(), expected, atol=1e-12)
        np.testing.assert_allclose(weights.detach().numpy()[bag == scan], a, atol=1e-12)


def test_it_starts_as_the_mean() -> None:
    features, bag = torch.randn(9, 5), torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 2])
    pooled, weights = GatedAttention(5)(features, bag, 3)
    mean, nothing = MeanPooling(5)(features, bag, 3)
    assert nothing is None
    assert torch.allclose(pooled, mean, atol=1e-6)
    assert torch.allclose(weights, torch.tensor([1 / 2] * 2 + [1 / 4] * 4 + [1 / 3] * 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_that_would_overflow_give_weights_still(dtype: torch.dtype) -> None:
    pooling = GatedAttention(2).to(dtype)
    pooling.score.weight.data.fill_(1e4)
    features = torch.tensor([[1e4, 0], [-1e4, 3], [5, 1e4]], dtype=dtype)
    pooled, weights = pooling(features, torch.tensor([0, 0, 1]), 2)
    assert pooled.isfinite().all() and weights.isfinite().all()
    assert weights[:2].detach().sum().item() == pytest.approx(1, abs=1e-6) and weights[2] == 1
    pooled.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in pooling.parameters() if p.grad is not None)


def test_a_bag_leaves_the_others_alone_and_an_empty_one_is_zero() -> None:
    pooling = attention()
    h = torch.randn(5, 5, dtype=torch.float64)
    bag = torch.tensor([0, 0, 2, 2, 2])
    before, _ = pooling(h, bag, 3)
    h[2:] += 100
    after, _ = pooling(h, bag, 3)
    assert torch.equal(before[0], after[0]) and not torch.equal(before[2], after[2])
    assert torch.equal(before[1], torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("name", POOLINGS)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    pooling = attention() if name == "attention" else MeanPooling(5)
    bag = torch.tensor([0, 1, 1, 0, 2])
    h = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pooling(x, bag, 3)[0], (h,))
