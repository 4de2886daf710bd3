"""MCC's loss against skada's, against medtl's own measure, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from medtl.measures.label_free import class_confusion as measured
from medtl.methods import Batch
from medtl.methods.mcc import MCC, class_confusion
from medtl.models import Classifier


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_loss_is_skadas_and_medtls_measure(classes, temperature):
    skada = pytest.importorskip("skada.deep.losses")
    torch.manual_seed(classes)
    logits = 3 * torch.randn(40, classes)
    loss = float(class_confusion(logits, temperature))
    assert loss == pytest.approx(float(skada.mcc_loss(logits, T=temperature)), abs=1e-5)
    assert loss == pytest.approx(measured(logits.softmax(1).numpy(), temperature), abs=1e-5)


def test_two_scans_by_hand():
    # p = (a, 1 - a) and its mirror image have the same entropy, so both weigh 1: C = [[a^2 + b^2, 2ab], [2ab, ...]]
    a = 0.9
    logits = torch.tensor([[math.log(a / (1 - a)), 0.0], [0.0, math.log(a / (1 - a))]])
    assert float(class_confusion(logits, 1.0)) == pytest.approx(2 * a * (1 - a))


def test_sure_scans_confuse_nothing_and_undecided_ones_all():
    assert float(class_confusion(40 * torch.eye(3))) == pytest.approx(0, abs=1e-5)
    assert float(class_confusion(torch.zeros(5, 4))) == pytest.approx(3 / 4)


def test_gradient_is_that_of_weights_held_still():
    torch.manual_seed(0)
    logits = torch.randn(6, 3, dtype=torch.float64)
    p = (logits / 2.5).softmax(1)
    weight = 1 + (p * p.log()).sum(1).exp()
    weight = weight / weight.mean()

    def loss(x: torch.Tensor) -> torch.Tensor:
        q = (x / 2.5).softmax(1)
        confusion = torch.einsum("nj,n,nk->jk", q, weight, q)
        confusion = confusion / confusion.sum(1, keepdim=True)
        return (confusion - torch.diag(confusion.diagonal())).sum() / 3

    x = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(class_confusion(x), x)
    expected = torch.zeros_like(x)
    for place in np.ndindex(6, 3):
        step = torch.zeros_like(logits)
        step[place] = 1e-6
        expected[place] = (loss(logits + step) - loss(logits - step)) / 2e-6
    assert torch.allclose(found, expected, atol=1e-8)


def test_16_bits_do_not_round_it():
    torch.manual_seed(0)
    logits = 3 * torch.randn(40, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert float(class_confusion(logits)) == pytest.approx(float(measured(logits.softmax(1).numpy())), abs=1e-5)


def test_weight_multiplies_the_confusion_alone():
    torch.manual_seed(0)
    backbone = nn.Flatten()
    backbone.num_features = 4  # type: ignore[assignment]
    rows = torch.arange(6)
    source = Batch(torch.randn(6, 1, 2, 2), rows, rows % 3, rows, rows)
    batch = {"source": source, "target": source._replace(label=None, pixels=torch.randn(6, 1, 2, 2))}
    classifier = Classifier(backbone, 3, bottleneck=4, dropout=0.0)
    with torch.no_grad():
        one, two = (MCC(classifier, weight=weight).losses(batch, 0.5) for weight in (1.0, 2.0))
    assert float(two["task"]) == pytest.approx(float(one["task"]))
    assert float(two["confusion"]) == pytest.approx(2 * float(one["confusion"]))
