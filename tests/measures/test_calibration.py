"""Calibration measures against scikit-learn, torchmetrics, hand-computed cases and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from medtl.measures import (
    brier,
    brier_decomposition,
    classwise_ece,
    ece,
    ece_expected_if_perfect,
    excess_ece,
    ks_calibration_error,
    nll,
    reliability_curve,
    sharpness,
)

RNG = np.random.default_rng(0)
probability_lists = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


def binary(n=300):
    p = RNG.uniform(0.01, 0.99, n)
    return (RNG.random(n) < p**2).astype(int), p


def several(n=300, k=4):
    p = RNG.dirichlet(np.ones(k), n)
    return RNG.integers(0, k, n), p


def test_brier_and_nll_are_scikit_learns():
    label, p = binary()
    both = np.c_[1 - p, p]
    assert brier(label, p) == pytest.approx(brier_score_loss(label, p)) == pytest.approx(brier(label, both))
    assert nll(label, p) == pytest.approx(log_loss(label, p)) == pytest.approx(nll(label, both))
    label, p = several()
    assert nll(label, p) == pytest.approx(log_loss(label, p, labels=range(4)))
    assert brier(label, p) == pytest.approx(brier_score_loss(label, p, labels=range(4), scale_by_half=False))


def test_ece_is_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    label, p = binary()
    theirs = functional.binary_calibration_error(torch.tensor(p), torch.tensor(label), n_bins=15)
    assert ece(label, p) == pytest.approx(float(theirs), abs=1e-6)
    label, p = several()
    theirs = functional.multiclass_calibration_error(torch.tensor(p), torch.tensor(label), num_classes=4, n_bins=15)
    assert ece(label, p) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_by_hand():
    # Two bins hold scans: (0.1, 0.1) with 1 of 2 positive, gap 0.4; (0.9,) with 0 of 1, gap 0.9.
    assert ece([1, 0, 0], [0.1, 0.1, 0.9]) == pytest.approx((2 * 0.4 + 0.9) / 3)
    assert ece([1, 0], [1.0, 0.0]) == 0
    assert np.isnan(ece([], []))


@given(probability_lists, st.booleans())
def test_ece_is_bounded_and_no_smaller_than_the_gap_of_the_means(pairs, equal_mass):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    value = ece(label, p, equal_mass=equal_mass)
    assert abs(label.mean() - p.mean()) - 1e-9 <= value <= 1 + 1e-9


@given(probability_lists)
def test_the_order_of_scans_does_not_matter(pairs):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    for measure in (ece, brier, nll):
        assert measure(label[::-1], p[::-1]) == pytest.approx(measure(label, p))


def test_a_perfect_model_shows_about_0_07_at_160_scans():
    assert ece_expected_if_perfect(RNG.uniform(0, 1, 160)) == pytest.approx(0.09, abs=0.03)
    assert ece_expected_if_perfect(np.repeat(0.5, 10_000)) < 0.01


@pytest.mark.parametrize("equal_mass", [False, True])
def test_a_perfect_model_has_no_excess_and_a_wrong_one_has(equal_mass):
    excess, wrong = [], []
    for _ in range(40):
        p = RNG.beta(2, 3, 160)
        label = (RNG.random(160) < p).astype(int)
        excess.append(excess_ece(label, p, equal_mass=equal_mass))
        sharper = p**3 / (p**3 + (1 - p) ** 3)
        wrong.append(excess_ece(label, sharper, equal_mass=equal_mass))
    assert abs(np.mean(excess)) < 0.01
    assert np.mean(wrong) > 0.08


def test_several_labels_leave_the_unknown_out():
    label = np.array([[1, np.nan], [0, 1.0]])
    p = np.array([[0.8, 0.3], [0.4, 0.6]])
    assert brier(label, p) == pytest.approx((0.04 + 0.16 + 0.16) / 3)
    assert nll(label, p) == pytest.approx(-(np.log(0.8) + np.log(0.6) + np.log(0.6)) / 3)
    assert 0 <= ece(label, p) <= 1
    assert excess_ece(label, p) < 1


def test_the_reliability_curve_counts_every_scan_once():
    label, p = binary(500)
    for equal_mass in (False, True):
        curve = reliability_curve(label, p, equal_mass=equal_mass)
        assert curve.scans.sum() == 500
        assert np.sum(curve.observed * curve.scans) == pytest.approx(label.sum())
        assert np.sum(curve.predicted * curve.scans) == pytest.approx(p.sum())
        assert (curve.low <= curve.observed).all() and (curve.observed <= curve.high).all()
    assert reliability_curve(label, np.full(500, 0.3)).scans.tolist() == [500]


def test_ece_of_equal_mass_by_hand_and_from_scikit_learns_curve():
    # Two bins of two scans: said 0.15 and was 0.5; said 0.75 and was 1.
    assert ece([0, 1, 1, 1], [0.1, 0.2, 0.6, 0.9], bins=2, equal_mass=True) == pytest.approx((0.35 + 0.25) / 2)
    label, p = binary(300)
    for bins in (5, 15):
        so, said = calibration_curve(label, p, n_bins=bins, strategy="quantile")
        assert ece(label, p, bins, equal_mass=True) == pytest.approx(np.mean(np.abs(so - said)))


def test_classwise_ece_by_hand():
    # Class a: 0.61 said twice, once so; b: gaps 0.65 and 0.15 in two bins; c: gaps 0.04 and 0.24 in two bins.
    p = np.array([[0.61, 0.35, 0.04], [0.61, 0.15, 0.24]])
    assert classwise_ece([1, 0], p, bins=10) == pytest.approx((0.11 + (0.65 + 0.15) / 2 + (0.04 + 0.24) / 2) / 3)
    assert np.isnan(classwise_ece([], np.zeros((0, 3))))


def test_classwise_ece_is_the_mean_of_the_classes():
    label, p = several()
    assert classwise_ece(label, p) == pytest.approx(np.mean([ece(label == k, p[:, k]) for k in range(4)]))
    label, p = binary()
    assert classwise_ece(label, p) == classwise_ece(label, np.c_[1 - p, p]) == pytest.approx(ece(label, p))
    labels = np.where(RNG.random((80, 3)) < 0.2, np.nan, RNG.integers(0, 2, (80, 3)))
    said, known = RNG.random((80, 3)), ~np.isnan(labels)
    expected = np.mean([ece(labels[known[:, k], k], said[known[:, k], k]) for k in range(3)])
    assert classwise_ece(labels, said) == pytest.approx(expected)


def test_ks_error_by_hand_and_as_mapie_has_it():
    # Cumulated gaps of the sorted scans: 0.2, 0.2 + 0.3 - 1, 0.2 + 0.3 - 1 + 0.9 - 1, over 3.
    assert ks_calibration_error([1, 0, 1], [0.3, 0.2, 0.9]) == pytest.approx(0.6 / 3)
    assert ks_calibration_error([0, 1], [0.5, 0.5]) == 0
    assert np.isnan(ks_calibration_error([], []))
    mapie = pytest.importorskip("mapie.metrics.calibration")
    label, p = binary()
    theirs = np.abs(mapie.cumulative_differences(label, p, noise_amplitude=1e-12)).max()
    assert ks_calibration_error(label, p) == pytest.approx(theirs)
    label, p = several()
    assert ks_calibration_error(label, p) == pytest.approx(ks_calibration_error(p.argmax(1) == label, p.max(1)))


@given(probability_lists, st.integers(0, 2**32 - 1))
def test_ks_error_is_bounded_by_the_gaps_and_does_not_mind_the_order(pairs, seed):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    value = ks_calibration_error(label, p)
    assert abs(label.mean() - p.mean()) - 1e-9 <= value <= np.abs(label - p).mean() + 1e-9
    order = np.random.default_rng(seed).permutation(len(p))
    assert ks_calibration_error(label[order], p[order]) == pytest.approx(value)


def test_brier_decomposition_by_hand():
    # Bins at 0.1 (2 scans, none positive) and 0.7 (2 scans, one positive); prevalence 1/4.
    parts = brier_decomposition([0, 0, 1, 0], [0.1, 0.1, 0.7, 0.7], bins=10)
    assert parts.reliability == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert parts.resolution == pytest.approx(0.25**2)
    assert parts.uncertainty == pytest.approx(0.25 * 0.75)
    assert parts.within == pytest.approx(0)


def total(parts):
    return parts.reliability - parts.resolution + parts.uncertainty + parts.within


@given(probability_lists, st.integers(1, 20))
def test_the_parts_sum_to_the_brier_score(pairs, bins):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    parts = brier_decomposition(label, p, bins)
    assert total(parts) == pytest.approx(brier(label, p))
    assert min(parts[:3]) >= 0 and parts.resolution <= parts.uncertainty + 1e-9


def test_the_parts_sum_for_more_classes_and_labels_too():
    label, p = several()
    assert total(brier_decomposition(label, p)) == pytest.approx(brier(label, p))
    labels = np.where(RNG.random((80, 3)) < 0.4, np.nan, RNG.integers(0, 2, (80, 3)))
    labels[:, 2] = np.nan
    assert total(brier_decomposition(labels, RNG.random((80, 3)))) > 0
    said = RNG.random((80, 3))
    assert total(brier_decomposition(labels, said)) == pytest.approx(brier(labels, said))
    assert np.isnan(brier_decomposition([], [])).all()


def test_sharpness_is_the_variance_of_what_was_said():
    p = np.array([0.0, 1.0, 0.5, 0.5])
    assert sharpness(p) == sharpness(np.c_[1 - p, p]) == pytest.approx(0.125)
    assert sharpness(np.full((9, 3), 1 / 3)) == pytest.approx(0)
    assert sharpness(np.eye(3)) == pytest.approx(3 * (1 / 3 * 2 / 3))
    assert sharpness(np.eye(2), several_labels=True) == pytest.approx(0.25)
    assert np.isnan(sharpness([]))
