"""AUROC and its intervals against scikit-learn, SciPy and simulation."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from medtl.measures import (
    auroc,
    average_precision,
    bootstrap_auroc,
    bootstrap_average_precision,
    delong,
    patient_bootstrap,
    percentile_interval,
)
from medtl.measures.ranks import ranks

RNG = np.random.default_rng(0)
scores = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=60))
def test_ranks_are_scipys(values):
    np.testing.assert_allclose(ranks(values), rankdata(values))


@given(scores)
def test_auroc_is_scikit_learns_ties_and_all(pairs):
    label, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if label.all() or not label.any():
        assert np.isnan(auroc(label, score))
    else:
        assert auroc(label, score) == pytest.approx(roc_auc_score(label, score))
        assert auroc(label, np.exp(score)) == pytest.approx(auroc(label, score))
        assert auroc(1 - label, score) == pytest.approx(1 - auroc(label, score))


@given(scores)
def test_the_interval_holds_the_auroc_and_lies_in_the_unit_interval(pairs):
    label, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    found = delong(label, score)
    if not np.isnan(found.auroc):
        assert 0 <= found.low <= found.auroc <= found.high <= 1


def test_delong_error_by_hand():
    # Positives 3, 1; negatives 2, 0: placements 1, 1/2 and 1/2, 1; each variance 1/8.
    found = delong([1, 1, 0, 0], [3, 1, 2, 0])
    assert found.auroc == 0.75
    assert found.standard_error == pytest.approx(np.sqrt(1 / 8 / 2 + 1 / 8 / 2))


def test_scans_of_one_patient_are_no_new_evidence():
    label = RNG.integers(0, 2, 60)
    score = label + RNG.normal(size=60)
    once = delong(label, score)
    thrice = delong(np.tile(label, 3), np.tile(score, 3), np.tile(np.arange(60), 3))
    blind = delong(np.tile(label, 3), np.tile(score, 3))
    assert thrice.standard_error == pytest.approx(once.standard_error)
    assert blind.standard_error < 0.65 * once.standard_error


def test_perfect_ranking_of_few_scans_is_not_certainty():
    low = [delong(np.repeat([0, 1], n), np.arange(2 * n), confidence=0.9).low for n in (1, 4, 5, 50)]
    assert low == pytest.approx([0.05, 0.05**0.25, 0.05**0.2, 0.05**0.02])
    assert delong([0, 0, 1, 1], [3, 4, 1, 2], confidence=0.9).high == pytest.approx(1 - 0.05**0.5)


def test_the_mean_over_classes_leaves_unknown_labels_out():
    label = np.array([[1, 0], [0, 1], [1, np.nan], [0, 0]], float)
    score = np.array([[0.9, 0.1], [0.2, 0.7], [0.1, 0.9], [0.3, 0.2]])
    expected = (roc_auc_score(label[:, 0], score[:, 0]) + 1.0) / 2
    assert delong(label, score).auroc == pytest.approx(expected)
    assert np.nanmean(bootstrap_auroc(label, score, None, 50)) <= 1


@pytest.mark.parametrize("truth", [0.5, 0.75, 0.92])
def test_both_intervals_hold_the_truth_about_as_often_as_they_say(truth):
    generator = np.random.default_rng(5)
    delong_holds = bootstrap_holds = 0
    for draw in range(300):
        label = np.repeat([0, 1], 40)
        score = generator.normal(size=80) + label * norm.ppf(truth) * np.sqrt(2)
        found = delong(label, score)
        delong_holds += found.low <= truth <= found.high
        low, high = percentile_interval(bootstrap_auroc(label, score, None, 300, draw))
        bootstrap_holds += low <= truth <= high
    assert delong_holds / 300 > 0.92
    assert bootstrap_holds / 300 > 0.90


def test_bootstrap_equals_the_slow_way_patient_by_patient():
    label, score, patient = RNG.integers(0, 2, 50), RNG.normal(size=50).round(1), np.arange(50) // 3
    fast = bootstrap_auroc(label, score, patient, 20, seed=3)
    slow = patient_bootstrap(roc_auc_score, patient, label, score, n_bootstrap=1, seed=3)
    assert fast[0] == pytest.approx(slow[0])
    assert len(set(fast)) > 10
    np.testing.assert_array_equal(fast, bootstrap_auroc(label, score, patient, 20, seed=3))


def test_bootstrap_agrees_with_delong_and_is_fast():
    label = RNG.integers(0, 2, 500)
    score = label + RNG.normal(size=500)
    start = time.process_time()
    draws = bootstrap_auroc(label, score, np.arange(500) // 2, 1000)
    assert time.process_time() - start < 2
    assert np.std(draws) == pytest.approx(delong(label, score, np.arange(500) // 2).standard_error, rel=0.15)


def test_one_class_gives_nan_and_no_crash():
    assert np.isnan(bootstrap_auroc([1, 1], [0.1, 0.2], None, 5)).all()
    assert np.isnan(delong([1, 1], [0.1, 0.2])).all()
    assert np.isnan(percentile_interval([np.nan, np.nan, 0.5])).all()


@given(scores)
def test_average_precision_is_scikit_learns_ties_and_all(pairs):
    label, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if label.any():
        assert average_precision(label, score) == pytest.approx(average_precision_score(label, score))
    else:
        assert np.isnan(average_precision(label, score))


def test_bootstrap_of_the_average_precision_equals_the_slow_way_patient_by_patient():
    label, score, patient = RNG.integers(0, 2, 50), RNG.normal(size=50).round(1), np.arange(50) // 3
    fast = bootstrap_average_precision(label, score, patient, 20, seed=3)
    slow = patient_bootstrap(average_precision_score, patient, label, score, n_bootstrap=1, seed=3)
    assert fast[0] == pytest.approx(slow[0])
    low, high = percentile_interval(bootstrap_average_precision(label, score, patient, 500))
    assert low < average_precision(label, score) < high


def test_average_precision_of_several_labels_is_their_mean():
    label = np.array([[1, 0], [0, 1], [1, np.nan], [0, 0]], float)
    score = np.array([[0.9, 0.1], [0.2, 0.7], [0.1, 0.9], [0.3, 0.2]])
    expected = (average_precision_score(label[:, 0], score[:, 0]) + 1.0) / 2
    assert average_precision(label, score) == pytest.approx(expected)
