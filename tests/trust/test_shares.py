"""Class shares of sites whose shares are known; consistent where nothing but the shares differs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.trust.shift import UNLABELLED, Seen
from medtl.trust.shift.label_shift import expected_shares, solved_shares
from medtl.trust.shift.shares import absent, class_shares

SIGNAL = 2.0


def site(n, shares, seed, too_sure=1.0):
    """Class k has its mean on axis k; the logits are the log-likelihoods, which softmax makes the even posterior."""
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), n, p=np.asarray(shares) / np.sum(shares))
    x = rng.normal(size=(n, len(shares))) + SIGNAL * np.eye(len(shares))[label]
    logits = too_sure * SIGNAL * x
    return Seen(logits, x, label)


def shares_of(target, source, task="multiclass", draws=0, **others):
    names = [chr(97 + k) for k in range(source.logits.shape[1])]
    told = np.arange(len(source.logits)), np.arange(len(target.logits))
    return class_shares(source, replace(target, label=None), task, names, *told, draws=draws, **others)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 1), min_size=2, max_size=4), st.integers(0, 99), st.floats(0.5, 3))
def test_consistent_where_only_the_shares_differ(weights, seed, too_sure):
    truth = np.array(weights) / sum(weights)
    k = len(truth)
    source, target = site(4000, np.ones(k), seed, too_sure), site(4000, truth, seed + 100, too_sure)
    actual = np.bincount(target.label, minlength=k) / 4000
    for each, share in zip(shares_of(target, source), actual, strict=True):
        assert each.em == pytest.approx(share, abs=0.03)
        assert each.bbse == pytest.approx(share, abs=0.04)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(2, 5), st.floats(1.1, 5))
def test_shares_are_shares_and_no_order_matters(seed, classes, too_sure):
    source, target = site(60, np.ones(classes), seed, too_sure), site(40, np.arange(1, classes + 1), seed + 1, too_sure)
    source.label[:classes] = range(classes)
    found = shares_of(target, source)
    for name in ("em", "bbse"):
        values = [getattr(each, name) for each in found]
        assert min(values) >= 0 and sum(values) == pytest.approx(1)
    turned = np.roll(np.arange(classes), 1)
    other = Seen(source.logits[:, turned], source.features, np.argsort(turned)[source.label])
    again = shares_of(Seen(target.logits[:, turned], target.features), other)
    assert [each.bbse for each in again] == pytest.approx([found[k].bbse for k in turned], abs=1e-3)
    assert [each.em for each in again] == pytest.approx([found[k].em for k in turned], abs=1e-3)


def test_expectation_maximisation_is_at_the_likelihoods_top():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 100)
    usual = (np.bincount(label) + 1) / 303
    here = rng.dirichlet([1, 1, 1], 80)

    def posterior(share):  # log-likelihood, and one scan of each class beforehand
        return np.sum(np.log(here @ (share / usual))) + np.sum(np.log(share))

    found = expected_shares(np.full((300, 3), 1 / 3), label, here)
    around = np.abs(found + 0.02 * rng.normal(size=(500, 3)))
    assert posterior(found) >= max(posterior(each / each.sum()) for each in around)


def test_black_box_estimate_solves_the_confusion():
    label = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    p = np.eye(2)[[0, 0, 0, 1, 1, 1, 1, 0]]  # three of four of each class are called right
    here = np.eye(2)[[0] * 35 + [1] * 65]
    # called 1: 3/4 of the share, and 1/4 of the rest: 0.65 = 0.25 + 0.5 share
    assert solved_shares(p, label, here) == pytest.approx([0.2, 0.8])


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = []
    for seed in range(30):
        source, target = site(150, [1, 1], seed), site(150, [1, 4], seed + 1000)
        yes = shares_of(target, source, "binary", draws=60, seed=seed)[1]
        held.append([yes.em_ci[0] <= 0.8 <= yes.em_ci[1], yes.bbse_ci[0] <= 0.8 <= yes.bbse_ci[1]])
    assert (np.mean(held, axis=0) >= 0.8).all()


def test_scans_of_a_patient_are_drawn_together():
    source, target = site(40, [1, 1], 0), site(40, [1, 3], 1)
    thrice = [Seen(*(np.repeat(each, 3, axis=0) for each in (seen.logits, seen.features, seen.label)))
              for seen in (source, target)]  # fmt: skip
    names = ["no", "yes"]
    patients = np.arange(40)
    once = class_shares(source, target, "binary", names, patients, patients, draws=100)[1]
    again = class_shares(*thrice, "binary", names, *2 * [np.repeat(patients, 3)], draws=100)[1]
    width, same = once.bbse_ci[1] - once.bbse_ci[0], again.bbse_ci[1] - again.bbse_ci[0]
    assert same == pytest.approx(width, rel=0.15)  # not narrower by the root of 3


def test_a_class_that_is_missing_is_told_and_one_that_is_rarer_is_not():
    told = {0: 0, 0.3: 0}
    for seed in range(10):
        source = site(300, [1, 1, 1, 1, 1], seed)
        for frequency in told:
            found = shares_of(site(400, [frequency, 1, 1, 1, 1], seed + 50), source, draws=40, seed=seed)
            told[frequency] += [each.name for each in absent(found)] == ["a"]
            assert not {each.name for each in absent(found)} - {"a"}
    assert told[0] >= 9 and told[0.3] <= 2


def test_several_labels_have_a_share_each():
    rng = np.random.default_rng(0)
    sites = []
    for share in ([0.5, 0.5], [0.2, 0.7]):
        label = (rng.random((3000, 2)) < share).astype(float)
        sites.append(Seen(4 * (label - 0.5) + 2 * rng.normal(size=(3000, 2)), label, label))
    source, target = sites
    source.label[:200, 0] = np.nan
    a, b = shares_of(target, source, "multilabel")
    assert (a.em, b.em) == (pytest.approx(0.2, abs=0.03), pytest.approx(0.7, abs=0.03))
    assert (a.source, a.predicted) == (pytest.approx(0.5, abs=0.03), np.mean(target.logits[:, 0] > 0))


@pytest.mark.parametrize("name", ["label-shift", "bbse"])
def test_the_corrected_prior_is_the_targets(name):
    source, target = site(3000, [1, 1], 0, too_sure=2), site(3000, [1, 4], 1, too_sure=2)
    fitted = UNLABELLED[name](source, replace(target, label=None), "binary")
    assert np.exp(fitted.bias[1] - fitted.bias[0]) == pytest.approx(4, rel=0.2)
    assert fitted(target.logits, "binary")[:, 1].mean() == pytest.approx(0.8, abs=0.02)
