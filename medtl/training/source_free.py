"""From a trained model and an unlabelled target to a model for it, where no source scan may be seen."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from medtl.data.cohort import Cohort
from medtl.errors import InputError
from medtl.measures import information, rank_agreement
from medtl.measures.validation import SCORES, Candidate, ranked_by
from medtl.methods import METHODS, Method
from medtl.models import Classifier
from medtl.models.batch_statistics import for_site
from medtl.runs.predict import outputs
from medtl.training.adaptation import (
    LOOKS,
    Adapted,
    Decision,
    adapt_phases,
    expect_methods,
    signature_of,
    weights_signature,
)
from medtl.training.choice import AUTO, COLLAPSED, SOURCE_ONLY
from medtl.training.config import Config
from medtl.training.loop import fit
from medtl.training.mixes import MIXES
from medtl.training.roles import forget_prior, unlabelled_role
from medtl.trust.verdict import scans_to_label

#: Methods that see target scans alone.
SOURCE_FREE = tuple(name for name, method in METHODS.items() if method.roles == ("target",))
#: Scores that look at the target alone.
SCORES_HERE = tuple(name for name in SCORES if name not in ("source", "iwv", "dev"))
#: Where the adapted model's ranks of the target's scans agree less than this with those of the model that it began as,
#: it has learnt another task. The same as the least agreement of two models at their own site
#: (`medtl.trust.expected_loss`); not measured.
MAY_CHANGE = 0.5


def check_source_free(config: Config) -> None:
    """See whether what is asked for can be done without a source scan.

    Raises:
        InputError: a method, a score or a harmonisation needs the source.
    """
    for name, _ in config.trials():
        if name not in SOURCE_FREE:
            raise InputError(
                f"{name} needs the source's scans: give them with --source, or choose a method that does without, "
                f"{' or '.join(SOURCE_FREE)}, and a Run to start from with --from"
            )
    if config.select not in ("auto", *SCORES_HERE):
        raise InputError(f"select: {config.select} looks at source scans: choose auto, {', '.join(SCORES_HERE)}")
    if mixed := set(config.harmonise) & set(MIXES):
        raise InputError(f"harmonise: {' and '.join(sorted(mixed))} mix the batches of both sites: leave them out")
    if config.with_source_only:
        raise InputError("with_source_only needs a source-only model and its scans beside: leave it out")
    if config.prior != "source":
        raise InputError(f"prior: {config.prior} takes held-out source scans: leave it out")


def adapt_without_source(
    began: Classifier, target: Cohort, config: Config, fabric: Fabric, folder: Path, prior: np.ndarray
) -> Adapted:
    """Each source-free method from the same model, and the decision.

    Args:
        began: the model to start from; stays as it is.
        target: unlabelled.
        config: what to do; see `check_source_free`.
        fabric: where.
        folder: for checkpoints; a phase that is whole is not done again.
        prior: (K,) what was added to its biases (`expect_prior_of`): it is adapted without, and gets it again.

    Returns:
        "source-only" in it is the model to start from; `at_source` holds the same models as `models`.
    """
    warm = copy.deepcopy(began)
    forget_prior(warm, prior)
    expect_methods(config, warm, target=target)
    models, methods = {SOURCE_ONLY: began}, {}
    log: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    for phase, (method, options) in adapt_phases(config).items():
        start = time.monotonic()
        adapted, rows = _adapt(warm, target, config.alone(method, options), fabric=fabric, folder=folder, phase=phase)
        models[phase], methods[phase] = for_site(adapted, target, adapted.fixed, fabric.device), method
        forget_prior(models[phase], -prior)
        normalised = for_site(began, target, adapted.fixed, fabric.device)
        log += rows
        seconds[phase] = round(time.monotonic() - start, 1)
    decision = decide_without_source(models, normalised, target, config.select)
    kept = {SOURCE_ONLY: began, "adapted": models[decision.kept]}
    some = _some(target)
    features = {
        "target_before": _embedding(began, some),
        "target_after": _embedding(kept["adapted"], some),
        "target_id": some.scan_id,
    }
    return Adapted(kept, kept, log, decision, prior, methods[decision.kept], features, seconds)


def decide_without_source(
    models: Mapping[str, Classifier], normalised: Classifier, target: Cohort, select: str = "auto"
) -> Decision:
    """Choose among the models, or fall back, by what the target alone shows.

    1. A model whose predictions at the target hold less than half of the information that those of the one to start
       from hold has collapsed, and is out.
    2. One that ranks the target's scans otherwise than the one to start from does, given the target's batch statistics
       (agreement below 0.5), has learnt another task, and is out.
    3. Of those left the one with the highest score, by default `medtl.training.choice.AUTO`; where none is left, the
       one to start from.

    That is little: source-free methods make predictions sure and drive them apart, which is what the scores look for.
    Nothing here sees what was forgotten, so `warn` is always set.

    Args:
        models: name -> the model as it is to work at the target; "source-only" is the one to start from.
        normalised: the latter with the target's batch statistics.
        target: its labels are not looked at.
        select: a name in SCORES_HERE, or "auto".
    """
    here = {name: outputs(model, target) for name, model in models.items()}
    before = ranked_by(outputs(normalised, target)[0])
    candidates = {name: _scores(*each) for name, each in here.items()}
    for name, (logits, _) in here.items():
        candidates[name] |= {"agreement": rank_agreement(before, ranked_by(logits)), "forgot": float("nan")}
    plain = candidates[SOURCE_ONLY]
    faults = {name: _fault(each, plain) for name, each in candidates.items()}
    score = AUTO if select == "auto" else select
    adapted = sorted((n for n in models if n != SOURCE_ONLY), key=lambda n: (bool(faults[n]), -candidates[n][score]))
    best = adapted[0]
    sound = not faults[best]
    why = faults[best] or "its predictions at the new site are no less decided and rank the scans much as before"
    why = why if sound else f"{best} {why}"
    signals = {
        "information": plain["information"],
        "adapted_information": candidates[best]["information"],
        "adapted_agreement": candidates[best]["agreement"],
    }
    handed_over = "adapted" if sound else SOURCE_ONLY
    by = f" by {best}" if sound else ""
    sentence = (
        f"Handed over: {handed_over}{by}, since {why}. No source scan was seen, so what it forgot and how much AUROC "
        "is lost cannot be told, and its calibration and threshold are those of the Run that it began from: label "
        f"{scans_to_label()} scans of each class here, then run `medtl calibrate` and `medtl evaluate`."
    )
    rule = (
        "An adapted model whose predictions at the new site say less than half as much as those of the one to start "
        f"from is not handed over, nor one that ranks the scans there otherwise (agreement below {MAY_CHANGE}); of "
        f"those that are left the one with the highest score ({score}) is, and where none is left, the one to start "
        "from."
    )
    return Decision(handed_over, why, sentence, True, signals, best, select, candidates, rule)


def _adapt(
    warm: Classifier, target: Cohort, config: Config, *, fabric: Fabric, folder: Path, phase: str
) -> tuple[Classifier, list[dict[str, Any]]]:
    """A copy of the model, adapted: the epoch whose predictions at the target hold the most information; the log."""
    if (target.label >= 0).any():
        raise ValueError("the target's labels must not reach the choice: pass manifest.without_labels()")
    plan, seed = config.adapt.plan(), config.seed
    chosen = METHODS[config.method]
    torch.manual_seed(seed + 3)
    method = chosen(copy.deepcopy(warm), **{**chosen.known({"target": target}), **config.options})
    some, best = _some(target), dict[str, Any]()

    def look(epoch: int, method: Method) -> dict[str, float]:
        predictor = method.predictor().eval()
        score = information(_softmax(outputs(for_site(predictor, some, predictor.fixed), some)[0]))
        if epoch and score >= best.get("score", -np.inf):
            best.update(score=score, epoch=epoch, state=copy.deepcopy(predictor.state_dict()))
        return {"target_information": score}

    log = fit(
        method.to(memory_format=torch.channels_last),
        {"target": unlabelled_role(target, config, plan, seed + 2)},
        plan,
        fabric=fabric,
        seed=seed + 3,
        phase=phase,
        checkpoint=folder / f"{phase}.pt",
        signature=signature_of(config, target) + weights_signature(warm),
        after_epoch=look,
        keep=best,
    )
    adapted = copy.deepcopy(method.predictor())
    if "state" in best:
        adapted.load_state_dict(best["state"])
    return adapted.cpu().eval(), log


def _scores(logits: np.ndarray, features: np.ndarray) -> dict[str, float]:
    none = np.zeros(0)
    candidate = Candidate(none, none, none, none, logits, features)
    return {name: float(SCORES[name](candidate)) for name in SCORES_HERE}


def _fault(signals: Mapping[str, float], before: Mapping[str, float]) -> str:
    if not signals["information"] >= COLLAPSED * before["information"]:
        return "says less than half as much by its predictions at the new site"
    if not signals["agreement"] >= MAY_CHANGE:
        return f"ranks the new site's scans otherwise than before (agreement {signals['agreement']:.2f})"
    return ""


def _some(cohort: Cohort) -> Cohort:
    """At most 192 scans, always the same ones."""
    if len(cohort) <= LOOKS:
        return cohort
    return cohort.select(np.sort(np.random.default_rng(0).permutation(len(cohort))[:LOOKS]))


def _embedding(classifier: Classifier, cohort: Cohort) -> np.ndarray:
    with torch.inference_mode():
        return classifier.classify(torch.from_numpy(outputs(classifier, cohort)[1])).embedding.numpy()


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()
