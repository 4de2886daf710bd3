"""Mean teacher: the average against its closed form, the consistency in NumPy, and whom a gradient reaches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods import Batch
from medtl.methods.mean_teacher import RAMP, MeanTeacher, ramp
from medtl.models import Classifier


def method(classes: int = 3, **options: float) -> MeanTeacher:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
    backbone.num_features = 4  # type: ignore[assignment]
    return MeanTeacher(Classifier(backbone, classes, bottleneck=5, dropout=0.0), **options)


def batches(label: torch.Tensor) -> dict[str, Batch]:
    n = len(label)
    rows = torch.arange(n)
    pixels = [torch.randn(n, 1, 2, 2) for _ in range(3)]
    return {
        "source": Batch(pixels[0], rows, label, rows, rows),
        "target": Batch(pixels[1], rows, None, rows, rows, pixels[2]),
    }


def test_ramp_is_the_papers():
    assert ramp(0.0) == pytest.approx(math.exp(-5)) and ramp(RAMP) == ramp(1.0) == 1.0
    assert ramp(RAMP / 2) == pytest.approx(math.exp(-1.25))


def test_teacher_is_the_mean_of_all_students_and_then_a_moving_average():
    made = method(decay=0.8)
    students = [made.classifier.head.weight.detach().clone()]
    expected = students[0]
    for step in range(1, 12):
        with torch.no_grad():
            for parameter in made.classifier.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        made.after_step(0.0)
        students.append(made.classifier.head.weight.detach().clone())
        early = step <= 4  # 1 - 1/5 = 0.8
        expected = torch.stack(students).mean(0) if early else 0.8 * expected + 0.2 * students[-1]
        assert torch.allclose(made.teacher.head.weight, expected, atol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_losses_are_those_in_numpy(several):
    made = method(weight=2.0)
    for _ in range(3):
        with torch.no_grad():
            made.classifier.head.weight.add_(0.3 * torch.randn(3, 5))
        made.after_step(0.0)
    label = torch.tensor([[1.0, 0.0, math.nan]] * 8) if several else torch.arange(8) % 3
    batch = batches(label)
    losses = made.losses(batch, 0.1)
    target = batch["target"]

    def said(classifier: Classifier, pixels: torch.Tensor) -> np.ndarray:
        z = classifier(pixels).logits.detach().double().numpy()
        return 1 / (1 + np.exp(-z)) if several else np.exp(z) / np.exp(z).sum(1, keepdims=True)

    distance = said(made.classifier, target.strong) - said(made.teacher, target.pixels)
    assert np.abs(distance).max() > 0.01
    assert float(losses["consistency"]) == pytest.approx(2 * ramp(0.1) * (distance**2).mean(), rel=1e-4)


def test_no_gradient_reaches_the_teacher_and_it_is_handed_over():
    made = method()
    sum(made.losses(batches(torch.arange(8) % 3), 0.5).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in made.teacher.parameters())
    assert made.classifier.head.weight.grad is not None
    learns = {id(p) for p in made.groups()["all"]}
    assert not learns & {id(p) for p in made.teacher.parameters()}
    assert made.predictor() is made.teacher


def test_each_batch_is_normalised_by_itself_and_the_teacher_has_the_students_statistics():
    made = method()
    batch = batches(torch.arange(8) % 3)
    alone = made.classifier(batch["source"].pixels).logits
    loss = made.losses({**batch, "target": batch["target"]._replace(pixels=batch["target"].pixels + 9)}, 0.5)
    expected = nn.functional.cross_entropy(alone, batch["source"].label)
    assert float(loss["task"]) == pytest.approx(float(expected), rel=1e-5)
    made.after_step(0.5)
    for mean, now in zip(made.teacher.buffers(), made.classifier.buffers(), strict=True):
        assert torch.equal(mean, now)
