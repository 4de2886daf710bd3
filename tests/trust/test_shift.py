"""Calibrated without a label: shifts whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from medtl.measures import excess_ece, nll
from medtl.trust import fit_temperature
from medtl.trust.shift import UNLABELLED, Seen
from medtl.trust.shift.seen import right, temperature_for
from medtl.trust.shift.witness import LEAST, fit_witness


def site(n, seed, signal=1.0, share=0.5, offset=0.0, classes=2):
    """A site whose logits are 3 times too sure, and a witness that sees the same signal through other noise.

    `signal`: how much of it is left; `offset`: what the pictures add to the last class's logit.
    """
    rng = np.random.default_rng(seed)
    shares = np.r_[np.full(classes - 1, (1 - share) / (classes - 1)), share]
    label = rng.choice(classes, n, p=shares)
    truth = signal * 2.0 * np.eye(classes)[label]
    logits, witness = (3 * (truth + rng.normal(size=(n, classes)) + offset * np.eye(classes)[-1]) for _ in range(2))
    return Seen(logits, np.c_[truth, rng.normal(size=(n, 4))], label, witness)


def bare(seen):
    return replace(seen, label=None)


def error(fitted, seen, task="binary"):
    return excess_ece(seen.label, fitted(seen.logits, task))


@pytest.mark.parametrize("name", UNLABELLED)
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_every_way_gives_probabilities_for_every_task(name, task, classes):
    source, target = site(200, 0, classes=classes), site(150, 1, 0.5, classes=classes)
    if task == "multilabel":
        label = np.eye(classes)[source.label]
        label[:20] = np.nan
        source = replace(source, label=label)
    fitted = UNLABELLED[name](source, bare(target), task)
    p = fitted(target.logits, task)
    assert p.shape == (150, classes) and np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1
    again = UNLABELLED[name](source, bare(target), task)(target.logits, task)
    np.testing.assert_array_equal(p, again)


@pytest.mark.parametrize("name", UNLABELLED)
def test_no_way_reads_the_targets_labels(name):
    source, target = site(200, 0), site(150, 1, 0.5)
    told = UNLABELLED[name](source, replace(target, label=1 - target.label), "binary")
    assert told == UNLABELLED[name](source, bare(target), "binary")


def test_the_witness_tells_that_the_signal_is_lost():
    source, target = site(2000, 0), site(2000, 1, signal=0.2)
    usual = fit_temperature(source.logits, source.label, "binary")
    fitted = fit_witness(source, bare(target), "binary")
    assert fitted.temperature > LEAST * usual.temperature
    assert error(usual, target) > 0.15 and error(fitted, target) < 0.05
    assert nll(target.label, fitted(target.logits, "binary")) < nll(target.label, usual(target.logits, "binary"))


def test_without_a_witness_or_with_one_that_agrees_the_rise_is_the_least():
    source = site(2000, 0)
    usual = fit_temperature(source.logits, source.label, "binary").temperature
    alone = fit_witness(replace(source, witness=None), bare(site(500, 1, 0.2)), "binary")
    agrees = fit_witness(source, bare(replace(source, witness=source.logits)), "binary")
    assert alone.temperature == pytest.approx(LEAST * usual) == pytest.approx(agrees.temperature)


def test_what_the_pictures_add_is_taken_out_by_three_quarters():
    source, moved = site(4000, 0, share=0.3), site(4000, 1, share=0.3, offset=2.0)
    temperature = fit_temperature(source.logits, source.label, "binary").temperature
    fitted = fit_witness(source, bare(moved), "binary")
    home, here, usual = (
        np.log(p.mean() / (1 - p.mean()))
        for p in (
            fit_temperature(source.logits, source.label, "binary")(source.logits, "binary")[:, 1],
            fitted(moved.logits, "binary")[:, 1],
            fit_temperature(source.logits, source.label, "binary")(moved.logits, "binary")[:, 1],
        )
    )
    assert fitted.temperature >= LEAST * temperature
    assert home < here < home + 0.5 * (usual - home)
    assert error(fitted, moved) < error(fit_temperature(source.logits, source.label, "binary"), moved) - 0.05


@pytest.mark.parametrize("name", ["label-shift", "bbse"])
@pytest.mark.parametrize("classes", [2, 3])
def test_another_prevalence_is_found_where_nothing_else_differs(name, classes):
    task = "binary" if classes == 2 else "multiclass"
    source, target = site(6000, 0, classes=classes), site(6000, 1, share=0.1, classes=classes)
    fitted = UNLABELLED[name](source, bare(target), task)
    assert fitted(target.logits, task)[:, -1].mean() == pytest.approx(0.1, abs=0.02)
    assert error(fitted, target, task) < 0.02
    usual = fit_temperature(source.logits, source.label, task)
    assert nll(target.label, fitted(target.logits, task)) < nll(target.label, usual(target.logits, task)) - 0.02


@pytest.mark.parametrize("name", ["cpcs", "transcal"])
def test_weights_follow_where_the_target_lies(name):
    """Half of what the source holds is easy and half is noise; the target holds the noise alone."""
    rng = np.random.default_rng(0)

    def made(n, noisy):
        hard = rng.random(n) < noisy
        label = rng.integers(0, 2, n)
        margin = np.where(hard, rng.normal(0, 3, n), np.where(label == 1, 4.0, -4.0))
        features = np.c_[3.0 * hard + rng.normal(size=n), rng.normal(size=(n, 3))]
        return Seen(np.stack([-margin / 2, margin / 2], axis=1), features, label)

    source, target = made(3000, 0.5), made(3000, 1.0)
    usual = fit_temperature(source.logits, source.label, "binary")
    assert error(UNLABELLED[name](source, bare(target), "binary"), target) < error(usual, target) - 0.05


def test_the_temperature_is_as_sure_as_it_is_told():
    seen = site(500, 3, classes=3)
    temperature = temperature_for(seen.logits, "multiclass", 0.6)
    z = np.exp(seen.logits / temperature)
    assert (z / z.sum(axis=1, keepdims=True)).max(axis=1).mean() == pytest.approx(0.6, abs=1e-6)
    assert right(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), "binary").tolist() == [1.0, 0.0]
    several = right(np.array([[1.0, -1.0]]), np.array([[1.0, np.nan]]), "multilabel")
    assert several.tolist() == [1.0]
