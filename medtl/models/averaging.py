"""One network from several that were trained from the same start."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from medtl.models.classifier import Classifier


def averaged(classifiers: Sequence[Classifier]) -> Classifier:
    """A uniform soup (Wortsman et al., ICML 2022, arXiv:2203.05482): the mean of their weights, a network like each.

    Networks that went a short way from one start lie in one valley, so their mean is as good as their ensemble at the
    cost of one; of networks that did not, it is worthless. Batch statistics do not average: take those of the site
    afterwards (`for_site`).

    Args:
        classifiers: one or more of the same architecture.

    Raises:
        ValueError: their parameters have other names or shapes.
    """
    states = [classifier.state_dict() for classifier in classifiers]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("only networks of the same architecture can be averaged")
    mean = copy.deepcopy(classifiers[0])
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
            for name, value in states[0].items()
        }
    )
    return mean
