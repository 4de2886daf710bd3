"""Youden's threshold against scikit-learn's ROC curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from medtl.trust.threshold import HALF, YOUDEN, youden


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=50))
def test_no_threshold_has_a_higher_j(pairs):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs]) / 10
    cut, rule = youden(label, p)
    if label.all() or not label.any():
        assert (cut, rule) == (0.5, HALF)
        return
    called = p >= cut
    false, true, _ = roc_curve(label, p)
    assert called[label == 1].mean() - called[label == 0].mean() == pytest.approx((true - false).max())
    assert rule == YOUDEN


def test_it_lies_midway_and_ties_go_to_the_prevalence():
    assert youden([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9])[0] == pytest.approx(0.4)
    # Above 0.1: J = 1 - 1/2; above 0.5: J = 1/2 - 0. The prevalence is 1/2: the calls are 3/4 and 1/4, so the first.
    assert youden([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.7])[0] == pytest.approx(0.2)
    # One positive of four: calls of 3/4 (J = 2/3 with positive at 0.3) lose to 1/4.
    assert youden([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.9])[0] == pytest.approx(0.6)


def test_a_large_calibration_set_takes_little_memory():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 2, 50_000)  # scans times thresholds would be 2.5 GB
    threshold, _ = youden(label, np.clip(generator.normal(0.4 + 0.2 * label, 0.1), 0, 1))
    assert threshold == pytest.approx(0.5, abs=0.02)
