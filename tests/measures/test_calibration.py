"""Calibration measures against scikit-learn, torchmetrics, hand-computed cases and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from medtl.measures import brier, ece, ece_expected_if_perfect, excess_ece, nll, reliability_curve

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
