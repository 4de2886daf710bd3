"""Importance weights: conditions of optimality, skada's own, and the true ratio where it is known."""

from __future__ import annotations

import numpy as np
import pytest
from skada import KMMReweightAdapter

from medtl.measures.effective import effective_sample_size
from medtl.methods.importance import (
    LARGEST,
    WEIGHTS,
    _gaussian,
    _projected,
    likeliest,
    matched,
    within_classes,
)


def gaussians(n: int = 400, m: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source N(0, 1), target N(0.7, 0.8^2) in two dimensions, and the true ratio at the source."""
    random = np.random.default_rng(0)
    source, target = random.normal(0, 1, (n, 2)), random.normal(0.7, 0.8, (m, 2))
    log_ratio = -((source - 0.7) ** 2).sum(axis=1) / (2 * 0.64) + (source**2).sum(axis=1) / 2 - 2 * np.log(0.8)
    return source, target, np.exp(log_ratio)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_follow_the_true_ratio_and_move_the_mean(name):
    source, target, truth = gaussians()
    weights = WEIGHTS[name](source, target)
    assert weights.mean() == pytest.approx(1) and weights.min() >= 0
    assert weights.max() <= LARGEST * 1.01
    rank = [np.argsort(np.argsort(each)) for each in (weights, truth)]
    assert np.corrcoef(*rank)[0, 1] > 0.6
    gap = np.linalg.norm(np.average(source, axis=0, weights=weights) - target.mean(axis=0))
    assert gap < 0.4 * np.linalg.norm(source.mean(axis=0) - target.mean(axis=0))


@pytest.mark.parametrize("name", WEIGHTS)
def test_sites_alike_count_alike_and_the_same_is_found_again(name):
    random = np.random.default_rng(1)
    source, target = random.normal(size=(300, 5)), random.normal(size=(300, 5))
    weights = WEIGHTS[name](source, target)
    assert effective_sample_size(weights) > (75 if name == "kmm" else 150)  # KMM fits the noise of 300 scans too
    assert np.array_equal(weights, WEIGHTS[name](source, target))


def test_kernel_mean_matching_is_optimal():
    source, target, _ = gaussians(60, 50)
    kernel, kappa = _gaussian(source, source, 1.0), 60 * _gaussian(source, target, 1.0).mean(axis=1)
    w = matched(kernel, kappa, 5.0, 54.0, 66.0)
    assert w.min() >= 0 and w.max() <= 5 and 54 - 1e-6 <= w.sum() <= 66 + 1e-6
    gradient = kernel @ w - kappa
    free = (w > 1e-4) & (w < 5 - 1e-4)
    multiplier = -gradient[free].mean()  # of the sum, if it is at an end; else 0
    assert np.abs(gradient[free] + multiplier).max() < 2e-3
    assert (gradient[w <= 1e-4] + multiplier > -2e-3).all()  # more of these would cost
    assert (gradient[w >= 5 - 1e-4] + multiplier < 2e-3).all()
    if 54 + 1e-3 < w.sum() < 66 - 1e-3:
        assert abs(multiplier) < 2e-3


def test_kernel_mean_matching_finds_no_worse_weights_than_skada():
    source, target, _ = gaussians(60, 50)
    both, domain = np.concatenate([source, target]), np.repeat([1, -2], [60, 50])
    found = KMMReweightAdapter(gamma=0.5, B=5.0, eps=0.1, solver="scipy").fit(both, sample_domain=domain)
    kernel, kappa = _gaussian(source, source, 1.0), 60 * _gaussian(source, target, 1.0).mean(axis=1)
    cost = lambda w: w @ kernel @ w / 2 - kappa @ w  # noqa: E731
    ours, theirs = cost(matched(kernel, kappa, 5.0, 54.0, 66.0)), cost(found.source_weights_)
    assert ours <= theirs + 1e-6 * abs(theirs)
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_the_projection_is_the_nearest_point():
    random = np.random.default_rng(0)
    w = random.normal(1, 2, 30)
    held = _projected(w, 2.0, 10.0, 20.0)
    assert 10 - 1e-9 <= held.sum() <= 20 + 1e-9 and held.min() >= 0 and held.max() <= 2
    for _ in range(300):  # no feasible point is nearer: (w - held) (other - held) <= 0
        other = random.uniform(0, 2, 30)
        other *= random.uniform(10, 20) / other.sum()
        if other.max() <= 2:
            assert (w - held) @ (other - held) <= 1e-6


def test_the_likeliest_mixture_meets_its_conditions():
    random = np.random.default_rng(0)
    a, b = random.uniform(size=(40, 6)), random.uniform(0.2, 1, 6)
    alpha = likeliest(a, b, steps=20000)
    assert b @ alpha == pytest.approx(1)
    slope = (a / (a @ alpha)[:, None]).sum(axis=0) / b  # d/d alpha of the sum of logs, per unit of the constraint
    assert slope[alpha * b > 1e-4] == pytest.approx(40, rel=1e-3)  # of those that are used; M by the constraint
    assert (slope < 40 * 1.001).all()


def test_a_cluster_without_target_counts_nothing():
    random = np.random.default_rng(0)
    here, elsewhere = random.normal(0, 0.1, (60, 3)), random.normal(5, 0.1, (60, 3))
    weights = WEIGHTS["clusters"](np.concatenate([here, elsewhere]), random.normal(0, 0.1, (50, 3)))
    assert (weights[60:] == 0).all() and weights[:60].mean() == pytest.approx(2)


def test_classes_stay_as_frequent():
    weights = within_classes(np.array([1.0, 3.0, 0.0, 0.0, 2.0]), np.array([0, 0, 1, 1, 2]))
    assert weights.tolist() == [0.5, 1.5, 1.0, 1.0, 1.0]
