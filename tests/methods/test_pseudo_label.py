"""Pseudo-labels: whom the thresholds let through, and the loss, class by class in NumPy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import Batch
from medtl.methods.pseudo_label import NONE, PseudoLabel, surest
from medtl.models import Classifier


def test_six_scans_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.7, 0.3], [0.45, 0.55]])
    assert surest(p, 0.5).tolist() == [
        0,
        NONE,
        1,
        0,
        NONE,
        NONE,
    ]  # of four called 0 the two surest, of two called 1 one
    assert surest(p, 0.01).tolist() == [0, NONE, 1, NONE, NONE, NONE]
    assert surest(p, 1.0).tolist() == [0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("share", [0.2, 0.37, 0.5, 1.0])
def test_each_class_has_a_threshold_of_its_own(share):
    random = np.random.default_rng(0)
    p = random.dirichlet([4, 1, 0.5], 200)
    found = surest(torch.from_numpy(p), share).numpy()
    called = p.argmax(1)
    for k in range(3):
        confidence = np.sort(p[called == k, k])[::-1]
        threshold = confidence[int(np.ceil(share * len(confidence))) - 1]
        assert np.array_equal(found == k, (called == k) & (p[:, k] >= threshold))


class Rows:
    """A cohort of vectors of four."""

    multilabel = False

    def __init__(self, n: int) -> None:
        self.stack = np.random.default_rng(1).normal(size=(n, 1, 2, 2)).astype(np.float32)
        self.bag_sizes = np.ones(n, int)

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i][None]


def method(classes: int = 3, **options: float) -> PseudoLabel:
    torch.manual_seed(0)
    backbone = nn.Flatten()
    backbone.num_features = 4  # type: ignore[assignment]
    return PseudoLabel(Classifier(backbone, classes, bottleneck=5, dropout=0.0), **options)


def test_loss_is_balanced_over_classes_and_grows_with_the_number_of_labels():
    made = method(weight=2.0, first=0.5, last=0.5)
    cohort = Rows(60)
    made.prepare({"target": SimpleNamespace(cohort=cohort)}, 0.0)
    label = made.pseudo_label.numpy()
    rows = torch.arange(10, 30)
    target = Batch(torch.from_numpy(cohort.stack[10:30]), torch.arange(20), None, rows, rows)
    source = target._replace(label=rows % 3)
    made.eval()
    losses = made.losses({"source": source, "target": target}, 0.5)
    p = made(target).logits.softmax(1).detach().numpy()
    present = [k for k in range(3) if (label == k).any()]
    total = 0.0
    for i, row in enumerate(rows.tolist()):
        if label[row] != NONE:
            weight = (label != NONE).sum() / (len(present) * (label == label[row]).sum())
            total -= weight * np.log(p[i, label[row]])
    assert len(present) > 1 and float(losses["pseudo_label"]) == pytest.approx(2 * total / 20, rel=1e-5)


def test_batch_without_a_pseudo_label_costs_nothing():
    made = method()
    made.pseudo_label = torch.full((6,), NONE)
    rows = torch.arange(6)
    target = Batch(torch.randn(6, 1, 2, 2), rows, None, rows, rows)
    losses = made.losses({"source": target._replace(label=rows % 3), "target": target}, 0.5)
    assert float(losses["pseudo_label"]) == 0.0


def test_share_grows():
    made, cohort = method(first=0.2, last=0.6), Rows(100)
    counts = []
    for progress in (0.0, 0.5, 1.0):
        made.prepare({"target": SimpleNamespace(cohort=cohort)}, progress)
        counts.append(int((made.pseudo_label != NONE).sum()))
    assert counts[0] == pytest.approx(20, abs=3) and counts[1] == pytest.approx(40, abs=3)
    assert counts[2] == pytest.approx(60, abs=3)
