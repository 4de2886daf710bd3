"""Wilson's interval against SciPy, and by patient against what it must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from medtl.measures import share_interval, wilson


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_wilson_is_scipys(counts, confidence):
    right, n = counts
    theirs = binomtest(right, n).proportion_ci(confidence, method="wilson")
    low, high = wilson(right / n, n, confidence)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    share, *ends = share_interval(np.arange(n) < right, confidence=confidence)
    assert share == pytest.approx(right / n)
    assert ends == pytest.approx([theirs.low, theirs.high], abs=1e-9)


def test_of_nothing_nothing_is_known():
    assert [float(end) for end in wilson(0.5, 0)] == [0, 1]
    assert np.isnan(share_interval([])).all()


def test_alike_scans_of_a_patient_are_worth_one():
    right = np.random.default_rng(0).random(40) < 0.7
    once = share_interval(right)
    thrice = share_interval(np.repeat(right, 3), np.repeat(np.arange(40), 3))
    # Up to the small-sample factor of the variance between patients (1 + 1/120 of 1 + 1/40).
    assert thrice == pytest.approx(once, abs=0.005)
    blind = share_interval(np.repeat(right, 3))
    assert blind[2] - blind[1] < 0.65 * (once[2] - once[1])


def test_all_right_in_few_patients_is_not_certainty():
    assert share_interval(np.ones(100, bool), np.arange(100) % 4) == share_interval(np.ones(4, bool))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=60))
def test_the_interval_lies_between_that_of_the_scans_and_that_of_the_patients(pairs):
    right, patient = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    share, low, high = share_interval(right, patient)
    for few, many in ((wilson(share, len(set(patient))), (low, high)), ((low, high), wilson(share, len(right)))):
        assert few[0] <= many[0] + 1e-9 and many[1] <= few[1] + 1e-9
    assert share_interval(right[::-1], patient[::-1]) == pytest.approx((share, low, high))


def test_the_interval_by_patient_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    patient, held = np.repeat(np.arange(60), 4), 0
    for _ in range(400):
        own = generator.beta(2.4, 0.6, 60)  # mean 0.8, scans of one patient correlated by 0.25
        _, low, high = share_interval(generator.random(240) < own[patient], patient)
        held += low <= 0.8 <= high
    assert 0.91 < held / 400 < 0.99
