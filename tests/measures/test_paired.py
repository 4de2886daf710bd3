"""Paired comparison against DeLong's published example, the bootstrap and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from medtl.measures import auroc, bootstrap_difference, compare_auroc, delong

#: Albumin, total protein, K-G score and outcome of the 43 patients with all three tests (DeLong et al., 1988).
OVARIAN = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1
"""
pairs_of_scores = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 9)), min_size=2, max_size=40
)


def two_models(n=200, seed=0):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 2, n)
    shared = generator.normal(size=n)
    return label, label + shared, 0.6 * label + 0.7 * shared + 0.7 * generator.normal(size=n)


def test_delongs_own_example():
    albumin, protein, kg, label = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    kg = 10 - kg
    found = {name: delong(label, score) for name, score in (("a", albumin), ("p", protein), ("k", kg))}
    assert [found[name].auroc for name in "apk"] == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert [found[name].standard_error for name in "apk"] == pytest.approx([0.0927, 0.1000, 0.1028], abs=5e-5)
    assert compare_auroc(label, albumin, kg) == pytest.approx((0.0108, -0.1761, 0.1976, 0.9102), abs=5e-5)
    assert compare_auroc(label, protein, kg) == pytest.approx((-0.0780, -0.2830, 0.1271, 0.4561), abs=5e-5)


def test_it_agrees_with_the_bootstrap_by_patient():
    label, a, b = two_models()
    patient = np.arange(200) // 2
    exact, drawn = compare_auroc(label, a, b, patient), bootstrap_difference(auroc, label, a, b, patient, 600)
    assert drawn.difference == pytest.approx(exact.difference)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert drawn.p == pytest.approx(exact.p, abs=0.02)


def test_scans_of_one_patient_are_no_new_evidence():
    label, a, b = two_models(80)
    once = compare_auroc(label, a, b)
    thrice = compare_auroc(*(np.tile(x, 3) for x in (label, a, b)), np.tile(np.arange(80), 3))
    assert thrice == pytest.approx(once)
    assert compare_auroc(*(np.tile(x, 3) for x in (label, a, b))).p < once.p


@given(pairs_of_scores)
def test_swapping_the_models_swaps_the_answer(rows):
    label, a, b, patient = (np.array(column) for column in zip(*rows, strict=True))
    ours, theirs = compare_auroc(label, a, b, patient), compare_auroc(label, b, a, patient)
    if label.all() or not label.any():
        assert np.isnan(ours).all()
        return
    assert theirs == pytest.approx((-ours.difference, -ours.high, -ours.low, ours.p), abs=1e-9)
    assert -1 <= ours.low <= ours.difference + 1e-9 and ours.difference - 1e-9 <= ours.high <= 1
    assert 0 <= ours.p <= 1
    assert compare_auroc(label[::-1], a[::-1], b[::-1], patient[::-1]) == pytest.approx(ours, abs=1e-9)
    assert compare_auroc(label, np.exp(a), b, patient) == pytest.approx(ours, abs=1e-9)


def test_equal_models_are_called_different_about_as_often_as_they_should():
    generator, called = np.random.default_rng(2), 0
    for _ in range(400):
        label, shared = np.repeat([0, 1], 40), generator.normal(size=80)
        a, b = (label + 0.7 * shared + 0.7 * generator.normal(size=80) for _ in range(2))
        called += compare_auroc(label, a, b).p < 0.05
    assert 0.015 < called / 400 < 0.09


def test_a_model_and_its_calibrated_self_do_not_differ():
    label, a, _ = two_models()
    assert compare_auroc(label, a, a) == compare_auroc(label, a, 1 / (1 + np.exp(-a))) == (0, 0, 0, 1)


def test_few_scans_that_both_rank_right_are_not_certainty():
    label = np.repeat([0, 1], 4)
    both = compare_auroc(label, np.arange(8), [1, 0, 2, 3, 4, 5, 6, 7], confidence=0.9)
    assert both == pytest.approx((0, 0.05**0.25 - 1, 1 - 0.05**0.25, 1))
    opposite = compare_auroc(label, np.arange(8), -np.arange(8), confidence=0.9)
    assert opposite == pytest.approx((1, 2 * 0.05**0.25 - 1, 1, 2 / 16))
    assert compare_auroc([0, 1, 1], [0, 1, 2], [1, 0, 2]).p == 1


def test_more_classes_take_the_mean():
    generator = np.random.default_rng(3)
    label = np.eye(3)[generator.integers(0, 3, 90)]
    a, b = label + generator.normal(size=(90, 3)), 0.5 * label + generator.normal(size=(90, 3))
    found = compare_auroc(label, a, b)
    assert found.difference == pytest.approx(delong(label, a).auroc - delong(label, b).auroc)


def test_any_metric_may_be_compared():
    label, a, b = two_models()
    a, b = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-4 * b))
    found = bootstrap_difference(brier_score_loss, label, a, b, n_bootstrap=200)
    assert found.low < found.difference < found.high < 0
    assert found.p == pytest.approx(2 / 201)
    assert np.isnan(bootstrap_difference(auroc, [1, 1], [0.1, 0.2], [0.2, 0.1], n_bootstrap=20).p)
