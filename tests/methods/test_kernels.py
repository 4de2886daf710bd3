"""Kernels and discrepancies against NumPy, closed forms, skada and pykale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skada.deep.losses import _gaussian_kernel, dan_loss

from medtl.errors import InputError
from medtl.methods.kernels import FACTORS, gaussian, mmd


def points(n: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, (n, 4)))


def test_kernel_is_the_sum_of_its_gaussians():
    x = points(9).numpy()
    squared = ((x[:, None] - x[None]) ** 2).sum(2)
    mean = squared[~np.eye(9, dtype=bool)].mean()
    expected = sum(np.exp(-squared / (factor * mean)) for factor in (0.25, 0.5, 1, 2, 4))
    assert np.allclose(gaussian(torch.from_numpy(x)), expected)
    one = gaussian(torch.from_numpy(x), factors=(1.0,), bandwidth=1.7)
    assert np.allclose(one, np.exp(-squared / 1.7))


def test_kernel_is_pykales(kale):
    source, target = points(6).float(), points(6, seed=1, shift=0.5).float()
    ours = gaussian(torch.cat([source, target]))
    assert torch.allclose(ours, kale.gaussian_kernel(source, target), atol=1e-5)
    fixed = gaussian(torch.cat([source, target]), factors=(1.0,), bandwidth=1.68)
    assert torch.allclose(fixed, kale.gaussian_kernel(source, target, kernel_num=1, fix_sigma=1.68), atol=1e-5)


def test_gradient_is_that_of_fixed_bandwidths_by_finite_differences():
    x = points(5).requires_grad_()
    squared = torch.cdist(x, x).detach().square()
    bandwidth = float(squared.sum() / 20)
    function = lambda x: mmd(gaussian(x, bandwidth=bandwidth), 2)  # noqa: E731
    (ours,) = torch.autograd.grad(mmd(gaussian(x), 2), x)
    assert torch.isfinite(ours).all()  # though each scan has distance 0 from itself
    step = 1e-6
    for place in np.ndindex(5, 4):
        shift = torch.zeros_like(x)
        shift[place] = step
        slope = (function(x.detach() + shift) - function(x.detach() - shift)) / (2 * step)
        assert float(ours[place]) == pytest.approx(float(slope), abs=1e-8)


def test_scans_that_are_all_the_same_have_no_discrepancy_and_a_finite_gradient():
    x = torch.ones(6, 3, requires_grad=True)
    found = mmd(gaussian(x), 3)
    found.backward()
    assert float(found.detach()) == 0
    assert torch.isfinite(x.grad).all()


def by_hand(kernel: np.ndarray, n: int, own: bool) -> float:
    m = len(kernel) - n
    total = 0.0
    for i in range(n):
        for j in range(n):
            total += kernel[i, j] / (n * n if own else n * (n - 1)) if own or i != j else 0
        for j in range(n, n + m):
            total -= 2 * kernel[i, j] / (n * m)
    for i in range(n, n + m):
        for j in range(n, n + m):
            total += kernel[i, j] / (m * m if own else m * (m - 1)) if own or i != j else 0
    return total


def test_both_estimates_are_gretton_and_others_and_sites_may_be_dealt_unequally():
    kernel = gaussian(torch.cat([points(5), points(7, seed=1, shift=1.0)]))
    assert float(mmd(kernel, 5, "biased")) == pytest.approx(by_hand(kernel.numpy(), 5, own=True))
    assert float(mmd(kernel, 5, "unbiased")) == pytest.approx(by_hand(kernel.numpy(), 5, own=False))


def test_of_two_points_it_is_the_closed_form():
    # both sites hold one point, twice: k(x, x) = 1 on either side, and exp(-d^2 / b) between
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], dtype=torch.float64)
    kernel = gaussian(x, factors=(1.0,), bandwidth=10.0)
    for estimate in ("biased", "unbiased"):
        assert float(mmd(kernel, 2, estimate)) == pytest.approx(2 - 2 * np.exp(-2.5))


def test_unbiased_is_0_on_average_and_biased_is_never_below():
    draws = [torch.randn(12, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(400)]
    found = {
        estimate: np.array([float(mmd(gaussian(each), 6, estimate)) for each in draws])
        for estimate in ("biased", "unbiased")
    }
    assert abs(found["unbiased"].mean()) < 4 * found["unbiased"].std() / 20
    assert found["biased"].min() > 0


def test_biased_is_skadas_on_skadas_kernel():
    # their kernel is exp(-d / sigma) of the distance, not of its square
    source, target = points(8).float(), points(8, seed=1, shift=1.0).float()
    both = torch.cat([source, target])
    kernel = _gaussian_kernel(both, both, torch.tensor([0.5, 1.0, 2.0]))
    theirs = dan_loss(source, target, sigmas=[0.5, 1.0, 2.0])
    assert float(mmd(kernel, 8, "biased")) == pytest.approx(float(theirs), abs=1e-5)


def test_unbiased_is_the_mean_of_pykales_linear_estimate_over_all_orders_of_the_scans(kale):
    # theirs takes n of the pairs, (i, i + 1); strides r and offsets c bring every pair up equally often, 7 being prime
    n = 7
    source, target = points(n), points(n, seed=1, shift=0.5)
    kernel = gaussian(torch.cat([source, target]))
    found = []
    for r in range(1, n):
        order = torch.arange(n) * r % n
        for c in range(n):
            rows = torch.cat([order, n + (order + c) % n])
            found.append(float(kale.compute_mmd_loss(kernel[rows][:, rows], n)))
    assert np.mean(found) == pytest.approx(float(mmd(kernel, n, "unbiased")), abs=1e-5)


def test_another_estimate_is_refused():
    with pytest.raises(InputError, match="biased or unbiased"):
        mmd(torch.eye(4), 2, "linear")


def test_there_is_no_loop_over_bandwidths():
    assert len(FACTORS) == 5
    x = points(6)
    with torch.profiler.profile() as profiled:
        gaussian(x)
    assert sum(event.count for event in profiled.key_averages() if event.key == "aten::exp") == 1
