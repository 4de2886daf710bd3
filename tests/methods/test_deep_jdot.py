"""DeepJDOT against skada, POT, SciPy's assignment and finite differences."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from skada.deep.losses import deepjdot_loss
from torch.nn import functional as F

from medtl.methods.deep_jdot import DeepJDOT, losses_of_pairs, plan_of

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

RANDOM = np.random.default_rng(0)
SOURCE, LABEL, TARGET = RANDOM.normal(size=(5, 2)), np.array([0, 1, 2, 2, 0]), RANDOM.normal(1, 1, size=(5, 2))


def test_a_pairs_loss_is_the_cross_entropy_of_the_ones_label_at_the_other():
    logits = RANDOM.normal(size=(4, 3))
    found = losses_of_pairs(torch.from_numpy(LABEL), torch.from_numpy(logits))
    expected = [[-np.log(np.exp(row[y]) / np.exp(row).sum()) for row in logits] for y in LABEL]
    assert np.allclose(found, expected)


def test_a_pairs_loss_of_several_labels_is_the_mean_over_those_that_are_known():
    logits, label = torch.randn(4, 3).double(), torch.tensor([[1, 0, torch.nan], [0, 1, 1], [torch.nan] * 3]).double()
    found = losses_of_pairs(label, logits)
    assert float(found[0, 2]) == pytest.approx(float(F.binary_cross_entropy_with_logits(logits[2, :2], label[0, :2])))
    assert float(found[1, 3]) == pytest.approx(float(F.binary_cross_entropy_with_logits(logits[3], label[1])))
    assert torch.equal(found[2], torch.zeros(4).double())


def test_plan_is_the_cheapest_pairing():
    cost = torch.from_numpy(RANDOM.uniform(size=(6, 6)))
    rows, columns = linear_sum_assignment(cost)
    expected = np.zeros((6, 6))
    expected[rows, columns] = 1 / 6
    assert np.allclose(plan_of(cost), expected)


def test_plan_carries_all_of_unequally_many():
    plan = plan_of(torch.from_numpy(RANDOM.uniform(size=(6, 4))))
    assert np.allclose(plan.sum(1), 1 / 6) and np.allclose(plan.sum(0), 1 / 4)
    assert (plan >= 0).all() and not plan.requires_grad


def test_transport_is_skadas_and_pots():
    method = DeepJDOT(linear.classifier(), distance=0.3, label=0.6)
    given = {"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}
    found = method.losses(given, 0.5)["transport"]
    source, target = method(given["source"]), method(given["target"])
    weights = torch.full((5,), 0.2, dtype=torch.float64)
    theirs = deepjdot_loss(
        given["source"].label, target.logits, source.embedding, target.embedding, 0.3, 0.6, weights, weights
    )
    assert float(found.detach()) == pytest.approx(float(theirs.detach()), abs=1e-5)
    cost = 0.3 * torch.cdist(source.embedding, target.embedding) ** 2
    cost = cost + 0.6 * losses_of_pairs(given["source"].label, target.logits)
    assert float(found.detach()) == pytest.approx(float(ot.emd2([], [], cost.detach().numpy())), abs=1e-5)


def test_gradient_is_that_of_the_cost_along_the_plan():
    method = DeepJDOT(linear.classifier(), distance=0.3, label=0.6)
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, 0.5)
    sum(losses.values()).backward()
    w, h = linear.weights(method.classifier.backbone[1]), linear.weights(method.classifier.head)
    b = method.classifier.head.bias.detach().numpy()

    def whole(w: np.ndarray) -> float:  # the least over all plans: its slope is that along the best (Danskin)
        source, target = SOURCE @ w.T, TARGET @ w.T
        cost = 0.3 * ((source[:, None] - target[None]) ** 2).sum(2)
        cost = cost - 0.6 * np.log(linear.softmax(target @ h.T + b))[:, LABEL].T
        return linear.cross_entropy(source @ h.T + b, LABEL).mean() + float(ot.emd2([], [], cost))

    assert float(sum(losses.values()).detach()) == pytest.approx(whole(w))
    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(whole, w), atol=1e-6)
