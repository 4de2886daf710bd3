"""Distances between sites against closed forms, skada, POT and torchmetrics; what they must not hang on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import pdist

from medtl.measures.distances import (
    MEASURES,
    alignment,
    by_class,
    coral_distance,
    frechet_distance,
    mmd,
    proxy_a_distance,
)

RNG = np.random.default_rng(0)


def test_alike_is_near_0_and_apart_is_2():
    a = RNG.normal(size=(200, 8))
    assert proxy_a_distance(a, RNG.normal(size=(200, 8))) < 0.4
    assert proxy_a_distance(a, RNG.normal(size=(200, 8)) + 8) == pytest.approx(2, abs=0.03)


def test_between_it_is_the_error_of_the_best_line():
    # Two normals 1 apart: the best line errs on 30.9 %, so 2 (1 - 2 x 0.309) = 0.77.
    a, b = RNG.normal(size=(3000, 1)), RNG.normal(size=(3000, 1)) + 1
    assert proxy_a_distance(a, b) == pytest.approx(0.766, abs=0.08)


def test_a_larger_site_is_no_further_away():
    assert proxy_a_distance(RNG.normal(size=(100, 4)), RNG.normal(size=(3000, 4))) < 0.5


def test_scale_of_a_feature_does_not_matter_and_too_few_scans_are_nan():
    a, b = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 3)) + 0.7
    scale = np.array([1, 1000, 0.001])
    assert proxy_a_distance(a, b) == pytest.approx(proxy_a_distance(a * scale, b * scale))
    assert np.isnan(proxy_a_distance(a[:1], b))


# ---- kernels, covariances, Gaussians -----------------------------------------------------------------------------
def gaussian_mmd(m: float, s: float, t: float, bandwidth: float, d: int) -> float:
    """Of N(0, s I) and N(m, t I) in d dimensions, exp(-|x - y|^2 / 2 bandwidth): Gaussians integrate in closed form."""

    def mean(variance: float, shift: float) -> float:
        return (bandwidth / (bandwidth + variance)) ** (d / 2) * np.exp(-shift / (2 * (bandwidth + variance)))

    return mean(2 * s, 0) + mean(2 * t, 0) - 2 * mean(s + t, d * m**2)


@pytest.mark.parametrize(("m", "s", "t"), [(0.0, 1.0, 1.0), (0.5, 1.0, 1.0), (0.0, 1.0, 3.0), (1.0, 0.5, 2.0)])
def test_mmd_is_that_of_gaussians(m, s, t):
    d = 3
    found, expected = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = np.sqrt(s) * rng.normal(size=(150, d)), m + np.sqrt(t) * rng.normal(size=(100, d))
        median = np.median(pdist(np.concatenate([a, b]), "sqeuclidean"))
        found.append(mmd(a, b))
        expected.append(np.mean([gaussian_mmd(m, s, t, median * f, d) for f in (0.25, 0.5, 1, 2, 4)]))
    error = np.std(np.subtract(found, expected)) / np.sqrt(20)
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=3 * error + 1e-4)


def test_mmd_is_the_sum_over_pairs_without_the_diagonal():
    a, b = RNG.normal(size=(7, 2)), RNG.normal(size=(5, 2)) + 1
    median = np.median(pdist(np.concatenate([a, b]), "sqeuclidean"))

    def k(x, y):
        return np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * median * f)) for f in (0.25, 0.5, 1, 2, 4)])

    within = [np.mean([k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b)]
    between = np.mean([k(x, y) for x in a for y in b])
    assert mmd(a, b) == pytest.approx(sum(within) - 2 * between)


def test_mmd_is_kales_kernels_in_skadas_estimate_with_the_diagonal_taken_out(kale):
    gaussian_kernel = kale.gaussian_kernel  # skada's own kernel is exp(-d / s), of no square
    from skada.deep.losses import _maximum_mean_discrepancy

    a, b = RNG.normal(size=(30, 4)), RNG.normal(size=(20, 4)) + 0.5
    n, m, median = 30, 20, np.median(pdist(np.concatenate([a, b]), "sqeuclidean"))
    whole = gaussian_kernel(torch.from_numpy(a), torch.from_numpy(b), fix_sigma=2 * median) / 5
    site = {n: slice(0, n), m: slice(n, None)}
    biased = float(_maximum_mean_discrepancy(a, b, lambda x, y: whole[site[len(x)], site[len(y)]].clone()))
    aa, bb = (float(whole[rows, rows].mean()) for rows in site.values())
    unbiased = biased - aa - bb + (aa * n - 1) / (n - 1) + (bb * m - 1) / (m - 1)
    assert mmd(a, b) == pytest.approx(unbiased, abs=1e-9)


def test_coral_is_skadas():
    from skada.deep.losses import deepcoral_loss

    a, b = RNG.normal(size=(40, 5)), RNG.normal(size=(30, 5)) * [1, 2, 3, 1, 1]
    assert coral_distance(a, b) == pytest.approx(float(deepcoral_loss(torch.from_numpy(a), torch.from_numpy(b))))
    assert coral_distance(a, a + 7) == pytest.approx(0, abs=1e-12)


def test_frechet_is_pots_and_torchmetrics():
    import ot
    from torchmetrics.image.fid import _compute_fid

    a, b = RNG.normal(size=(200, 6)), RNG.normal(size=(150, 6)) @ RNG.normal(size=(6, 6)) + 1
    means, covariances = [x.mean(0) for x in (a, b)], [np.cov(x, rowvar=False) for x in (a, b)]
    expected = ot.gaussian.bures_wasserstein_distance(*means, *covariances) ** 2
    assert frechet_distance(a, b, shrinkage=0) == pytest.approx(expected)
    told = [torch.from_numpy(each) for each in (means[0], covariances[0], means[1], covariances[1])]
    assert frechet_distance(a, b, shrinkage=0) == pytest.approx(float(_compute_fid(*told)))


def test_frechet_of_gaussians_that_do_not_turn():
    # C_a and C_b commute: |m|^2 + sum (sqrt(a) - sqrt(b))^2
    a, b = RNG.normal(size=(40000, 3)) * [1, 2, 3], RNG.normal(size=(40000, 3)) * [2, 2, 1] + [1, 0, 0]
    assert frechet_distance(a, b) == pytest.approx(1 + 1 + 0 + 4, rel=0.03)


def test_shrinking_is_ledoit_and_wolfs_and_helps_the_few():
    a, b = RNG.normal(size=(30, 40)), RNG.normal(size=(30, 40))
    assert frechet_distance(a, b) < 0.5 * frechet_distance(a, b, shrinkage=0)  # one site: the truth is 0
    from sklearn.covariance import LedoitWolf

    covariances = [LedoitWolf().fit(x).covariance_ * 30 / 29 for x in (a, b)]
    whole = np.sum((a.mean(0) - b.mean(0)) ** 2) + sum(map(np.trace, covariances))
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    assert frechet_distance(a, b) == pytest.approx(whole - 2 * root)


clouds = npst.arrays(float, st.tuples(st.integers(4, 9), st.just(3)), elements=st.floats(-5, 5, width=32))
motions = st.tuples(npst.arrays(float, 3, elements=st.floats(-3, 3)), st.integers(0, 99), st.floats(0.2, 5))


@settings(max_examples=40, deadline=None)
@given(clouds, clouds, motions)
def test_no_distance_hangs_on_where_or_how_the_axes_lie(a, b, motion):
    shift, seed, scale = motion
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    moved = [x @ turn + shift for x in (a, b)]
    for distance in (mmd, coral_distance, frechet_distance):
        assert distance(*moved) == pytest.approx(distance(a, b), rel=1e-5, abs=1e-6)
        assert distance(b, a) == pytest.approx(distance(a, b), rel=1e-5, abs=1e-6)
        assert distance(a[::-1], b) == pytest.approx(distance(a, b), rel=1e-5, abs=1e-6)
    bigger = [scale * x for x in (a, b)]
    if np.median(pdist(np.concatenate([a, b]))) > 1e-3:
        assert mmd(*bigger) == pytest.approx(mmd(a, b), rel=1e-5, abs=1e-6)
    assert coral_distance(*bigger) == pytest.approx(scale**4 * coral_distance(a, b), rel=1e-5, abs=1e-6)
    assert frechet_distance(*bigger) == pytest.approx(scale**2 * frechet_distance(a, b), rel=1e-5, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(clouds)
def test_a_site_is_no_distance_from_itself(a):
    assert coral_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)
    assert mmd(a, a) <= 1e-9  # unbiased: below 0 for the same scans twice


@pytest.mark.parametrize("distance", [mmd, coral_distance, frechet_distance])
def test_too_few_scans_are_nan(distance):
    assert np.isnan(distance(np.zeros((1, 3)), RNG.normal(size=(9, 3))))


# ---- class by class, before and after ----------------------------------------------------------------------------
def test_by_class_takes_the_class_alone():
    a, b = RNG.normal(size=(60, 4)), RNG.normal(size=(50, 4))
    of_a, of_b = np.arange(60) % 3 - 1, np.arange(50) % 2
    b[of_b == 1] *= 4
    found = by_class(coral_distance, a, b, of_a, of_b)
    assert list(found) == [0, 1]
    assert found[1] == coral_distance(a[of_a == 1], b[of_b == 1]) > 5 * found[0]
    assert np.isnan(by_class(mmd, a, b[:15], of_a, of_b[:15])[1])  # 7 scans


def test_alignment_sees_sites_come_together():
    label, predicted = np.arange(80) % 2, np.arange(60) % 2
    source, target = RNG.normal(size=(80, 5)), RNG.normal(size=(60, 5))
    rows = alignment(source, target + 2, 100 * source, 100 * target, label, predicted)
    assert [(row.measure, row.of) for row in rows] == [(name, k) for k in (-1, 0, 1) for name in MEASURES]
    for row in rows:
        if row.measure != "CORAL distance":  # blind to a shift
            assert row.after < row.before
        assert abs(row.after - row.alike) < 0.35  # as if they were one site
        assert (row.n_source, row.n_target) == ((80, 60) if row.of < 0 else (40, 30))
    frechet = next(row for row in rows if row.measure == "Fréchet distance")
    assert frechet.before == pytest.approx(4, rel=0.25)  # two standard deviations in each feature
    assert {row.of for row in alignment(source, target, source, target, np.zeros((80, 3)), predicted)} == {-1}
