"""The task loss is scikit-learn's log loss, and source-only is dealt no target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from medtl.methods import Batch, SourceOnly
from medtl.methods.losses import task_loss
from medtl.models import Classifier


def flat_classifier(classes: int) -> Classifier:
    backbone = nn.Flatten()
    backbone.num_features = 4  # type: ignore[assignment]
    return Classifier(backbone, classes, bottleneck=3, dropout=0.0)


def test_loss_is_scikit_learns():
    torch.manual_seed(0)
    method = SourceOnly(flat_classifier(3))
    label = torch.tensor([0, 2, 1, 1, 0])
    rows = torch.arange(5)
    source = Batch(torch.randn(5, 1, 2, 2), rows, label, rows, rows)
    losses = method.losses({"source": source}, 0.5)
    assert list(losses) == ["task"]
    p = torch.softmax(method(source).logits.double(), 1).detach().numpy()
    assert losses["task"].item() == pytest.approx(log_loss(label, p, labels=[0, 1, 2]), rel=1e-5)


def test_several_labels_a_scan_count_only_where_they_are_known():
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    label = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    p = torch.sigmoid(logits).double().numpy()
    by_hand = -(np.log(p[0, 0]) + np.log(1 - p[1, 0]) + np.log(p[1, 1])) / 3
    assert float(task_loss(logits, label)) == pytest.approx(by_hand, rel=1e-6)


def test_unlabelled_batch_is_refused():
    with pytest.raises(TypeError, match="needs labels"):
        task_loss(torch.zeros(2, 2), None)


def test_target_is_no_role():
    assert SourceOnly.roles == ("source",)
