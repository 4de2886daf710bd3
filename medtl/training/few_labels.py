"""From a model and a few labels of the new site to a model that has learnt from them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from medtl.data.cohort import Cohort
from medtl.errors import InputError
from medtl.finetuning import STRATEGIES, Strategy
from medtl.finetuning.heads import Few, Head, put_into
from medtl.methods import Method
from medtl.models import Classifier, create_backbone
from medtl.models.batch_statistics import for_site
from medtl.models.layers import Layered, can_be_layered, layered
from medtl.progress import warn
from medtl.runs.predict import outputs
from medtl.training.adaptation import new_classifier, signature_of, weights_signature
from medtl.training.config import Config
from medtl.training.early_stopping import enough_steps, fold_of, surprise
from medtl.training.loop import Role, ever_cut, fit
from medtl.training.roles import expect_prior_of, forget_prior, labelled_role, prior_of, unlabelled_role


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
        note: what the user must hear of it: that the network was left as it is, or trained for fewer steps, and why.
    """

    classifier: Classifier
    before: Classifier
    held_out: np.ndarray | None
    shares: dict[str, float]
    log: list[dict[str, Any]]
    note: str = ""


def from_backbone(config: Config, n_classes: int, channels: int) -> Classifier:
    """A classifier to start from without a Run: the ImageNet backbone, and a head of zeros, which says nothing yet."""
    classifier = new_classifier(config, n_classes, channels, config.seed)
    for parameter in classifier.head.parameters():
        torch.nn.init.zeros_(parameter)
    return classifier


