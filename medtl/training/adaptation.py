"""From a labelled source and an unlabelled target to the model that is handed over, and why that one."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric

from medtl.data.cohort import Cohort
from medtl.finetuning.heads import margin_scale
from medtl.measures import information, rank_agreement
from medtl.measures.validation import Candidate, mean_auroc, ranked_by, signals_of
from medtl.methods import METHODS, Method
from medtl.methods.shallow import FEATURE_METHODS
from medtl.models import Classifier, create_backbone
from medtl.models.averaging import averaged
from medtl.models.batch_statistics import for_site
from medtl.models.beside import WithStart, is_plain, with_start
from medtl.runs.predict import outputs
from medtl.training.by_features import fit_by_features
from medtl.training.choice import AVERAGE, MAY_FORGET, SOURCE_ONLY, choose, ranking, rule
from medtl.training.config import Config
from medtl.training.loop import fit
from medtl.training.mixes import mixes_for, name_with
from medtl.training.roles import expect_prior_of, labelled_role, prior_of, unlabelled_role
from medtl.trust import expected_loss

#: Scans of each site that are looked at after each epoch.
LOOKS = 192


@dataclass(frozen=True)
class Decision:
    """What is handed over, and why.

    Attributes:
        handed_over: "adapted" or "source-only".
        why: the rule that decided, in plain words.
        sentence: what to tell the user: which model, why, how much is likely lost, how many scans to label.
        warn: whether AUROC is likely lost at the new site.
        signals: how source-only and the best of the others look; none of the numbers has seen a target label.
        kept: the best of those that were tried, which stays in the Run as "adapted"; "" where none was.
        select: the score that was asked for, or "auto".
        candidates: name -> the numbers that the rule looked at (`medtl.measures.validation.signals_of`).
        rule: how it was chosen, in plain words.
    """

    handed_over: str
    why: str
    sentence: str
    warn: bool
    signals: dict[str, float]
    kept: str = ""
    select: str = "auto"
    candidates: dict[str, dict[str, float]] = field(default_factory=dict)
    rule: str = ""


@dataclass
class Adapted:
    """What adaptation made.

    Attributes:
        models: "source-only", and "adapted" as it is to work at the target (see `for_site`).
        at_source: the same models as they judge source scans.
        method: the one that made "adapted".
        log: rows of the training log.
        decision: which model is handed over.
        prior: (K,) what `expect_prior_of` added to the biases of the models.
        features: embeddings of both sites before and, unless the method judges by what lies before them, after; where
            it weighs the source's scans, these and how much each counts.
        seconds: how long each phase trained in this process.
    """

    models: dict[str, Classifier]
    at_source: dict[str, Classifier]
    log: list[dict[str, Any]]
    decision: Decision
    prior: np.ndarray
    method: str = SOURCE_ONLY
    features: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Trained(NamedTuple):
    """What `adapt_classifier` made: the best epoch."""

    classifier: Classifier  # with the running statistics of its training
    score: float  # the information that its predictions hold about some of the target's scans
    source_weights: np.ndarray | None  # (N,) how much each source scan counts, 1 on average; None: all alike


class Tried(NamedTuple):
    """One of the models that are chosen among, by whatever it was made."""

    at_target: Classifier  # as it is to work there
    at_source: Classifier  # as it judges source scans
    source_weights: np.ndarray | None
    method: str
    trained: Classifier | None = None  # as its training left it; None where nothing was trained from source-only on


def new_classifier(config: Config, n_classes: int, channels: int, seed: int) -> Classifier:
    """A classifier on the ImageNet backbone, its new layers drawn from the seed."""
    torch.manual_seed(seed)
    backbone = create_backbone(config.backbone, config.weights, config.pretrained, channels)
    return Classifier(backbone, n_classes, pooling=config.pooling).to(memory_format=torch.channels_last)


def signature_of(config: Config, *cohorts: Cohort) -> str:
    """16 hex digits that change with the configuration or the scans."""
    told = config.model_dump(mode="json", exclude={"device", "devices"})
    scans = [[cohort.recipe.digest, *cohort.members, *cohort.label.tolist()] for cohort in cohorts]
    return hashlib.sha256(json.dumps([told, scans], sort_keys=True).encode()).hexdigest()[:16]


def weights_signature(classifier: Classifier) -> str:
    """16 hex digits that change with the weights: a training that was begun from others is not gone on with."""
    digest = hashlib.sha256()
    for name, value in classifier.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def train_source_only(
    source: Cohort,
    held_out: Cohort,
    config: Config,
    *,
    fabric: Fabric,
    folder: Path,
    seed: int,
    phase: str = "source-only",
) -> tuple[Classifier, list[dict[str, Any]]]:
    """Train on the source's labels alone, each class and site dealt as often as the others."""
    classifier = new_classifier(config, len(source.classes), source.recipe.channels, seed)
    method = METHODS["source-only"](classifier)
    some_source = _some(held_out)

    def look(epoch: int, method: Method) -> dict[str, float]:
        return {"source_auroc": mean_auroc(outputs(classifier.eval(), some_source)[0], some_source.label)}

    log = fit(
        method,
        {"source": labelled_role(source, config, config.source.plan(), seed)},
        config.source.plan(),
        fabric=fabric,
        seed=seed,
        phase=phase,
        checkpoint=folder / f"{phase}.pt",
        signature=signature_of(config.alone(SOURCE_ONLY, {}), source, held_out),
        after_epoch=look,
    )
    return classifier.cpu().eval(), log


