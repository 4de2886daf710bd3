"""From a model and a few labels of the new site to a model that has learnt from them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from medtl.data.cohort import Cohort
from medtl.errors import InputError
from medtl.finetuning import STRATEGIES
from medtl.finetuning.heads import Few, put_into
from medtl.models import Classifier, create_backbone
from medtl.models.layers import layered
from medtl.progress import warn
from medtl.runs.predict import outputs
from medtl.training.adaptation import signature_of, weights_signature
from medtl.training.batch_statistics import for_site
from medtl.training.config import Config
from medtl.training.loop import ever_cut, fit
from medtl.training.roles import expect_prior_of, forget_prior, labelled_role, prior_of


@dataclass
class FineTuned:
    """What a few labels made of a model.

    Attributes:
        classifier: fine-tuned.
        before: the model that it was made from, with the site's batch statistics.
        held_out: (N, K) logits of the labelled scans by probes that had not seen their patients; None without a probe,
            where a class has one patient only, and where the network was trained afterwards: it is another model then.
        shares: how much the labels gave to the source model and to its features; empty without a probe.
        log: rows of the training log.
    """

    classifier: Classifier
    before: Classifier
    held_out: np.ndarray | None
    shares: dict[str, float]
    log: list[dict[str, Any]]


def finetune_classifier(
    classifier: Classifier, labelled: Cohort, everyone: Cohort, config: Config, *, fabric: Fabric, folder: Path
) -> FineTuned:
    """Fine-tune a copy of the classifier.

    Args:
        classifier: stays as it is; it expects the classes alike.
        labelled: the few.
        everyone: all scans of the site that may be looked at, labelled or not: batch statistics and the scale of the
            features come from them.
        config: its `strategy` and `finetune` say how.
        fabric: where.
        folder: for checkpoints.
    """
    strategy = STRATEGIES[config.strategy]
    plan = config.finetune.plan()
    role = labelled_role(labelled, config, plan, config.seed)
    fixed = classifier.fixed or ever_cut(role, plan.steps, fabric.world_size)
    before = for_site(classifier, everyone, fixed, fabric.device)
    tuned, held_out, shares = copy.deepcopy(before), None, {}
    if strategy.layered:
        layered(tuned, _imagenet_beside(tuned, config))
    if strategy.reads:
        head = strategy.head(_few(tuned, labelled, everyone))
        put_into(tuned, head)
        held_out, shares = head.held_out, head.shares or {}
    log: list[dict[str, Any]] = []
    if strategy.trains and len(labelled) >= strategy.least:
        if strategy.reads:  # it expects the classes as often as they are labelled, and is dealt them alike
            forget_prior(tuned, prior_of(labelled, config.balance))
        log = fit(
            strategy(tuned).to(memory_format=torch.channels_last),
            {"labelled": role},
            plan,
            fabric=fabric,
            seed=config.seed,
            phase="finetune",
            checkpoint=folder / "finetune.pt",
            signature=signature_of(config, labelled, everyone) + weights_signature(classifier),
        )
        expect_prior_of(tuned, labelled, config.balance)
        held_out = None
    return FineTuned(tuned.cpu().eval(), before, held_out, shares, log)


def _few(model: Classifier, labelled: Cohort, everyone: Cohort) -> Few:
    """What a head on cached features learns from."""
    every, some = outputs(model, everyone), outputs(model, labelled)
    return Few(
        logits=some[0].astype(float),
        features=some[1].astype(float),
        label=labelled.label,
        patient=np.asarray(labelled.patient),
        all_logits=every[0].astype(float),
        all_features=every[1].astype(float),
        multilabel=labelled.multilabel,
        views=getattr(model.backbone, "views", ()),
        early=getattr(model.backbone, "early", ()),
    )


def _imagenet_beside(classifier: Classifier, config: Config) -> nn.Module | None:
    """The ImageNet backbone that the classifier came from; None where that is its own, or is not at hand."""
    stem = next(classifier.backbone.parameters())
    try:
        beside = create_backbone(config.backbone, config.weights, channels=stem.shape[1]).to(stem.device)
    except InputError as error:
        warn(f"the layers of the network are read without ImageNet's beside them: {error}")
        return None
    pairs = zip(classifier.backbone.parameters(), beside.parameters(), strict=False)
    return None if all(torch.equal(ours, theirs) for ours, theirs in pairs) else beside


def draw_shots(cohort: Cohort, shots: int, seed: int) -> np.ndarray:
    """Rows of `shots` patients a class, drawn so that more shots contain fewer: 5 shots hold the 1 shot.

    One scan a patient.

    Raises:
        InputError: a class has fewer patients than that.
    """
    if cohort.multilabel:
        raise InputError("--shots draws patients a class, and a scan here can have several: leave out --shots")
    rows: list[int] = []
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(cohort))
    taken: set[str] = set()
    for number, name in enumerate(cohort.classes):
        drawn = 0
        for row in order[cohort.label[order] == number]:
            if drawn == shots:
                break
            if cohort.patient[row] not in taken:
                taken.add(cohort.patient[row])
                rows.append(int(row))
                drawn += 1
        if drawn < shots:
            raise InputError(
                f"only {drawn} patients of class {name!r} are labelled for training, {shots} are asked for"
            )
    return np.sort(rows)
