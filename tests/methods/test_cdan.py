"""CDAN against skada's map and loss, pykale's entropy, and gradients by finite differences of the equations."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skada.deep._adversarial import CDANLoss, CDANModule, _RandomLayer
from torch import nn

from medtl.methods import METHODS
from medtl.methods.cdan import CDAN, certainty, multilinear_map, randomized_map
from medtl.methods.losses import entropy

_spec = importlib.util.spec_from_file_location("linear", Path(__file__).parent / "linear.py")
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)

SOURCE, LABEL = np.array([[1.0, 0.2], [0.1, 1.0], [2.0, -1.0]]), np.array([0, 1, 2])
TARGET = np.array([[-1.0, 0.5], [0.3, 0.4]])


class Given(nn.Module):
    """Gives what it was told, where a network would be."""

    def __init__(self, embedding: torch.Tensor, p: torch.Tensor) -> None:
        super().__init__()
        self.embedding, self.p = nn.Identity(), p
        self.given = embedding

    def forward(self, x: torch.Tensor, sample_weight: object = None) -> torch.Tensor:
        self.embedding(self.given)
        return self.p


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_multilinear_map_is_skadas(classes):
    f, g = torch.randn(5, 4), torch.randn(5, classes).softmax(1)
    judge = nn.Flatten()  # shows what it is given
    judge.num_features = 4
    module = CDANModule(Given(f, g), "embedding", judge).train()
    assert torch.allclose(multilinear_map(f, g), module(f)[1], atol=1e-5)
    assert np.allclose(multilinear_map(f, g), np.einsum("ne,nk->nke", f, g).reshape(5, -1), atol=1e-6)


def test_randomized_map_is_skadas_and_keeps_products_on_average():
    layer = _RandomLayer(0, [4, 3], output_dim=50)
    f, g = torch.randn(5, 4), torch.randn(5, 3).softmax(1)
    assert torch.allclose(randomized_map(f, g, *layer.random_matrix), layer([f, g]), atol=1e-5)
    torch.manual_seed(0)
    drawn = randomized_map(f.double(), g.double(), torch.randn(4, 400000).double(), torch.randn(3, 400000).double())
    assert torch.allclose(drawn @ drawn.T, ((f @ f.T) * (g @ g.T)).double(), atol=0.1)  # equation 5's inner product


def test_long_products_are_drawn_down_and_the_draws_are_kept():
    long, short = CDAN(linear.classifier(3, width=2000)), CDAN(linear.classifier(2, width=2000))
    assert long.discriminator[0].in_features == 1024 and {"draw_f", "draw_g"} <= set(long.state_dict())
    assert short.discriminator[0].in_features == 4000 and "draw_f" not in short.state_dict()


def test_loss_is_half_of_skadas_which_adds_where_we_average():
    torch.manual_seed(0)
    method = CDAN(linear.classifier()).double()
    dealt = {"source": linear.batch(SOURCE[:2], LABEL[:2]), "target": linear.batch(TARGET)}
    loss = method.losses(dealt, 0.5)["domain"]
    judged = []
    for role in ("source", "target"):
        output = method.forward(dealt[role])
        odds = method.discriminator(multilinear_map(output.embedding, output.logits.softmax(1))).squeeze(1)
        judged.append(torch.sigmoid(-odds).float())  # skada's 1 is the target
    theirs = CDANLoss()(*judged, torch.zeros(2, 1), torch.zeros(2, 1))
    assert loss.item() == pytest.approx(float(theirs) / 2, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_entropy_is_pykales_but_for_its_epsilon(kale, classes):
    logits = torch.randn(20, classes).double()
    # pykale takes log(p + 1e-5): sum p log(1 + 1e-5 / p) = 1e-5 a class
    assert torch.allclose(entropy(logits), kale.entropy_logits(logits) + 1e-5 * classes, atol=1e-6)
    assert torch.allclose(entropy(torch.zeros(1, classes)), torch.tensor(math.log(classes)))


def test_sure_scans_count_more_and_one_on_average_at_each_site():
    entropies = torch.tensor([0.0, 0.5, 1.0, 0.2, 0.3])
    by_hand = 1 + np.exp(-entropies.numpy())
    by_hand = np.concatenate([by_hand[:3] / by_hand[:3].mean(), by_hand[3:] / by_hand[3:].mean()])
    assert np.allclose(certainty(entropies, 3), by_hand)


@pytest.mark.parametrize("name", ["cdan", "cdan-e"])
@pytest.mark.parametrize("progress", [0.1, 1.0])
def test_losses_and_gradients_are_those_of_the_equations(name, progress):
    method = METHODS[name](linear.classifier(3), weight=0.7)
    method.discriminator = nn.Linear(6, 1, bias=False)
    method.double()
    losses = method.losses({"source": linear.batch(SOURCE, LABEL), "target": linear.batch(TARGET)}, progress)
    sum(losses.values()).backward()

    w, h, v = (linear.weights(m) for m in (method.classifier.backbone[1], method.classifier.head, method.discriminator))
    b = method.classifier.head.bias.detach().numpy()
    both, truth = np.concatenate([SOURCE, TARGET]), np.array([1, 1, 1, 0, 0])
    g = linear.softmax(both @ w.T @ h.T + b)

    def counts(w: np.ndarray, h: np.ndarray) -> np.ndarray:
        p = linear.softmax(both @ w.T @ h.T + b)
        return 1 + np.exp((p * np.log(p)).sum(1))

    at = counts(w, h)
    mean = np.repeat([at[:3].mean(), at[3:].mean()], [3, 2])

    def domain(w: np.ndarray, h: np.ndarray, v: np.ndarray) -> float:  # g in the map stays, as no gradient goes there
        t = np.einsum("nk,ne->nke", g, both @ w.T).reshape(5, 6)
        each = linear.binary(t @ v[0], truth)
        return float((counts(w, h) / mean * each if name == "cdan-e" else each).mean())

    def task(w: np.ndarray, h: np.ndarray) -> float:
        return float(linear.cross_entropy(SOURCE @ w.T @ h.T + b, LABEL).mean())

    assert float(losses["task"]) == pytest.approx(task(w, h))
    assert float(losses["domain"]) == pytest.approx(domain(w, h, v))
    strength = 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)
    expected = linear.slope(lambda w: task(w, h) - strength * domain(w, h, v), w)
    assert np.allclose(method.classifier.backbone[1].weight.grad, expected, atol=1e-7)
    expected = linear.slope(lambda h: task(w, h) - strength * domain(w, h, v), h)
    assert np.allclose(method.classifier.head.weight.grad, expected, atol=1e-7)
    assert np.allclose(method.discriminator.weight.grad, linear.slope(lambda v: domain(w, h, v), v), atol=1e-7)
