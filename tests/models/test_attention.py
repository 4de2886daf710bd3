"""Attention finds the one abnormal slice of a volume from the labels of whole volumes: real brains, a made lesion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from medtl.data.augmentation import Augmentation
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
STEPS = 60


@dataclass
class Volumes:
    """What training needs of a cohort, in memory."""

    bags: np.ndarray  # float32 (N, SLICES, 1, SIZE, SIZE)
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


def with_lesions(bags: np.ndarray, diseased: np.ndarray, seed: int) -> Volumes:
    """A large round bright lesion, of about 5 cm, in the brain of one slice of each diseased volume."""
    random = np.random.default_rng(seed)
    bags, where = bags.copy(), np.full(len(bags), -1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for i in np.flatnonzero(diseased):
        where[i] = random.integers(1, SLICES - 1)  # the outermost slices hardly show brain
        one = bags[i, where[i], 0]
        middle = np.hypot(rows - SIZE / 2, columns - SIZE / 2) < SIZE / 4
        row, column = random.permutation(np.argwhere(middle & (one > -0.5)))[0]
        one += 1.5 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 4.0**2)).astype(np.float32)
        np.clip(one, -1, 1, out=one)
    return Volumes(bags, diseased.astype(np.int64), where)


def test_the_largest_weight_lies_on_the_slice_with_the_lesion(shared_data: Path) -> None:
    torch.manual_seed(0)
    people = brains(shared_data, 48)
    train = with_lesions(np.repeat(people[:TRAINED_ON], 2, axis=0), np.arange(2 * TRAINED_ON) % 2 == 0, seed=1)
    classifier = Classifier(create_backbone(channels=1), 2, bottleneck=64, pooling="attention")
    classifier = classifier.to(memory_format=torch.channels_last)
    light = Augmentation(
        rotation=5, scale=0.05, translation=0.03, contrast=0.1, brightness=0.05, gamma=0.1, noise=0.02, blur=0
    )
    fit(
        SourceOnly(classifier),
        {"source": Role(train, Deal(train.label, 8, 0), augmentation=light)},
        Plan(steps=STEPS, batch=8, lr=3e-3, backbone_lr=0.6),
        fabric=Fabric(accelerator="cpu"),
        seed=0,
        phase="lesions",
    )
    classifier.eval()
    unseen = with_lesions(np.repeat(people[TRAINED_ON:], 2, axis=0), np.arange(32) % 2 == 0, seed=2)
    logits = outputs(classifier, unseen)[0]
    found = []
    with torch.inference_mode():
        for i in np.flatnonzero(unseen.label == 1):
            one = torch.from_numpy(unseen.bags[i])
            weights = classifier(one, torch.zeros(SLICES, dtype=torch.long), 1).attention
            found.append(int(weights.argmax()) == unseen.lesion[i])
    assert np.mean(logits.argmax(1) == unseen.label) >= 0.8
    assert np.mean(found) >= 0.8
