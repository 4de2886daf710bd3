"""From a classifier and scans to logits, and from those to the rows of predictions.csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:

    from medtl.data import Cohort

INSTANCES = (
    64  # pictures or slices in one forward pass: the same for everyone, so that a prediction does not depend on it
)


def outputs(classifier: nn.Module, cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """What a classifier in evaluation mode gives for each scan of a cohort, on the device where it is.

    Returns:
        logits float32 (N, K) and features float32 (N, F), in the cohort's order.
    """
    logits, features = [], []
    device = next(classifier.parameters()).device
    with torch.inference_mode():
        for scans in batches(cohort.bag_sizes):
            pixels = [torch.from_numpy(np.asarray(cohort.pixels(i), np.float32)) for i in scans]
            bag = torch.repeat_interleave(torch.arange(len(scans)), torch.tensor([len(p) for p in pixels]))
            stacked = torch.cat(pixels).to(device, memory_format=torch.channels_last)
            output = classifier(stacked, bag.to(device), len(scans))
            logits.append(output.logits.float().cpu().numpy())
            features.append(output.features.float().cpu().numpy())
    if not logits:
        return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
    return np.concatenate(logits), np.concatenate(features)


def batches(bag_sizes: Iterable[int], instances: int = INSTANCES) -> Iterator[list[int]]:
    """Deal scans, in order, into batches of at most `instances` instances; a larger scan goes alone."""
    batch: list[int] = []
    filled = 0
    for i, size in enumerate(int(s) for s in bag_sizes):
        if batch and filled + size > instances:
            yield batch
            batch, filled = [], 0
        batch.append(i)
        filled += size
    if batch:
        yield batch
