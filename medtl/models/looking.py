"""What a classifier says of all scans of a cohort, as they are: no random views, no gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medtl.models.output import Output
from medtl.progress import track

# Pictures or slices in one forward pass, the same for everyone, so that a prediction does not depend on a setting.
INSTANCES = 64


@torch.no_grad()
def look(classifier: nn.Module, cohort: Any, progress: str = "") -> Output:
    """What a classifier gives in evaluation mode for each scan, in the cohort's order, on the device where it is.

    Args:
        classifier: gives an Output; it is left in the mode in which it was.
        cohort: N scans.
        progress: what the progress bar says; none without.
    """
    was, device = classifier.training, next(classifier.parameters()).device
    classifier.eval()
    found = []
    dealt = list(batches(cohort.bag_sizes))
    for scans in track(dealt, progress) if progress else dealt:
        pixels, bag = together(cohort, scans, device)
        output = classifier(pixels, bag, len(scans))
        found.append((output.features, output.embedding, output.logits))
    classifier.train(was)
    if not found:
        nothing = torch.zeros(0, 0, device=device)
        return Output(nothing, nothing, nothing)
    return Output(*(torch.cat(each).float() for each in zip(*found, strict=True)))


def together(cohort: Any, scans: Sequence[int] | np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels (instances, C, H, W) of some scans as they are, and the place (instances,) of the scan of each."""
    bags = [torch.from_numpy(np.asarray(cohort.pixels(i), np.float32)) for i in scans]
    bag = torch.repeat_interleave(torch.arange(len(bags)), torch.tensor([len(each) for each in bags]))
    return torch.cat(bags).to(device, memory_format=torch.channels_last), bag.to(device)


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
