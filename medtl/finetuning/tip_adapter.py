"""Tip-Adapter: the source model, and a vote of the labelled scans that look alike."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head, choose, margin_scale
from medtl.models.heads import CacheHead

#: How much the vote counts beside the source model, both being brought to one scale; the paper's 1 first.
ALPHAS = (1.0, 0.3, 3.0, 10.0)
#: How near a scan must be for its vote to count; the paper's 5.5 first.
BETAS = (5.5, 1.0, 20.0)


class TipAdapter(Strategy):
    """A cache of the labelled scans beside the source model (Tip-Adapter: Zhang et al., ECCV 2022, arXiv:2207.09519).

    The paper's training-free form. The model to start from stands where CLIP's zero-shot classifier stands there, its
    logits less their mean at the site; keys are features standardised by all scans of the site. Scans vote with one
    over the number of their class, so that a class with more labels has no louder voice, and both terms are brought to
    one scale, so that alpha means the same for every model. Cross-validation by patient chooses alpha and beta. The
    features of the labelled scans stay in the model.
    """

    reads, trains = True, False

    @classmethod
    def head(cls, few: Few) -> Head:
        """A `CacheHead`; of several labels a scan, those with it vote for it and those without it against it."""
        return choose(few, _fit, list(product(ALPHAS, BETAS)))


def _fit(few: Few, alpha: float, beta: float) -> Head:
    k, f = few.logits.shape[1], few.features.shape[1]
    parts = few.centre, few.spread, few.standardised(few.features), _votes(few)
    centre, spread, keys, values = (torch.from_numpy(each) for each in parts)
    cache = CacheHead(centre, spread, keys, values, beta, gain=1.0)
    with torch.no_grad():
        votes = cache(torch.from_numpy(few.all_features).float()).double().numpy()
    cache.gain *= alpha / margin_scale(votes - votes.mean(axis=0), few.multilabel)
    middle = few.all_logits.mean(axis=0)
    trust = 1 / margin_scale(few.all_logits - middle, few.multilabel)
    return Head(source_weight=trust, weight=np.zeros((k, f)), bias=-trust * middle, more=cache)


def _votes(few: Few) -> np.ndarray:
    """(N, K) how each labelled scan votes."""
    truth = few.truth
    votes = np.nan_to_num(truth) / np.maximum(np.nansum(truth, axis=0), 1)
    if few.multilabel:
        votes = votes - np.nan_to_num(1 - truth) / np.maximum(np.nansum(1 - truth, axis=0), 1)
    return votes
