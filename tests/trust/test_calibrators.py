"""Calibrators against scikit-learn, known temperatures, and sets that are too small or too easy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from medtl.measures import brier, ece_expected_if_perfect, excess_ece, nll
from medtl.trust import CALIBRATORS, fit_platt, fit_temperature, probabilities_of

RNG = np.random.default_rng(0)


def sample(n, temperature=1.0, bias=0.0, classes=2, generator=RNG):
    """Logits and labels such that softmax(logits / temperature + (0, bias)) is the truth."""
    true = generator.normal(0, 1.5, (n, classes))
    shifted = true - np.eye(classes)[1] * -bias
    label = (shifted + generator.gumbel(size=true.shape)).argmax(axis=1)
    return true * temperature, label


@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_temperature_is_found(truth, classes):
    temperature, bias = fit_temperature(*sample(8000, truth, classes=classes), "multiclass")
    assert temperature == pytest.approx(truth, rel=0.06)
    assert bias == ()


def test_the_temperature_is_the_minimum_of_the_nll():
    logits, label = sample(4000, 2.5)
    best = minimize_scalar(lambda t: -log_softmax(logits / t, axis=1)[np.arange(4000), label].mean(), (1, 3)).x
    assert fit_temperature(logits, label, "binary")[0] == pytest.approx(best, rel=0.005)


def test_platt_is_a_logistic_regression_of_the_margin():
    logits, label = sample(4000, 2.0, bias=-1.0)
    temperature, bias = fit_platt(logits, label, "binary")
    margin = (logits[:, 1] - logits[:, 0])[:, None]
    theirs = LogisticRegression(C=1e6).fit(margin, label)
    assert 1 / temperature == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert bias[1] - bias[0] == pytest.approx(theirs.intercept_[0], abs=0.02)


def test_several_labels_each_have_a_bias_and_the_unknown_do_not_count():
    logits = RNG.normal(0, 2, (6000, 3))
    shift = np.array([0.0, -1.0, 1.0])
    label = (RNG.random((6000, 3)) < 1 / (1 + np.exp(-(logits / 2 + shift)))).astype(float)
    label[RNG.random((6000, 3)) < 0.3] = np.nan
    temperature, bias = fit_platt(logits, label, "multilabel")
    assert temperature == pytest.approx(2, rel=0.1)
    np.testing.assert_allclose(bias, shift, atol=0.12)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_perfectly_ranked_and_one_class_sets_stay_finite(name):
    fit = CALIBRATORS[name]
    perfect = np.array([[2.0, -2], [2, -2], [-2, 2], [-2, 2]])
    temperature, _ = fit(perfect, np.array([0, 0, 1, 1]), "binary")
    assert 0.3 < temperature < 1.5
    wrong, _ = fit(np.tile(perfect, (20, 1)) * 10, np.tile([1, 1, 0, 0], 20), "binary")
    assert 10 < wrong <= 20
    assert fit(perfect, np.array([1, 1, 1, 1]), "binary")[0] == 1.0
    assert fit(perfect[:1], np.array([1]), "binary")[0] == 1.0


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(2, 40), st.floats(0.1, 30), st.integers(0, 10_000))
def test_bounds_and_unchanged_ranks(classes, n, size, seed):
    generator = np.random.default_rng(seed)
    logits, label = size * generator.normal(size=(n, classes)), generator.integers(0, classes, n)
    temperature, bias = fit_temperature(logits, label, "multiclass")
    assert 0.05 <= temperature <= 20 + 1e-9
    p = probabilities_of(logits, "multiclass", temperature, bias)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("name", CALIBRATORS)
def test_fifty_scans_improve_an_overconfident_model_on_others(name):
    generator, gain = np.random.default_rng(1), []
    for _ in range(60):
        logits, label = sample(50, 3.0, generator=generator)
        others, truth = sample(500, 3.0, generator=generator)
        raw = probabilities_of(others, "binary")
        fitted = probabilities_of(others, "binary", *CALIBRATORS[name](logits, label, "binary"))
        gain.append((nll(truth, raw) - nll(truth, fitted), brier(truth, raw) - brier(truth, fitted)))
    assert (np.array(gain) > 0).mean() > 0.94


@pytest.mark.parametrize(
    ("bias", "name", "most"), [(0, "temperature", 0.03), (0, "platt", 0.04), (-1.5, "platt", 0.04)]
)
def test_the_calibration_error_after_fifty_scans_is_near_a_perfect_models(bias, name, most):
    generator, excess = np.random.default_rng(2), []
    for _ in range(60):
        logits, label = sample(50, 2.0, bias, generator=generator)
        others, truth = sample(160, 2.0, bias, generator=generator)
        p = probabilities_of(others, "binary", *CALIBRATORS[name](logits, label, "binary"))
        excess.append(excess_ece(truth, p))
    assert np.mean(excess) <= most


def test_no_temperature_follows_another_prevalence():
    logits, label = sample(4000, 2.0, bias=-2.0)
    by_temperature = probabilities_of(logits, "binary", *fit_temperature(logits, label, "binary"))
    by_platt = probabilities_of(logits, "binary", *fit_platt(logits, label, "binary"))
    assert excess_ece(label, by_platt) < 0.01 < 0.1 < excess_ece(label, by_temperature)
    assert ece_expected_if_perfect(by_platt) < 0.03
