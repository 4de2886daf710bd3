"""What is handed over where no source scan can be looked at: the rule on models that were made for it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from medtl.errors import InputError
from medtl.measures import information
from medtl.models import Classifier
from medtl.training.choice import AUTO
from medtl.training.config import Config
from medtl.training.source_free import SOURCE_FREE, check_source_free, decide_without_source


class Rows:
    """Unlabelled vectors of two, as a cohort."""

    multilabel = False

    def __init__(self, n: int = 60) -> None:
        self.stack = np.random.default_rng(0).normal(size=(n, 1, 1, 1, 2)).astype(np.float32)
        self.bag_sizes = np.ones(n, int)
        self.label = np.full(n, -1)

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i]


def linear(weight: list[list[float]]) -> Classifier:
    """Logits that are linear in the pixels."""
    backbone = nn.Flatten()
    backbone.num_features = 2  # type: ignore[assignment]
    made = Classifier(backbone, 2, bottleneck=2)
    made.bottleneck = nn.Identity()  # type: ignore[assignment]
    made.head.weight.data, made.head.bias.data = torch.tensor(weight), torch.zeros(2)
    return made.eval()


BEGAN = [[1.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("weight", "handed_over", "why"),
    [
        ([[3.0, 0.3], [0.0, 0.0]], "adapted", "no less decided"),
        ([[0.1, 0.0], [0.0, 0.0]], "source-only", "says less than half as much"),
        ([[0.0, 3.0], [0.0, 0.0]], "source-only", "ranks the new site's scans otherwise than before"),
        ([[-3.0, 0.0], [0.0, 0.0]], "source-only", "agreement -1.00"),
    ],
)
def test_who_collapsed_or_learnt_another_task_is_out(weight, handed_over, why):
    began = linear(BEGAN)
    found = decide_without_source({"source-only": began, "shot": linear(weight)}, copy.deepcopy(began), Rows())
    assert found.handed_over == handed_over and why in found.why and found.why in found.sentence
    assert found.warn and found.kept == "shot"
    z = Rows().stack.reshape(-1, 2) @ np.array(weight).T
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert found.signals["adapted_information"] == pytest.approx(information(p), rel=1e-4)


def test_of_several_the_one_that_may_be_handed_over_with_the_highest_score():
    began = linear(BEGAN)
    models = {
        "source-only": began,
        "shot": linear([[2.0, 0.0], [0.0, 0.0]]),
        "tent": linear([[4.0, 0.0], [0.0, 0.0]]),
        "shot 2": linear([[0.0, 9.0], [0.0, 0.0]]),  # surest of all, of something else
    }
    found = decide_without_source(models, began, Rows(), "information")
    assert (found.kept, found.handed_over) == ("tent", "adapted")
    assert "Handed over: adapted by tent, since" in found.sentence
    assert decide_without_source({**models, "tent": began}, began, Rows(), "information").kept == "shot"
    assert f"highest score ({AUTO})" in decide_without_source(models, began, Rows()).rule


def told(**others: Any) -> Config:
    return Config.model_validate(others)


def test_methods_without_a_source():
    assert set(SOURCE_FREE) >= {"shot", "tent"} and "source-only" not in SOURCE_FREE and "dann" not in SOURCE_FREE
    check_source_free(told(methods=["shot", "tent"], select="snd"))
    with pytest.raises(InputError, match="with_source_only needs"):
        check_source_free(told(method="shot", with_source_only=True))
    with pytest.raises(InputError, match="dann needs the source's scans"):
        check_source_free(told())
