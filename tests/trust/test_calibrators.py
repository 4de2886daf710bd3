"""Calibrators against scikit-learn, known temperatures, and sets that are too small or too easy."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from medtl.measures import brier, ece_expected_if_perfect, excess_ece, nll
from medtl.trust import CALIBRATORS, fit_platt, fit_temperature, probabilities_of
from medtl.trust.calibrators import map_from_dict, map_to_dict
from medtl.trust.calibrators.likelihood import loss_of, truth_of

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
    found = fit_temperature(*sample(8000, truth, classes=classes), "multiclass")
    assert found.temperature == pytest.approx(truth, rel=0.06)
    assert found.bias == ()


def test_the_temperature_is_the_minimum_of_the_nll():
    logits, label = sample(4000, 2.5)
    best = minimize_scalar(lambda t: -log_softmax(logits / t, axis=1)[np.arange(4000), label].mean(), (1, 3)).x
    assert fit_temperature(logits, label, "binary").temperature == pytest.approx(best, rel=0.005)


def test_platt_is_a_logistic_regression_of_the_margin():
    logits, label = sample(4000, 2.0, bias=-1.0)
    found = fit_platt(logits, label, "binary")
    temperature, bias = found.temperature, found.bias
    margin = (logits[:, 1] - logits[:, 0])[:, None]
    theirs = LogisticRegression(C=1e6).fit(margin, label)
    assert 1 / temperature == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert bias[1] - bias[0] == pytest.approx(theirs.intercept_[0], abs=0.02)


def test_several_labels_each_have_a_bias_and_the_unknown_do_not_count():
    logits = RNG.normal(0, 2, (6000, 3))
    shift = np.array([0.0, -1.0, 1.0])
    label = (RNG.random((6000, 3)) < 1 / (1 + np.exp(-(logits / 2 + shift)))).astype(float)
    label[RNG.random((6000, 3)) < 0.3] = np.nan
    found = fit_platt(logits, label, "multilabel")
    assert found.temperature == pytest.approx(2, rel=0.1)
    np.testing.assert_allclose(found.bias, shift, atol=0.12)


@pytest.mark.parametrize("name", ["temperature", "platt"])
def test_perfectly_ranked_and_one_class_sets_stay_finite(name):
    fit = CALIBRATORS[name]
    perfect = np.array([[2.0, -2], [2, -2], [-2, 2], [-2, 2]])
    assert 0.3 < fit(perfect, np.array([0, 0, 1, 1]), "binary").temperature < 1.5
    wrong = fit(np.tile(perfect, (20, 1)) * 10, np.tile([1, 1, 0, 0], 20), "binary")
    assert 10 < wrong.temperature <= 20
    assert fit(perfect, np.array([1, 1, 1, 1]), "binary").temperature == 1.0
    assert fit(perfect[:1], np.array([1]), "binary").temperature == 1.0


@pytest.mark.parametrize("name", CALIBRATORS)
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_every_map_is_sure_of_nothing_after_few_scans_and_stays_the_same_in_json(name, task, classes):
    generator = np.random.default_rng(3)
    logits, others = 4 * generator.normal(size=(24, classes)), 9 * generator.normal(size=(500, classes))
    label = logits.argmax(axis=1)  # ranked without a fault: unguarded, the likelihood has no end
    if task == "multilabel":
        label = np.where(generator.random(logits.shape) < 0.2, np.nan, logits > 0)
    found = CALIBRATORS[name](logits, label, task)
    p = found(others, task)
    assert p.shape == (500, classes) and np.isfinite(p).all()
    if task != "multilabel":
        np.testing.assert_allclose(p.sum(axis=1), 1)
    again = map_from_dict(json.loads(json.dumps(map_to_dict(found), allow_nan=False)))
    assert again == found
    np.testing.assert_array_equal(again(others, task), p)
    one = np.where(np.isnan(label), np.nan, 1) if task == "multilabel" else np.ones(24, int)
    assert np.isfinite(CALIBRATORS[name](logits, one, task)(others, task)).all()


@pytest.mark.parametrize("name", ["temperature", "platt", "vector", "beta", "isotonic", "temperatures"])
def test_of_two_classes_no_ranking_changes_where_it_is_said(name):
    for seed in range(20):
        generator = np.random.default_rng(seed)
        logits, label = 4 * generator.normal(size=(30, 2)), generator.integers(0, 2, 30)
        others = 3 * generator.normal(size=(300, 2))
        p = CALIBRATORS[name](logits, label, "binary")(others, "binary")[:, 1]
        rising = p[np.argsort(others[:, 1] - others[:, 0])]
        assert (np.diff(rising) >= 0).all() and len(np.unique(rising)) > 290


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(2, 40), st.floats(0.1, 30), st.integers(0, 10_000))
def test_bounds_and_unchanged_ranks(classes, n, size, seed):
    generator = np.random.default_rng(seed)
    logits, label = size * generator.normal(size=(n, classes)), generator.integers(0, classes, n)
    found = fit_temperature(logits, label, "multiclass")
    assert 0.05 <= found.temperature <= 20 + 1e-9
    p = found(logits, "multiclass")
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(p.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("name", ["temperature", "platt", "vector", "beta", "temperatures"])
def test_fifty_scans_improve_an_overconfident_model_on_others(name):
    generator, gain = np.random.default_rng(1), []
    for _ in range(60):
        logits, label = sample(50, 3.0, generator=generator)
        others, truth = sample(500, 3.0, generator=generator)
        raw = probabilities_of(others, "binary")
        fitted = CALIBRATORS[name](logits, label, "binary")(others, "binary")
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
        p = CALIBRATORS[name](logits, label, "binary")(others, "binary")
        excess.append(excess_ece(truth, p))
    assert np.mean(excess) <= most


def test_no_temperature_follows_another_prevalence():
    logits, label = sample(4000, 2.0, bias=-2.0)
    by_temperature = fit_temperature(logits, label, "binary")(logits, "binary")
    by_platt = fit_platt(logits, label, "binary")(logits, "binary")
    assert excess_ece(label, by_platt) < 0.01 < 0.1 < excess_ece(label, by_temperature)
    assert ece_expected_if_perfect(by_platt) < 0.03


def test_beta_is_a_logistic_regression_of_both_logarithms():
    logits, label = sample(4000, 2.0, bias=-0.5)
    found = CALIBRATORS["beta"](logits, label, "binary")
    log_p, log_rest = (-np.logaddexp(0, sign * (logits[:, 1] - logits[:, 0])) for sign in (-1, 1))
    theirs = LogisticRegression(C=1e6, max_iter=1000).fit(np.c_[log_p, -log_rest], label)
    np.testing.assert_allclose([found.a[0], found.b[0]], theirs.coef_[0], atol=0.05)
    assert found.c[0] == pytest.approx(theirs.intercept_[0], abs=0.05)


def test_vector_scaling_of_two_classes_is_beta_calibration():
    logits, label = sample(3000, 2.0, bias=-0.5)
    others = RNG.normal(0, 3, (100, 2))
    vector, beta = (CALIBRATORS[name](logits, label, "binary")(others, "binary") for name in ("vector", "beta"))
    np.testing.assert_allclose(vector, beta, atol=0.03)


def test_the_matrix_unmixes_classes_that_the_model_takes_for_one_another():
    logits, label = sample(1500, 1.0, classes=3)
    mixed = logits @ np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    fits = {name: CALIBRATORS[name](mixed[:1000], label[:1000], "multiclass") for name in ("temperature", "matrix")}
    by_name = {name: nll(label[1000:], fitted(mixed[1000:], "multiclass")) for name, fitted in fits.items()}
    assert by_name["matrix"] < by_name["temperature"] - 0.2
    few = CALIBRATORS["matrix"](*sample(30, classes=3, generator=np.random.default_rng(4)), "multiclass")
    assert np.abs(np.asarray(few.weight) - np.diag(np.diag(few.weight))).max() < 0.5


def test_isotonic_is_scikit_learns_curve_and_a_tenth_of_the_temperature():
    logits, label = sample(45, 2.0, generator=np.random.default_rng(5))
    told = fit_temperature(logits, label, "binary")(logits, "binary")[:, 1]
    curve = IsotonicRegression().fit(told, label).predict(told)
    found = CALIBRATORS["isotonic"](logits, label, "binary")(logits, "binary")[:, 1]
    np.testing.assert_allclose(found, 0.9 * curve + 0.1 * told, atol=1e-9)


def test_a_bin_says_the_share_of_its_scans_drawn_to_the_temperature():
    logits, label = sample(80, 2.0, generator=np.random.default_rng(6))
    told = fit_temperature(logits, label, "binary")(logits, "binary")[:, 1]
    found = CALIBRATORS["histogram"](logits, label, "binary")(logits, "binary")[:, 1]
    order = np.argsort(told)
    for rows in (order[:20], order[20:40], order[40:60], order[60:]):
        expected = (label[rows].sum() + 5 * told[rows].mean()) / 25
        np.testing.assert_allclose(np.median(found[rows]), expected, atol=0.03)


def test_the_ensemble_finds_the_share_of_scans_that_are_anything():
    logits, label = sample(6000, 1.0, classes=4)
    anything = RNG.random(6000) < 0.3
    label = np.where(anything, RNG.integers(0, 4, 6000), label)
    found = CALIBRATORS["temperatures"](4 * logits, label, "multiclass")
    usual = fit_temperature(4 * logits, label, "multiclass")
    assert found.weight[2] > 0.02 and sum(found.weight) == pytest.approx(1)
    assert nll(label, found(4 * logits, "multiclass")) < nll(label, usual(4 * logits, "multiclass"))


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_the_slope_of_the_likelihood_is_that_of_finite_differences(task):
    z = RNG.normal(size=(6, 2))
    truth = truth_of(np.array([0, 1, 1, 0, 1, 0]), 2, "binary")
    if task == "multilabel":
        truth[2, 0] = np.nan
    weight = RNG.random(6) + 0.5
    _, slope = loss_of(z, truth, task, weight)
    for place in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[place] = 1e-5
        rise = loss_of(z + step, truth, task, weight)[0] - loss_of(z - step, truth, task, weight)[0]
        assert slope[place] == pytest.approx(rise / 2e-5, abs=1e-6)
