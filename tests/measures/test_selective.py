"""The risk-coverage curve by hand, and what must hold of any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.measures import accuracy_without, risk_coverage

scans = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=40)


def test_risk_by_hand():
    # Called 1, 1, 0, 1 with a sureness of 0.9, 0.8, 0.7, 0.6: right, wrong, right, wrong.
    curve = risk_coverage([1, 0, 0, 0], [0.9, 0.8, 0.3, 0.6])
    assert curve.coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert curve.aurc == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.e_aurc == pytest.approx(curve.aurc - (1 / 3 + 1 / 2) / 4)


def test_accuracy_without_the_doubtful():
    label, p = [1, 0, 0, 0, 1], [0.9, 0.8, 0.3, 0.6, 0.99]
    assert accuracy_without(label, p, 0.2) == pytest.approx(3 / 4)  # the scan at 0.6 is referred
    assert accuracy_without(label, p, 0) == pytest.approx(3 / 5)
    assert accuracy_without(label, p, 0.8) == 1
    assert np.isnan(accuracy_without(label, p, 1))


def test_a_model_that_knows_where_it_errs_has_no_excess():
    p = np.linspace(0.51, 1, 50)
    label = (np.arange(50) >= 10).astype(int)
    curve = risk_coverage(label, p)
    assert curve.e_aurc == pytest.approx(0)
    assert accuracy_without(label, p) == 1


@given(scans, st.integers(0, 2**32 - 1))
def test_the_order_does_not_matter_and_all_are_covered_at_last(pairs, seed):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs]) / 10
    curve = risk_coverage(label, p)
    assert curve.risk[-1] == pytest.approx(np.mean((p >= 0.5) != label))
    assert ((curve.risk >= -1e-9) & (curve.risk <= 1 + 1e-9)).all()
    assert curve.e_aurc >= -1e-9
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_allclose(risk_coverage(label[order], p[order]).risk, curve.risk, atol=1e-9)


def test_what_was_called_at_another_threshold_counts():
    label, p = np.array([1, 0, 1]), np.array([0.3, 0.1, 0.9])
    assert risk_coverage(label, p).risk[-1] == pytest.approx(1 / 3)
    assert risk_coverage(label, p, prediction=p >= 0.25).risk == pytest.approx([0, 0, 0])
    assert accuracy_without(label, p, 0.4, prediction=[0, 1, 1]) == pytest.approx(1 / 2)


def test_more_classes_and_several_labels():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    assert risk_coverage([1, 2, 1], p).risk == pytest.approx([0, 0, 1 / 3])
    # Scan 0: both known, one wrong, sureness 0.85; scan 1: one known, right, 0.6; scan 2: none known, left out.
    label = np.array([[1, 1], [0, np.nan], [np.nan, np.nan]])
    said = np.array([[0.9, 0.2], [0.4, 0.9], [0.5, 0.5]])
    assert risk_coverage(label, said).risk == pytest.approx([1 / 2, 1 / 4])


def test_without_labels_there_is_no_curve():
    curve = risk_coverage([-1, -1], [0.2, 0.9])
    assert not len(curve.risk) and np.isnan(curve.aurc) and np.isnan(accuracy_without([-1], [0.2]))