def adapt_classifier(
    warm: Classifier,
    source: Cohort,
    held_out: Cohort,
    target: Cohort,
    config: Config,
    *,
    fabric: Fabric,
    folder: Path,
    options: Mapping[str, Any],
    phase: str,
    begun_from: str = "",
) -> tuple[Trained, list[dict[str, Any]]]:
    """Adapt a copy of the source-only model, and keep the epoch that a label-free score likes best.

    The score is the information that the predictions on the target hold about the class (Bridle et al., NIPS 1991;
    among the validators of Musgrave et al., arXiv:2208.07360): sure scan by scan, and not of one class alone. An epoch
    that lost more than 0.05 of the source's AUROC is not a candidate. No target label is reachable from here: the
    target's cohort has none.

    `begun_from` is what a checkpoint must say of `warm`, where that is not the source-only model of the same training.

    Returns:
        the best epoch; the log.
    """
    if (target.label >= 0).any():
        raise ValueError("the target's labels must not reach the choice: pass manifest.without_labels()")
    plan, seed = config.adapt.plan(), config.seed
    chosen = METHODS[config.method]
    options = {**chosen.known({"source": source, "target": target}), **options}
    torch.manual_seed(seed + 3)  # the method's own layers, also where the phases before were resumed
    method = chosen(copy.deepcopy(warm), **options).to(memory_format=torch.channels_last)
    roles = {
        "source": labelled_role(source, config, plan, seed + 1),
        "target": unlabelled_role(target, config, plan, seed + 2),
    }
    mixes = mixes_for(config.harmonise)
    roles = {name: role for name, role in roles.items() if name in method.roles or mixes}
    some_target, some_source = _some(target), _some(held_out)
    best: dict[str, Any] = {}

    def look(epoch: int, method: Method) -> dict[str, float]:
        predictor = method.predictor().eval()
        here = for_site(predictor, some_target, predictor.fixed)
        score = _information(outputs(here, some_target)[0], target)
        home = for_site(predictor, some_source, predictor.fixed) if chosen.own_statistics else predictor
        source_auroc = mean_auroc(outputs(home, some_source)[0], some_source.label)
        forgot = source_auroc < best.get("first_auroc", source_auroc) - MAY_FORGET
        best.setdefault("first_auroc", source_auroc)
        if epoch and not forgot and score >= best.get("score", -np.inf):
            best.update(score=score, epoch=epoch, state=copy.deepcopy(predictor.state_dict()))
        return {"target_information": score, "source_auroc": source_auroc}

    log = fit(
        method,
        roles,
        plan,
        fabric=fabric,
        seed=seed + 3,
        phase=phase,
        checkpoint=folder / f"{phase}.pt",
        signature=signature_of(config, source, held_out, target) + begun_from,
        after_epoch=look,
        keep=best,
        mixes=mixes,
    )
    adapted = copy.deepcopy(method.predictor())
    if "state" in best:
        adapted.load_state_dict(best["state"])
    weights = method.source_weights()
    counted = None if weights is None else weights.detach().float().cpu().numpy()
    return Trained(adapted.cpu().eval(), float(best.get("score", -np.inf)), counted), log


