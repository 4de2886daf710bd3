"""Adaptation without a gradient: a shallow method on the features of the source-only network."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from medtl.data.cohort import Cohort
from medtl.finetuning.heads import Head, put_into
from medtl.methods.features import Linear
from medtl.methods.shallow import FEATURE_METHODS
from medtl.models import Classifier, look
from medtl.models.batch_statistics import for_site
from medtl.training.roles import BALANCE, shares_of


class ByFeatures(NamedTuple):
    """What a shallow method made of the source-only network; both expect what `labelled_role` would have dealt."""

    at_target: Classifier
    at_source: Classifier
    source_weights: np.ndarray | None  # (N,) how much each source scan counts, 1 on average; None: all alike


def fit_by_features(
    warm: Classifier,
    source: Cohort,
    target: Cohort,
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    balance: Collection[str] = BALANCE,
    device: torch.device | None = None,
) -> ByFeatures:
    """Adapt by a method of `FEATURE_METHODS`: the network stays, its last layer is fitted anew.

    Args:
        warm: the source-only network; source scans are looked at as it was trained, the target's with their own batch
            statistics (`for_site`).
        source: labelled, to train on.
        target: its labels are not looked at.
        name: of the method.
        options: of the method.
        balance: what counts alike among the source's scans, as in the config.
        device: where to compute features; by default where `warm` is.

    Raises:
        InputError: the method cannot do with these labels.
    """
    home = next(warm.parameters()).device
    models = {"source": copy.deepcopy(warm).eval(), "target": for_site(warm, target, warm.fixed, device)}
    cohorts, features = {"source": source, "target": target}, {}
    for role, model in models.items():
        found = look(model.to(device or home), cohorts[role], f"{name}: features of the {role}").features
        features[role] = found.cpu().numpy().astype(float)
        model.to(home)
    n, m = len(source), len(target)
    unlabelled = np.full((m, *source.label.shape[1:]), np.nan if source.multilabel else -1)
    fitted = FEATURE_METHODS[name](**(options or {})).fit(
        np.concatenate([features["source"], features["target"]]),
        np.concatenate([source.label, unlabelled.astype(source.label.dtype)]),
        np.concatenate([source.site + 1, np.zeros(m, int)]),
        patients=np.concatenate([source.patient, target.patient]),
        weights=np.concatenate([shares_of(source, balance), np.zeros(m)]),
        classes=len(source.classes),
    )
    assert fitted.source_weights is None or len(fitted.source_weights) == n
    _replace_head(models["target"], fitted.at_target)
    _replace_head(models["source"], fitted.at_source)
    return ByFeatures(models["target"], models["source"], fitted.source_weights)


def _replace_head(classifier: Classifier, linear: Linear) -> None:
    put_into(classifier, Head(0.0, linear.weight, linear.bias))
