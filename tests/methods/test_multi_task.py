"""The auxiliary heads: turns pixel by pixel, thumbnails and losses by hand, columns of a manifest."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from medtl.errors import InputError
from medtl.methods.base import Batch
from medtl.methods.multi_task import THUMBNAIL, MultiTask, known_cross_entropy, thumbnails, turned, turned_at_random
from medtl.models import Classifier

VALUES = {"birads": ["1", "2", "4"], "scanner": ["A", "B"], "age": [str(n) for n in range(60)], "side": ["left"]}


def classifier(classes: int = 2, channels: int = 1) -> Classifier:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 6))
    backbone.num_features = 6  # type: ignore[assignment]
    return Classifier(backbone, classes, bottleneck=5, dropout=0.0)


def batch(sizes: tuple[int, ...], label: object, seed: int = 0, channels: int = 1) -> Batch:
    """Bags of so many instances."""
    bag = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    pixels = torch.randn(len(bag), channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    rows = torch.arange(len(sizes))
    return Batch(pixels, bag, None if label is None else torch.tensor(label), rows * 0, rows)


def test_turned_is_numpys_turn_by_as_many_quarters():
    pixels = torch.randn(8, 2, 5, 5)
    quarters = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    for picture, quarter, found in zip(pixels, quarters, turned(pixels, quarters), strict=True):
        np.testing.assert_array_equal(found.numpy(), np.rot90(picture.numpy(), int(quarter), axes=(1, 2)))


def test_a_scan_is_turned_as_one_and_each_turn_is_as_frequent():
    dealt = batch((3, 1, 2, 1, 4, 1, 1, 1), None)
    there, quarters = turned_at_random(dealt)
    assert torch.bincount(quarters).tolist() == [2, 2, 2, 2]
    assert torch.equal(there.pixels, turned(dealt.pixels, quarters[dealt.bag]))
    assert torch.equal(there.bag, dealt.bag)


def test_thumbnails_are_the_standardised_means_of_blocks():
    random = np.random.default_rng(0)
    pixels, bag = random.normal(size=(3, 2, 32, 32)), np.array([0, 0, 1])
    dealt = Batch(torch.from_numpy(pixels), torch.from_numpy(bag), None, torch.zeros(2), torch.arange(2))
    for scan, found in enumerate(thumbnails(dealt).numpy()):
        grey = pixels[bag == scan].mean(axis=(0, 1))
        blocks = grey.reshape(THUMBNAIL, 2, THUMBNAIL, 2).mean(axis=(1, 3)).ravel()
        np.testing.assert_allclose(found, (blocks - blocks.mean()) / np.sqrt(blocks.var() + 1e-5), atol=1e-9)


def test_unknown_answers_count_nothing():
    logits = torch.randn(5, 3, dtype=torch.float64)
    answer = torch.tensor([0, -1, 2, -1, 1])
    known = [0, 2, 4]
    log_p = (logits - logits.exp().sum(1, keepdim=True).log())[known, answer[known]]
    assert known_cross_entropy(logits, answer).item() == pytest.approx(-log_p.mean().item())
    assert known_cross_entropy(logits, torch.full((5,), -1)).item() == 0


def test_columns_are_read_from_the_manifest():
    method = MultiTask(classifier(), tasks=(), columns=["birads", "scanner"], values=VALUES)
    frame = pd.DataFrame({"scanner": ["B", "", "A", "B"], "birads": ["4", "1", "", "2"]})
    cohort = SimpleNamespace(manifest=SimpleNamespace(frame=frame))
    method.prepare({"source": SimpleNamespace(cohort=cohort)}, 0.0)
    assert method.answers.tolist() == [[2, 1], [0, -1], [-1, 0], [1, 1]]
    assert MultiTask.known({"source": cohort}) == {"values": {"scanner": ["A", "B"], "birads": ["1", "2", "4"]}}
    assert MultiTask.known({"source": SimpleNamespace()}) == {}
    losses = method.losses({"source": batch((1, 1, 2, 1), [0, 1, 1, 0]), "target": batch((1, 1), None)}, 0.5)
    assert losses.keys() == {"task", "column_birads", "column_scanner"}
    output = method.forward(batch((1, 1, 2, 1), [0, 1, 1, 0]))
    p = method.column_heads[1](output.embedding).softmax(1)
    assert losses["column_scanner"].item() == pytest.approx(-p[[0, 2, 3], [1, 0, 1]].log().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"columns": ["birad"]}, "no column 'birad'"),
        ({"columns": "age"}, "60 different values"),
        ({"columns": ["side"]}, "1 different values"),
        ({"tasks": ["jigsaw"]}, "no task 'jigsaw'"),
    ],
)
def test_what_cannot_be_learnt_is_refused(told, words):
    with pytest.raises(InputError, match=words):
        MultiTask(classifier(), values=VALUES, **told)


@pytest.mark.parametrize("label", [[0, 1, 2], [[0.0, 1.0, float("nan")], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])
def test_every_task_at_once_on_volumes_of_three_classes_or_labels(label):
    method = MultiTask(classifier(3, 3), tasks=["rotation", "reconstruction"], weight=0.5)
    dealt = {"source": batch((2, 1, 3), label, channels=3), "target": batch((1, 4, 2, 1), None, 1, channels=3)}
    torch.manual_seed(5)
    losses = method.losses(dealt, 0.5)
    assert losses.keys() == {"task", "rotation", "reconstruction"}
    sum(losses.values()).backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in method.groups()["all"])
    method.eval()
    found = method.losses(dealt, 0.5)["reconstruction"].item()
    drawn = method.decoder(method.forward(dealt["target"]).features)
    assert found == pytest.approx(0.5 * (drawn - thumbnails(dealt["target"])).square().mean().item(), rel=1e-5)


def test_the_loss_of_the_turns_is_the_mean_of_both_sites():
    method = MultiTask(classifier(), weight=2.0).eval()
    dealt = {"source": batch((1, 1, 1, 1), [0, 1, 0, 1]), "target": batch((1, 2, 1, 1), None, 1)}
    torch.manual_seed(3)
    found = method.losses(dealt, 0.0)["rotation"].item()
    torch.manual_seed(3)
    by_hand = []
    for site in ("source", "target"):
        there, quarters = turned_at_random(dealt[site])
        p = method.rotation(method.forward(there).embedding).softmax(1)
        by_hand.append(-p[torch.arange(4), quarters].log().mean().item())
    assert found == pytest.approx(2.0 * np.mean(by_hand), rel=1e-5)
