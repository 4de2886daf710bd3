"""A site's own batch statistics."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from medtl.data.cohort import Cohort
from medtl.models.beside import WithStart
from medtl.models.classifier import Classifier
from medtl.models.layers import Layered
from medtl.models.looking import together

#: Enough scans for means and variances; more change nothing and cost a forward pass each.
SCANS = 384
BATCH = 64


def with_statistics_of(
    classifier: Classifier, cohort: Cohort, seed: int = 0, device: torch.device | None = None
) -> Classifier:
    """A copy whose batch normalisation uses the means and variances of the cohort's scans; no label is looked at.

    Adaptive batch normalisation (Li et al., Pattern Recognition 2018, arXiv:1603.04779). A method that deals source and
    target in batches of their own trains with each site's statistics; the running ones mix the two, and a model that
    is to work at one site does better with that site's (measured: docs/benchmarks.md).

    Volumes go through in chunks of 64 slices, evenly spread over 64 scans, and the means are taken over chunks: memory
    does not grow with the number of slices but by their pixels. Of a model that was trained on chunks, see `for_site`.

    Args:
        classifier: stays as it is.
        cohort: the site's scans, at least 16; with fewer the copy keeps the statistics it has.
        seed: which scans, where there are more than 384.
        device: where to compute; by default where the classifier is. The copy lies beside the classifier.
    """
    adapted = copy.deepcopy(classifier)
    double = [module for module in adapted.modules() if isinstance(module, Layered | WithStart)]
    frozen = {id(each) for module in double for each in module.frozen()}
    norms = [
        module
        for module in adapted.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module) not in frozen
    ]
    if not norms or len(cohort) < 16:
        return adapted.eval()
    home = next(adapted.parameters()).device
    there = device or home
    adapted.to(there).eval()
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    with torch.no_grad():
        for rows in _batches(len(cohort), seed):
            adapted(*together(cohort, rows, there), len(rows))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return adapted.to(home).eval()


def for_site(classifier: Classifier, cohort: Cohort, fixed: bool, device: torch.device | None = None) -> Classifier:
    """The trained model as it is to work at a site: a copy with that site's batch statistics, or as it was trained.

    Batches of volumes that are too large for one pass are trained on chunk by chunk, with the backbone's batch
    statistics fixed (`medtl.models.chunks`): to ImageNet's, which its weights go with, not to those of the scans, with
    which it learns worse. Such a model keeps them: weights that moved under fixed statistics have no others that fit
    (benchmarks/chunk_statistics.py).

    Args:
        classifier: stays as it is.
        cohort: the site's scans.
        fixed: whether it was or will be trained with the batch statistics fixed (`Classifier.fixed`).
        device: where to compute, as in `with_statistics_of`.
    """
    return copy.deepcopy(classifier).eval() if fixed else with_statistics_of(classifier, cohort, device=device)


def _batches(scans: int, seed: int) -> Iterator[np.ndarray]:
    """Equal batches, so that each counts alike in the mean."""
    rows = np.random.default_rng(seed).permutation(scans)[:SCANS]
    yield from np.array_split(rows, max(1, round(len(rows) / BATCH)))
