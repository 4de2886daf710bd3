"""ADDA: both losses and gradients by hand, and what must stay: the source encoder and the head."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medtl.methods.adda import ADDA
from medtl.models import Classifier

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE, TARGET = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([[-1.0, 0.5], [0.3, 0.4]])
DEALT = {"source": linear.batch(SOURCE, np.array([0, 1, 2])), "target": linear.batch(TARGET)}


@pytest.fixture
def method() -> ADDA:
    method = ADDA(linear.classifier())
    method.discriminator = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        method.classifier.backbone[1].weight.mul_(1.5)  # the target encoder has gone its own way
    return method.double()


def parts(method: ADDA) -> tuple[np.ndarray, ...]:
    layers = (method.source.classifier.backbone[1], method.classifier.backbone[1], method.discriminator)
    return tuple(linear.weights(layer) for layer in layers)


def test_discriminator_learns_to_tell_the_encoders_apart_and_moves_no_encoder(method):
    losses = method.losses_of_discriminator(DEALT, 0.5)
    losses["domain"].backward()
    of_source, of_target, v = parts(method)
    embedding = np.concatenate([SOURCE @ of_source.T, TARGET @ of_target.T])

    def domain(v: np.ndarray) -> float:
        return float(linear.binary(embedding @ v[0], np.array([1, 1, 1, 0, 0])).mean())

    assert float(losses["domain"]) == pytest.approx(domain(v))
    assert np.allclose(method.discriminator.weight.grad, linear.slope(domain, v), atol=1e-7)
    assert method.classifier.backbone[1].weight.grad is None
    right = (embedding @ v[0] > 0) == np.array([1, 1, 1, 0, 0])
    assert float(method.measures()["domain_accuracy"]) == pytest.approx(right.mean())


def test_target_encoder_learns_to_be_taken_for_the_source(method):
    losses = method.losses(DEALT, 0.5)
    losses["encoder"].backward()
    _, of_target, v = parts(method)

    def inverted(w: np.ndarray) -> float:
        return float(-np.log(linear.sigmoid(TARGET @ w.T @ v[0])).mean())

    assert float(losses["encoder"]) == pytest.approx(inverted(of_target))
    assert np.allclose(method.classifier.backbone[1].weight.grad, linear.slope(inverted, of_target), atol=1e-7)


def test_source_encoder_its_statistics_and_the_head_stay():
    torch.manual_seed(0)
    backbone = nn.Flatten()
    backbone.num_features = 4
    method = ADDA(Classifier(backbone, 3, bottleneck=5))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimisers = {name: torch.optim.AdamW(group, lr=0.1) for name, group in method.groups().items()}
    dealt = {role: linear.batch(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)) for role in DEALT}
    for _ in range(3):
        for step in method.steps(0.5):
            sum(getattr(method.train(), step.losses)(dealt, 0.5).values()).backward()
            optimisers[step.moves].step()
            method.zero_grad()
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == {"classifier", "discriminator"}
    assert not any(name.startswith("classifier.head") for name in moved)
    assert {"classifier.bottleneck.1.weight", "classifier.bottleneck.2.running_mean"} <= moved


def test_source_encoder_keeps_its_dropout_in_training_alone():
    method = ADDA(Classifier(linear.classifier().backbone, 2, bottleneck=64))
    dropout, norm = (method.source.classifier.bottleneck[k] for k in (0, 2))
    assert method.train() is method and dropout.training and not norm.training
    method.eval()
    assert not dropout.training and not norm.training


def test_several_labels_a_scan_are_no_matter(method):
    several = linear.batch(SOURCE, np.array([[0.0, 1.0], [1.0, np.nan], [0.0, 0.0]]))
    assert torch.isfinite(method.losses_of_discriminator({**DEALT, "source": several}, 0.5)["domain"])