def adapt_cohorts(
    source: Cohort,
    held_out: Cohort,
    target: Cohort,
    config: Config,
    fabric: Fabric,
    folder: Path,
    warm: Classifier | None = None,
) -> Adapted:
    """The whole of it: source-only, a second source-only to see whether they agree, each method, the decision.

    Args:
        source: labelled, to train on.
        held_out: labelled, of other patients of the same sites.
        target: unlabelled.
        config: what to do.
        fabric: where.
        folder: for checkpoints; a phase that is whole is not done again.
        warm: a source-only model to start from instead of training one; it expects the classes alike.
    """
    begun_from = "" if warm is None else weights_signature(warm)
    log: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}

    def timed(phase: str, trained: tuple[Any, list[dict[str, Any]]], start: float) -> Any:
        log.extend(trained[1])
        seconds[phase] = round(time.monotonic() - start, 1)
        return trained[0]

    train: dict[str, Any] = {"fabric": fabric, "folder": folder}
    expect_methods(
        config,
        warm or new_classifier(config, len(source.classes), source.recipe.channels, config.seed),
        source=source,
        target=target,
    )
    start = time.monotonic()
    if warm is None:
        warm = timed("source-only", train_source_only(source, held_out, config, seed=config.seed, **train), start)
    start = time.monotonic()
    second = train_source_only(source, held_out, config, seed=config.seed + 1, phase="witness", **train)
    witness = timed("witness", second, start)
    tried = {SOURCE_ONLY: Tried(warm, warm, None, SOURCE_ONLY)}
    for phase, (method, options) in adapt_phases(config).items():
        start = time.monotonic()
        alone = config.alone(method, options)
        made = _try(warm, source, held_out, target, alone, phase=phase, begun_from=begun_from, **train)
        tried[phase] = timed(phase, made, start)
    if average := _average(tried, source, target, fabric.device):
        tried[AVERAGE] = average
    if config.with_source_only and is_plain(warm):
        its = _size(warm, target, fabric.device)
        tried = {name: _beside(each, warm, its, target, fabric.device) for name, each in tried.items()}
    everyone = {id(model): model for each in tried.values() for model in each[:2]}.values()
    for model in everyone:
        expect_prior_of(model, source, config.balance)
    for model in (*everyone, witness):
        model.to(fabric.device)
    decision = decide(
        {name: each.at_target for name, each in tried.items()},
        {name: each.at_source for name, each in tried.items()},
        witness, held_out, target, config.harmonise, config.select,
    )  # fmt: skip
    if decision.handed_over == "adapted" and isinstance(tried[decision.kept].at_target.backbone, WithStart):
        said = "Its answers are averaged with source-only's."
        decision = replace(decision, sentence=f"{decision.sentence} {said}")
    for model in everyone:
        model.cpu()
    names = {SOURCE_ONLY: SOURCE_ONLY, **({"adapted": decision.kept} if decision.kept else {})}
    models = {role: tried[name].at_target for role, name in names.items()}
    at_source = {role: tried[name].at_source for role, name in names.items()}
    best = tried[decision.kept or SOURCE_ONLY]
    seen_by = {"before": SOURCE_ONLY}
    if best.method not in FEATURE_METHODS:  # these judge by what lies before the embedding, which says nothing of them
        seen_by["after"] = "adapted" if decision.kept else SOURCE_ONLY
    features = _embeddings(seen_by, models, at_source, held_out, target)
    if best.source_weights is not None:
        features |= {"source_weight": best.source_weights, "source_weight_id": source.scan_id}
    return Adapted(models, at_source, log, decision, prior_of(source, config.balance), best.method, features, seconds)


def expect_methods(config: Config, classifier: Classifier, **cohorts: Cohort) -> None:
    """See whether each method can be made and can do with these scans, before hours go into what comes first.

    Args:
        config: says which, and their options.
        classifier: one like that which they will start from; stays as it is.
        cohorts: those of the methods' roles.

    Raises:
        InputError: one cannot.
    """
    for name, options in config.trials():
        if name in FEATURE_METHODS:
            FEATURE_METHODS[name](**options)
        else:
            METHODS[name].expect(cohorts, name)
            METHODS[name](copy.deepcopy(classifier), **{**METHODS[name].known(cohorts), **options})


