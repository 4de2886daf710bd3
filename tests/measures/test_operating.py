"""Operating points against scikit-learn, Bayes' rule by hand, and what a target must mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from medtl.errors import InputError
from medtl.measures import apply_threshold, operating_point, predictive_values, youden_threshold

both_classes = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=50).filter(
    lambda pairs: len({positive for positive, _ in pairs}) == 2
)


def example(n=300):
    generator = np.random.default_rng(0)
    label = (generator.random(n) < 0.3).astype(int)
    return label, label + generator.normal(size=n)


def test_a_threshold_by_hand():
    point = apply_threshold([1, 1, 1, 1, 0, 0], [0.9, 0.5, 0.4, 0.1, 0.6, 0.2], 0.5)
    assert (point.sensitivity, point.specificity, point.ppv, point.npv) == pytest.approx((0.5, 0.5, 2 / 3, 1 / 3))
    assert (point.n_positive, point.n_negative, point.prevalence) == (4, 2, pytest.approx(2 / 3))
    assert point.name == "threshold=0.5"


def test_at_the_scans_own_prevalence_the_predictive_values_are_scikit_learns():
    label, score = example()
    point = apply_threshold(label, score, 0.4)
    called = score >= 0.4
    assert point.sensitivity == pytest.approx(sk.recall_score(label, called))
    assert point.specificity == pytest.approx(sk.recall_score(label, called, pos_label=0))
    assert point.ppv == pytest.approx(sk.precision_score(label, called))
    assert point.npv == pytest.approx(sk.precision_score(label, called, pos_label=0))
    assert point.sensitivity_ci[0] < point.sensitivity < point.sensitivity_ci[1]


def test_bayes_rule_by_hand():
    # Of 10,000 people 100 are ill: 90 found, 10 missed, 891 false alarms, 9009 rightly passed.
    assert predictive_values(0.9, 0.91, 0.01) == pytest.approx((90 / 981, 9009 / 9019))
    label, score = example()
    screening = apply_threshold(label, score, 0.4, prevalence=0.01)
    assert screening.ppv < apply_threshold(label, score, 0.4).ppv
    assert screening.prevalence == 0.01
    assert np.isnan(predictive_values(0.0, 1.0, 0.2)[0])
    assert predictive_values(0.5, float("nan"), 1.0) == (1.0, 0.0)


@given(both_classes, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_the_target_is_reached_and_nothing_better_reaches_it(pairs, target):
    label, score = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    cuts = np.r_[np.unique(score), np.inf]
    hit = np.array([np.mean(score[label == 1] >= cut) for cut in cuts])
    passed = np.array([np.mean(score[label == 0] < cut) for cut in cuts])
    point = operating_point(label, score, f"specificity={target}")
    assert point.specificity >= target
    assert point.sensitivity == pytest.approx(hit[passed >= target - 1e-12].max())
    point = operating_point(label, score, f"sensitivity={target}")
    assert point.sensitivity >= target
    assert point.specificity == pytest.approx(passed[hit >= target - 1e-12].max())
    assert operating_point(label, score, "youden").sensitivity + operating_point(
        label, score, "youden"
    ).specificity == pytest.approx((hit + passed).max())


def test_the_threshold_lies_midway_and_above_all_where_it_must():
    assert operating_point([0, 1], [0.2, 0.6], "specificity=1").threshold == pytest.approx(0.4)
    assert operating_point([0, 1], [0.2, 0.6], "sensitivity=1").threshold == pytest.approx(0.4)
    strict = operating_point([1, 0], [0.2, 0.6], "specificity=1")
    assert strict.threshold > 0.6 and strict.sensitivity == 0 and np.isnan(strict.ppv)
    assert youden_threshold([0, 0, 1], [0.1, 0.3, 0.9]) == pytest.approx(0.6)
    # Neighbouring floats have nothing between them.
    close = np.nextafter(0.5, 1)
    assert operating_point([0, 1], [0.5, close], "specificity=1").threshold == close


def test_unlabelled_scans_are_left_out_and_the_name_is_what_was_asked():
    label, score = example()
    with_more = np.r_[label, -1, -1], np.r_[score, 9, -9]
    for at in ("specificity=0.90", "sensitivity=0.95", "youden", "threshold=0.3"):
        point = operating_point(label, score, at)
        assert point == operating_point(*with_more, at)
        assert point.name == at


def test_scans_of_one_patient_are_no_new_evidence():
    label, score = example()
    alone = apply_threshold(label, score, 0.5, np.arange(300))
    assert alone == apply_threshold(label, score, 0.5)
    twice = apply_threshold(np.tile(label, 2), np.tile(score, 2), 0.5, np.tile(np.arange(300), 2))
    assert twice.sensitivity_ci == pytest.approx(alone.sensitivity_ci, abs=0.005)


@pytest.mark.parametrize("at", ["specifity=0.9", "sensitivity", "sensitivity=95", "youden=1", "specificity=x", ""])
def test_what_is_no_operating_point_is_said(at):
    with pytest.raises(InputError, match="youden"):
        operating_point([0, 1], [0, 1], at)


def test_a_class_that_is_not_there():
    with pytest.raises(InputError, match="without any negative scan"):
        operating_point([1, 1], [0.2, 0.3], "specificity=0.9")
    with pytest.raises(InputError, match="without any positive scan"):
        operating_point([0, -1], [0.2, 0.3], "youden")
    point = apply_threshold([1, 1], [0.2, 0.7], 0.5)
    assert point.sensitivity == 0.5 and np.isnan(point.specificity) and np.isnan(point.specificity_ci).all()
    with pytest.raises(InputError, match="prevalence of 5"):
        apply_threshold([1, 0], [0.2, 0.7], 0.5, prevalence=5)