def finetune_classifier(
    classifier: Classifier,
    labelled: Cohort,
    everyone: Cohort,
    config: Config,
    *,
    fabric: Fabric,
    folder: Path,
    source: Cohort | None = None,
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
        source: labelled scans of the source, by the same recipe, for a strategy that goes on learning from them (mme).
    """
    strategy = STRATEGIES[config.strategy]
    plan = config.finetune.plan()
    roles = _roles(strategy, labelled, everyone, source, config)
    fixed = classifier.fixed or any(ever_cut(role, plan.steps, fabric.world_size) for role in roles.values())
    before = for_site(classifier, everyone, fixed, fabric.device)
    start = copy.deepcopy(before)
    if strategy.layered:
        layered(start, _imagenet_beside(start, config, everyone.recipe.channels))
    few = _few(start, labelled, everyone) if strategy.reads else None
    tuned, head = _with_head(strategy, start, few)
    held_out, shares = (head.held_out, head.shares or {}) if head is not None else (None, {})
    if not strategy.trains:
        return FineTuned(tuned.cpu().eval(), before, held_out, shares, [])
    if len(labelled) < strategy.least:
        note = f"With fewer than {strategy.least} labelled scans, {config.strategy} leaves the network as it is."
        return FineTuned(tuned.cpu().eval(), before, held_out, shares, [], note)
    cohorts = [labelled, everyone, *([source] if source is not None else [])]
    signature = signature_of(config, *cohorts) + weights_signature(classifier)

    def train(model: Classifier, scans: Cohort, steps: int, phase: str, **looks: Any) -> list[dict[str, Any]]:
        if strategy.reads:  # the head expects the classes as often as they are labelled, and is dealt them alike
            forget_prior(model, prior_of(scans, config.balance))
        method = strategy(model, **config.strategy_options).to(memory_format=torch.channels_last)
        told: dict[str, Any] = {"fabric": fabric, "seed": config.seed, "phase": phase, "signature": signature, **looks}
        roles = _roles(strategy, scans, everyone, source, config)
        return fit(method, roles, replace(plan, steps=steps), checkpoint=folder / f"{phase}.pt", **told)

    steps = plan.steps
    log: list[dict[str, Any]] = []
    rows = fold_of(labelled, config.seed) if config.early_stopping else None
    if rows is not None:
        model, _ = _with_head(strategy, start, few.select(~rows) if few is not None else None)
        steps, log = _how_long(train, model, labelled, rows, plan.steps, config)
    if steps == 0:
        if not strategy.reads:
            expect_prior_of(tuned, labelled, config.balance)
        note = "Patients held out were foretold best without any training: the network stays as it is."
        return FineTuned(tuned.cpu().eval(), before, held_out, shares, log, note)
    learn = [parameter.requires_grad for parameter in tuned.parameters()]
    log += train(tuned, labelled, steps, "finetune")
    for parameter, learns in zip(tuned.parameters(), learn, strict=True):
        parameter.requires_grad_(learns)
    expect_prior_of(tuned, labelled, config.balance)
    note = f"Patients held out were foretold best after {steps} of {plan.steps} steps: it was trained for so many."
    return FineTuned(tuned.cpu().eval(), before, None, shares, log, note if steps < plan.steps else "")


def _with_head(strategy: type[Strategy], start: Classifier, few: Few | None) -> tuple[Classifier, Head | None]:
    """A copy of the model with the head that the strategy fits to the labels, where it fits one; and that head."""
    model, head = copy.deepcopy(start), None
    if few is not None:
        head = strategy.head(few)
        put_into(model, head)
    return model, head


def _how_long(
    train: Callable[..., list[dict[str, Any]]],
    model: Classifier,
    labelled: Cohort,
    rows: np.ndarray,
    steps: int,
    config: Config,
) -> tuple[int, list[dict[str, Any]]]:
    """The steps after which a model that is trained on the other rows foretells these best; the log of that training.

    See `medtl.training.early_stopping`.
    """
    held_out, rest = labelled.select(rows), labelled.select(~rows)
    prior = prior_of(rest, config.balance)
    keep: dict[Any, Any] = {}

    def look(epoch: int, method: Method) -> dict[str, float]:
        keep[epoch] = surprise(method.predictor().eval(), held_out, prior)
        return {"surprise": float(np.mean(keep[epoch]))}

    log = train(model, rest, steps, "how long", after_epoch=look, keep=keep)
    return enough_steps(keep, held_out.patient, steps), log


def _roles(
    strategy: type[Strategy], labelled: Cohort, everyone: Cohort, source: Cohort | None, config: Config
) -> dict[str, Role]:
    """What is dealt for each of the strategy's roles."""
    plan, seed = config.finetune.plan(), config.seed
    roles = {"labelled": labelled_role(labelled, config, plan, seed)}
    if "unlabelled" in strategy.roles:
        roles["unlabelled"] = unlabelled_role(everyone, config, plan, seed + 1)
    if "source" in strategy.roles and source is not None:
        roles["source"] = labelled_role(source, config, plan, seed + 2)
    return roles


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


def _imagenet_beside(classifier: Classifier, config: Config, channels: int) -> nn.Module | None:
    """The ImageNet backbone that the classifier came from; None where `layered` wants none, or none is at hand.

    It wants none beside ImageNet's own weights, nor where the classifier is read at several depths or cannot be, nor
    from scratch.
    """
    if isinstance(classifier.backbone, Layered) or not can_be_layered(classifier.backbone) or not config.pretrained:
        return None
    try:
        beside = create_backbone(config.backbone, config.weights, channels=channels)
    except InputError as error:
        warn(f"the layers of the network are read without ImageNet's beside them: {error}")
        return None
    pairs = zip(classifier.backbone.parameters(), beside.parameters(), strict=False)
    same = all(torch.equal(ours.cpu(), theirs) for ours, theirs in pairs)
    return None if same else beside.to(next(classifier.parameters()).device)


def draw_shots(cohort: Cohort, shots: int, seed: int) -> np.ndarray:
    """Rows of `shots` patients a class, drawn so that more shots contain fewer: 5 shots hold the 1 shot.

    One scan a patient, who stands for one class.

    Raises:
        InputError: a class has fewer patients than that.
    """
    if cohort.multilabel:
        raise InputError("--shots draws patients a class, and a scan here can have several: leave out --shots")
    order = np.random.default_rng(seed).permutation(len(cohort))
    waiting = [list(order[cohort.label[order] == number]) for number in range(len(cohort.classes))]
    rows: list[int] = []
    taken: set[str] = set()
    for drawn in range(shots):  # a round a shot, so that a patient with scans of two classes is drawn for the same one
        for name, scans in zip(cohort.classes, waiting, strict=True):
            row = next((row for row in scans if cohort.patient[row] not in taken), None)
            if row is None:
                raise InputError(
                    f"only {drawn} patients of class {name!r} are labelled for training, {shots} are asked for"
                )
            taken.add(cohort.patient[row])
            rows.append(int(row))
    return np.sort(rows)
