"""Attention finds the one abnormal slice of a volume from the labels of whole volumes: real brains, a made lesion.

The backbone stays as it is, so that its features are computed once and a hundred steps take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from medtl.data.samplers import Deal
from medtl.intensity import RECIPES
from medtl.intensity.recipe import Recipe
from medtl.intensity.recipes import for_volumes
from medtl.methods import SourceOnly
from medtl.models import Classifier, create_backbone
from medtl.runs.predict import outputs
from medtl.scans.read import read_scan
from medtl.training import Plan, Role, fit

SIZE, SLICES = 48, 8
TRAINED_ON = 32  # people; the other 16 are looked at
STEPS = 100


@dataclass
class Volumes:
    """What training needs of a cohort, in memory."""

    bags: np.ndarray  # float32 (N, SLICES, 1, SIZE, SIZE), or features (N, SLICES, F, 1, 1)
    label: np.ndarray  # int64 (N,), 1 with a lesion
    lesion: np.ndarray  # int64 (N,), its slice

    def __len__(self) -> int:
        return len(self.bags)

    def pixels(self, i: int) -> np.ndarray:
        return self.bags[i]

    @property
    def site(self) -> np.ndarray:
        return np.zeros(len(self), np.int64)

    @property
    def bag_sizes(self) -> np.ndarray:
        return np.full(len(self), SLICES)


def brains(folder: Path, n: int) -> np.ndarray:
    """(n, SLICES, 1, SIZE, SIZE) of real people, in [-1, 1]."""
    recipe = for_volumes(Recipe("mr", size=SIZE, steps=RECIPES["mr"].steps), "slices", SLICES)
    files = pd.read_csv(folder / "brain-mr" / "labels.csv").file[:n]
    return np.stack([recipe(read_scan([folder / "brain-mr" / file])) for file in files])


def with_lesions(bags: np.ndarray, seed: int) -> Volumes:
    """Each volume twice, once with a very large bright lesion, of about 7 cm, in the brain of one slice."""
    random = np.random.default_rng(seed)
    bags = np.repeat(bags, 2, axis=0)
    diseased, where = np.arange(len(bags)) % 2, np.full(len(bags), -1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for i in np.flatnonzero(diseased):
        where[i] = random.integers(1, SLICES - 1)  # the outermost slices hardly show brain
        one = bags[i, where[i], 0]
        middle = np.hypot(rows - SIZE / 2, columns - SIZE / 2) < SIZE / 4
        row, column = random.permutation(np.argwhere(middle & (one > -0.5)))[0]
        one += 3 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 6.0**2)).astype(np.float32)
        np.clip(one, -1, 1, out=one)
    return Volumes(bags, diseased, where)


@torch.inference_mode()
def features(volumes: Volumes, backbone: nn.Module) -> Volumes:
    """What the backbone makes of each slice, as pictures of one pixel."""
    given = [backbone(torch.from_numpy(bag)).numpy()[:, :, None, None] for bag in volumes.bags]
    return Volumes(np.stack(given), volumes.label, volumes.lesion)


@pytest.mark.slow
def test_the_largest_weight_lies_on_the_slice_with_the_lesion(shared_data: Path) -> None:
    """Over eight seeds, of lesions and of weights, 91 to 97 in 100 volumes and 88 to 100 in 100 slices are right."""
    torch.manual_seed(0)
    people = brains(shared_data, 48)
    backbone = create_backbone(channels=1).eval()
    train = features(with_lesions(people[:TRAINED_ON], seed=1), backbone)
    unseen = features(with_lesions(people[TRAINED_ON:], seed=2), backbone)
    flat = nn.Flatten()
    flat.num_features = backbone.num_features
    classifier = Classifier(flat, 2, bottleneck=64, pooling="attention")
    fit(
        SourceOnly(classifier),
        {"source": Role(train, Deal(train.label, 16, 0), augmentation=None)},
        Plan(steps=STEPS, batch=16, lr=3e-3),
        fabric=Fabric(accelerator="cpu"),
        seed=0,
        phase="lesions",
    )
    classifier.eval()
    found = []
    with torch.inference_mode():
        for i in np.flatnonzero(unseen.label == 1):
            weights = classifier(torch.from_numpy(unseen.bags[i]), torch.zeros(SLICES, dtype=torch.long), 1).attention
            found.append(int(weights.argmax()) == unseen.lesion[i])
    assert np.mean(outputs(classifier, unseen)[0].argmax(1) == unseen.label) >= 0.75  # by chance 0.5
    # by chance 1/8. The mean, weights that the gradient does not reach, and those of the slice beside: below 0.35
    assert np.mean(found) >= 0.6