def _average(tried: Mapping[str, Tried], source: Cohort, target: Cohort, device: torch.device) -> Tried | None:
    """The mean of all networks that were trained, with each site's batch statistics; None where it is of less than two.

    All began as the same source-only model; those of another shape (a student's) are left out. It was better than its
    members on average on each of twelve pairs of hospitals, and as good as the mean of their predictions
    (docs/choosing.md).
    """
    usual = [value.shape for value in tried[SOURCE_ONLY].at_target.state_dict().values()]
    made = [(each.method, each.trained) for each in tried.values() if each.trained is not None]
    made = [each for each in made if [value.shape for value in each[1].state_dict().values()] == usual]
    if len(made) < 2:
        return None
    mean = averaged([network for _, network in made]).eval()
    mean.fixed = made[0][1].fixed
    at_target, at_source = (for_site(mean, cohort, mean.fixed, device) for cohort in (target, source))
    return Tried(at_target, at_source, None, ", ".join(dict.fromkeys(name for name, _ in made)))


def _size(model: Classifier, target: Cohort, device: torch.device) -> float:
    """How large the model's logits are at the target."""
    size = margin_scale(outputs(model.to(device), target)[0], target.multilabel)
    model.cpu()
    return size


def _beside(tried: Tried, warm: Classifier, its: float, target: Cohort, device: torch.device) -> Tried:
    """Its answers and source-only's, as large as each other at the target, averaged; another architecture as it is.

    An adapted model sees the target through the target's batch statistics, source-only through its own: they err in
    different ways (docs/choosing.md). `its` is the `_size` of source-only's.
    """
    shapes = [[value.shape for value in model.backbone.state_dict().values()] for model in (tried.at_target, warm)]
    if tried.method == SOURCE_ONLY or shapes[0] != shapes[1]:
        return tried
    weights = (0.5, 0.5 * _size(tried.at_target, target, device) / its)
    at_target, at_source = (with_start(model, warm, *weights) for model in (tried.at_target, tried.at_source))
    return tried._replace(at_target=at_target, at_source=at_source)


def _try(
    warm: Classifier, source: Cohort, held_out: Cohort, target: Cohort, config: Config, **told: Any
) -> tuple[Tried, list[dict[str, Any]]]:
    """One method, by training or on features."""
    name, device = config.method, told["fabric"].device
    if name in FEATURE_METHODS:
        fitted = fit_by_features(warm, source, target, name, config.options, balance=config.balance, device=device)
        row = {"phase": told["phase"], "epoch": 0, "step": 0, "progress": 1.0}
        return Tried(*fitted[:2], fitted.source_weights, name), [row]
    trained, log = adapt_classifier(warm, source, held_out, target, config, options=config.options, **told)
    at_target = for_site(trained.classifier, target, trained.classifier.fixed, device)
    at_source = trained.classifier
    if METHODS[name].own_statistics:
        at_source = for_site(at_source, source, at_source.fixed, device)
    return Tried(at_target, at_source, trained.source_weights, name, trained.classifier), log


def adapt_phases(config: Config) -> dict[str, tuple[str, dict[str, Any]]]:
    """Phases that bring the sites together, such as "dann with fda" -> the method and its options.

    `--method source-only` with something that acts on batches is a training too: source-only goes on with it; without,
    there is none.
    """
    phases: dict[str, tuple[str, dict[str, Any]]] = {}
    for method, options in config.trials():
        name = name_with(method, config.harmonise)
        if name != SOURCE_ONLY:
            number = sum(each.rsplit(" ", 1)[0] == name or each == name for each in phases)
            phases[name if not number else f"{name} {number + 1}"] = (method, options)
    return phases


