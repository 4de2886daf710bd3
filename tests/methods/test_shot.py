"""SHOT: the information against medtl's measure, the centroids against SciPy, and what stays as the source made it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from medtl.measures.label_free import information
from medtl.methods import Batch
from medtl.methods.shot import SHOT, by_centroids
from medtl.models import Classifier


@pytest.mark.parametrize("classes", [2, 4])
def test_centroids_are_the_papers(classes):
    random = np.random.default_rng(classes)
    embedding = random.normal(size=(80, 6)) + 1.5 * np.eye(6)[np.arange(80) % classes]
    p = random.dirichlet(np.ones(classes), 80)
    p = 0.6 * p + 0.4 * np.eye(classes)[np.arange(80) % classes]
    # in the words of section 3.3: weighted centroids, nearest by the cosine, centroids of those, nearest again
    rows = np.concatenate([embedding, np.ones((80, 1))], 1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    label = cdist(rows, np.stack([(p[:, [k]] * rows).sum(0) / p[:, k].sum() for k in range(classes)]), "cosine").argmin(
        1
    )
    label = cdist(rows, np.stack([rows[label == k].mean(0) for k in range(classes)]), "cosine").argmin(1)
    assert len(set(label)) == classes and (label != p.argmax(1)).any()
    assert np.array_equal(by_centroids(torch.from_numpy(embedding), torch.from_numpy(p)).numpy(), label)


def test_a_class_that_is_never_called_gets_no_scan():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1]]).repeat(5, 1)
    assert set(by_centroids(torch.randn(10, 4), p).tolist()) <= {0, 1}


def method(**options: float) -> SHOT:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    backbone.num_features = 4  # type: ignore[assignment]
    return SHOT(Classifier(backbone, 3, bottleneck=5, dropout=0.0), **options)


def test_losses_are_minus_the_information_and_the_cross_entropy_with_the_centroids():
    made = method(pseudo_weight=0.5, information_weight=2.0)
    made.pseudo_label = torch.tensor([0, 0, 2, 1, 2, 0, 1])
    rows = torch.tensor([6, 2, 3, 1])
    target = Batch(torch.randn(4, 1, 2, 2), torch.arange(4), None, rows, rows)
    losses = made.losses({"target": target}, 0.5)
    p = made(target).logits.detach().double().softmax(1).numpy()
    assert float(losses["information"]) == pytest.approx(-2 * information(p), rel=1e-4)
    assert float(losses["pseudo_label"]) == pytest.approx(-0.5 * np.log(p[range(4), [1, 2, 1, 0]]).mean(), rel=1e-5)


def test_the_head_stays_and_the_rest_learns():
    made = method()
    made.pseudo_label = torch.zeros(8, dtype=torch.int64)
    rows = torch.arange(8)
    sum(made.losses({"target": Batch(torch.randn(8, 1, 2, 2), rows, None, rows, rows)}, 0.5).values()).backward()
    moved = {name for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert moved and not any("head" in name or "shortcut" in name for name in moved)
    assert {id(p) for p in made.groups()["all"]} == {id(p) for n, p in made.named_parameters() if n in moved}


def test_no_source_is_asked_for():
    assert SHOT.roles == ("target",) and SHOT.own_statistics
