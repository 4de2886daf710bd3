"""A model is trained on classes dealt alike: what it expects is put in once, taken out before it learns on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from medtl.models import Classifier
from medtl.training.adaptation import _agreement, _information, weights_signature
from medtl.training.config import Config
from medtl.training.loop import Plan
from medtl.training.roles import expect_prior_of, forget_prior, labelled_role, prior_of, unlabelled_role


class Flat(nn.Module):
    num_features = 4

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flatten(1)


def cohort(label: np.ndarray, site: np.ndarray | None = None, classes: int = 2) -> Any:
    site = np.zeros(len(label), int) if site is None else site
    return SimpleNamespace(label=label, site=site, classes=tuple("abcd"[:classes]), multilabel=label.ndim == 2)


def test_what_is_expected_can_be_forgotten() -> None:
    model, few = Classifier(Flat(), 2, bottleneck=8), cohort(np.repeat([0, 1], [30, 10]))
    before = model.head.bias.detach().clone()
    expect_prior_of(model, few)
    assert not torch.allclose(model.head.bias, before)
    forget_prior(model, prior_of(few))
    assert torch.allclose(model.head.bias, before)


def test_a_class_that_more_sites_have_is_dealt_more_often() -> None:
    """Two sites have class 0, one has class 1: two decks in three are of class 0, which is no prior to correct to."""
    label, site = np.repeat([0, 0, 1], [100, 99, 99]), np.repeat([0, 1, 1], [100, 99, 99])
    prior = prior_of(cohort(label, site))
    assert prior[1] - prior[0] == pytest.approx(np.log(100 / 200) - np.log(1 / 2))


def test_several_labels_a_scan_are_judged_each_for_itself() -> None:
    several, one = cohort(np.zeros((400, 2))), cohort(np.zeros(400, int))
    logits = np.random.default_rng(0).normal(0, 4, (400, 2)).astype(np.float32)
    both = np.repeat(logits[:, :1], 2, axis=1)  # sure of both labels or of neither: a softmax would see nothing
    assert _information(both, several) > 0.3
    assert _information(both, one) == pytest.approx(0, abs=1e-6)
    assert _agreement(both, logits, several) == pytest.approx((1 + np.corrcoef(logits.T)[0, 1]) / 2, abs=0.05)


def test_models_do_not_agree_because_a_class_is_rare() -> None:
    random = np.random.default_rng(0)
    a, b = (random.normal([0, 5, 10], 1, (300, 3)) for _ in range(2))
    assert abs(_agreement(a, b, cohort(np.zeros(300, int), classes=3))) < 0.15


def test_the_signature_of_the_weights_changes_with_them() -> None:
    model = Classifier(Flat(), 2, bottleneck=8)
    before = weights_signature(model)
    assert before == weights_signature(model)
    expect_prior_of(model, cohort(np.repeat([0, 1], [3, 1])))
    assert before != weights_signature(model)


# ---- what is dealt, and the prior that goes with it --------------------------------------------------------------
@pytest.fixture(scope="module")
def hospital() -> Any:
    """Two sites, the second smaller and sicker; patients with one to nine scans, each of one class."""
    random = np.random.default_rng(0)
    scans = random.integers(1, 10, 90)
    ill = np.repeat(random.random(90) < np.repeat([0.2, 0.6], [60, 30]), scans).astype(int)
    site = np.repeat(np.repeat([0, 1], [60, 30]), scans)
    made = cohort(ill, site)
    made.patient = np.repeat([f"p{number:02}" for number in range(90)], scans)
    made.recipe = SimpleNamespace(flip=False, flip_vertical=False, name="drawn")
    return made


BALANCES = [
    (),
    ("class",),
    ("site",),
    ("patient",),
    ("class", "site"),
    ("site", "patient"),
    ("class", "site", "patient"),
]


@pytest.mark.parametrize("balance", BALANCES)
def test_the_prior_is_the_log_of_seen_over_what_is_dealt(hospital, balance: tuple[str, ...]) -> None:
    config = Config(balance=balance)
    role = labelled_role(hospital, config, Plan(1, batch=30), 0)
    dealt = np.concatenate([role.deal.rows(step) for step in range(3000)])
    share = np.bincount(hospital.label[dealt]) / len(dealt)
    seen = np.bincount(hospital.label) / len(hospital.label)
    prior = prior_of(hospital, balance)
    assert prior[1] - prior[0] == pytest.approx(np.log(seen[1] / seen[0]) - np.log(share[1] / share[0]), abs=0.03)
    if not balance:
        assert np.allclose(prior, 0)


@pytest.mark.parametrize("balance", BALANCES)
def test_what_the_balance_names_is_dealt_equally_often(hospital, balance: tuple[str, ...]) -> None:
    config = Config(balance=balance)
    for role in (labelled_role, unlabelled_role):
        deal = role(hospital, config, Plan(1, batch=30), 0).deal
        dealt = np.concatenate([deal.rows(step) for step in range(3000)])
        sites, classes = np.bincount(hospital.site[dealt]), np.bincount(hospital.label[dealt])
        patients = np.unique(hospital.patient[dealt], return_counts=True)[1]
        assert (np.ptp(sites) < 0.02 * len(dealt)) == ("site" in balance)
        if role is labelled_role:
            assert (np.ptp(classes) < 0.02 * len(dealt)) == ("class" in balance)
        assert len(patients) == 90
        if balance == ("patient",):
            assert np.ptp(patients) <= 1


def test_the_target_is_dealt_without_its_labels(hospital) -> None:
    role = unlabelled_role(hospital, Config(), Plan(1, batch=30), 0)
    blind = SimpleNamespace(**{**vars(hospital), "label": np.full(len(hospital.label), -1)})
    assert not role.labelled
    same = unlabelled_role(blind, Config(), Plan(1, batch=30), 0)
    assert all(np.array_equal(role.deal.rows(step), same.deal.rows(step)) for step in range(20))