def decide(
    models: Mapping[str, Classifier],
    at_source: Mapping[str, Classifier],
    witness: Classifier,
    held_out: Cohort,
    target: Cohort,
    harmonise: Sequence[str] = (),
    select: str = "auto",
) -> Decision:
    """Choose among the models, or fall back to source-only, by what is visible without target labels.

    `medtl.training.choice.choose` has the rule. Warn where two source-only models agree less in rank at the target than
    at home by more than 0.1.

    Args:
        models: name -> the model as it is to work at the target; "source-only" is among them.
        at_source: the same as they judge source scans.
        witness: a second source-only model.
        held_out: labelled source scans of other patients.
        target: its labels are not looked at.
        harmonise: what evened the scans out, for the sentence.
        select: a name in `medtl.measures.validation.SCORES`, or "auto".
    """
    home = {name: outputs(model, held_out) for name, model in at_source.items()}
    here = {name: outputs(model, target) for name, model in models.items()}
    seen = {name: Candidate(*home[name], held_out.label, held_out.patient, *here[name]) for name in models}
    candidates = {name: signals_of(each, seen[SOURCE_ONLY]) for name, each in seen.items()}
    plain = candidates[SOURCE_ONLY]
    signals = {
        "agreement_source": _agreement(home[SOURCE_ONLY][0], outputs(witness, held_out)[0], held_out),
        "agreement_target": _agreement(here[SOURCE_ONLY][0], outputs(witness, target)[0], target),
        "source_auroc": plain["source"],
        "information": plain["information"],
    }
    lost = expected_loss(signals["agreement_source"], signals["agreement_target"], signals["source_auroc"])
    name, why = choose(candidates, select)
    adapted = ranking(candidates, select)
    if not adapted:
        alike = f", on scans harmonised by {' and '.join(harmonise)}" if harmonise else ""
        sentence = f"Handed over: source-only{alike}. {lost.sentence}"
        return Decision(SOURCE_ONLY, f"{why}{alike}", sentence, lost.warn, signals, "", select, candidates)
    kept = candidates[adapted[0]]
    signals |= {
        "adapted_source_auroc": kept["source"],
        "adapted_information": kept["information"],
        "adapted_agreement": kept["agreement"],
    }
    handed_over = SOURCE_ONLY if name == SOURCE_ONLY else "adapted"
    by = f" by {name}" if handed_over == "adapted" and len(adapted) > 1 else ""
    sentence = f"Handed over: {handed_over}{by}, since {why}. {lost.sentence}"
    return Decision(handed_over, why, sentence, lost.warn, signals, adapted[0], select, candidates, rule(select))


def _some(cohort: Cohort) -> Cohort:
    """At most 192 scans, always the same ones."""
    if len(cohort) <= LOOKS:
        return cohort
    return cohort.select(np.sort(np.random.default_rng(0).permutation(len(cohort))[:LOOKS]))


def _embeddings(
    seen_by: Mapping[str, str],
    models: Mapping[str, Classifier],
    at_source: Mapping[str, Classifier],
    held_out: Cohort,
    target: Cohort,
) -> dict[str, np.ndarray]:
    """Where at most 192 scans of each site lie, for the report; `seen_by` is "before" or "after" -> which model."""
    source, target = _some(held_out), _some(target)
    found = {"source_label": source.label, "source_id": source.scan_id, "target_id": target.scan_id}
    for when, name in seen_by.items():
        found[f"source_{when}"] = _embedding(at_source[name], source)
        found[f"target_{when}"] = _embedding(models[name], target)
    return found


def _embedding(classifier: Classifier, cohort: Cohort) -> np.ndarray:
    features = torch.from_numpy(outputs(classifier, cohort)[1])
    with torch.inference_mode():
        return classifier.classify(features).embedding.numpy()


def _agreement(a: np.ndarray, b: np.ndarray, cohort: Cohort) -> float:
    """Rank agreement of two models' logits (N, K), the mean over the classes."""
    return rank_agreement(ranked_by(a, cohort.multilabel), ranked_by(b, cohort.multilabel))


def _information(logits: np.ndarray, cohort: Cohort) -> float:
    """What the predictions say of the class, in nats; for several labels a scan, the mean over them."""
    if not cohort.multilabel:
        return information(_probabilities(logits))
    p = torch.sigmoid(torch.from_numpy(logits)).numpy()
    return float(np.mean([information(np.stack([1 - each, each], axis=1)) for each in p.T]))


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()
