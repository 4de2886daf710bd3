"""What a training made, as a Run: trust is fitted on scans that the models have not learnt from, then all written."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from medtl.data import Cohort
from medtl.data.units import counted
from medtl.finetuning.layers import EARLY, TOLD_FROM
from medtl.intensity.fingerprint import Fingerprint, Prints
from medtl.models import Classifier
from medtl.models.beside import without_start
from medtl.progress import warn
from medtl.runs.layout import pseudonyms
from medtl.runs.predict import outputs
from medtl.runs.run import Run, write_run
from medtl.training.adaptation import Adapted
from medtl.training.config import Config
from medtl.training.few_labels import FineTuned
from medtl.training.happened import Said, what_happened
from medtl.training.roles import prior_of
from medtl.trust import Trust, fit_familiarity, fit_trust, half_the_patients, looked_at
from medtl.trust.calibrators import Map
from medtl.trust.open_set import unlike_share
from medtl.trust.shift import UNLABELLED, Seen
from medtl.verbs._training import CHECKPOINTS, Cohorts, labelled_rows

#: Source scans that the target's are compared with, to see whether they are of another kind; as measured.
KNOWN = 400
#: Of the config's `prior`, the way in `medtl.trust.shift`.
PRIORS = {"em": "label-shift", "bbse": "bbse"}
#: Labelled scans from which on a calibrate split of its own serves better than cross-validation.
MANY = 40
#: From twice so many of the target's scans on, what is familiar to the adapted model is learnt from them alone. Source
#: scans judged with their own batch statistics, as it never sees them, hide what is strange (docs/uncertainty.md).
TARGET_ALONE = 50


def trained_on(cohorts: Iterable[Cohort], start: Run | None) -> Fingerprint:
    """The range of these scans, as they were read, and of those that the Run to start from was trained on.

    It is wider than what one model has learnt from: all models of a Run share it, so that source-only counts the target
    as familiar too, and fine-tuned the scans of the calibrate split. Both are of the hospital that the Run is for.
    """
    ours = Fingerprint.fit(Prints.concat([cohort.prints for cohort in cohorts]))
    before = start.trained_on if start is not None else None
    return ours if before is None else ours.joined(before)


def write_adapted(
    folder: Path,
    adapted: Adapted,
    cohorts: Cohorts,
    config: Config,
    seen: Iterable[str] = (),
    start: Run | None = None,
) -> Run:
    """Fit trust in each model on held-out source scans, and write the Run.

    `seen`: patients whose labels the model to start from has seen; `start`: the Run to start from.
    """
    source, held_out, target = cohorts.source, cohorts.held_out, cohorts.target
    trust: dict[str, Trust] = {}
    task = task_of(source)
    said = {
        name: Said(*outputs(adapted.at_source[name], held_out), *outputs(model, target))
        for name, model in adapted.models.items()
    }
    for name, each in said.items():
        at_source, own = adapted.at_source[name], name != "source-only"
        to_learn, to_cut = what_is_familiar(
            at_source, source, each.home_features, each.here_features, target.patient, own
        )
        method, calibrator = for_prior(config.prior, each, held_out.label, task)
        trust[name] = fit_trust(
            each.home, held_out.label, held_out.patient, to_cut, to_learn, task,
            method, held_out.site_names, calibrator=calibrator,
        )  # fmt: skip
    decision = adapted.decision
    happened = what_happened(adapted, said, held_out, target, _unlike(adapted, source, said["source-only"]), task)
    for text in (*happened.warnings, *happened.remarks):
        warn(text)
    run = write_run(
        folder,
        facts={
            "method": adapted.method,
            "harmonise": list(config.harmonise),
            "task": task,
            "classes": list(source.classes),
            "seed": config.seed,
            "backbone": config.backbone,
            **_other_backbones(adapted.models),
            "bottleneck": adapted.models["source-only"].width,
            "unit": config.unit,
            "prior": adapted.prior.tolist(),
            "decision": {
                "handed_over": decision.handed_over,
                "why": decision.why,
                "sentence": decision.sentence,
                "warn": decision.warn,
                "signals": {**decision.signals, **happened.signals},
                "warnings": happened.warnings,
                "remarks": happened.remarks,
                "kept": decision.kept,
                "select": decision.select,
                "candidates": decision.candidates,
                "rule": decision.rule,
            },
            "sites": {"source": sorted(source.site_names), "target": sorted(target.site_names)},
            "patients": sorted(set(pseudonyms([*source.patient, *held_out.patient, *seen]))),
            "digests": {"source": source.manifest.digest(), "target": target.manifest.digest()},
        },
        config=config.model_dump(),
        recipe=source.recipe,
        models=adapted.models,
        trust=trust,
        trained_on=trained_on((source, target), start),
        log=pd.DataFrame(adapted.log),
        metrics={"signals": decision.signals, "seconds": adapted.seconds, "adapting": happened.to_dict()},
        features=adapted.features,
    )
    shutil.rmtree(folder / CHECKPOINTS)
    return run


def for_prior(prior: str, said: Said, label: np.ndarray, task: str) -> tuple[str, Map | None]:
    """The calibrator's name, and the calibrator where it expects other class shares than the source's.

    Args:
        prior: "source", "em" or "bbse": whose class shares the model is to expect.
        said: of held-out source scans and the target's.
        label: of the held-out scans.
        task: "binary", "multiclass" or "multilabel".
    """
    if prior == "source":
        return "temperature", None
    method = PRIORS[prior]
    return method, UNLABELLED[method](
        Seen(said.home, said.home_features, label), Seen(said.here, said.here_features), task
    )


def _unlike(adapted: Adapted, source: Cohort, said: Said) -> float:
    """Share of the target's scans that source-only knows nothing like; nan where there are too few to tell."""
    some = source.select(np.sort(np.random.default_rng(0).permutation(len(source))[:KNOWN]))
    if len(some) < 2:
        return float("nan")
    known = outputs(adapted.at_source["source-only"], some)[1]
    return unlike_share(fit_familiarity(known), said.home_features, said.here_features)


def what_is_familiar(
    at_source: Classifier,
    source: Cohort,
    held_out_features: np.ndarray,
    target_features: np.ndarray,
    patient: np.ndarray,
    own_statistics: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Features of scans to learn what is familiar from, and of scans of other patients to set the cut.

    Half of the target's patients stand on each side; source scans beside them, and held-out ones, unless the model is
    made for the target by its own batch statistics and there are enough of the target's scans.

    Args:
        at_source: the model as it judges source scans.
        source: those that it was trained on.
        held_out_features: (H, F) of other source patients.
        target_features: (N, F) as the model judges the target's scans.
        patient: (N,) of the target's scans.
        own_statistics: whether the model has the target's batch statistics.
    """
    learnt = half_the_patients(patient)
    here, there = target_features[learnt], target_features[~learnt]
    if own_statistics and min(len(here), len(there)) >= TARGET_ALONE:
        return here, there
    return train_features(at_source, source, here), np.concatenate([held_out_features, there])


def train_features(at_source: Classifier, source: Cohort, target_features: np.ndarray) -> np.ndarray:
    """What familiarity is fitted on: (M, F) of source scans, then of the target's.

    Only what `fit_familiarity` looks at, so that a large source costs neither its time nor its memory.
    """
    rows = looked_at(len(source) + len(target_features))
    ours, theirs = rows[rows < len(source)], rows[rows >= len(source)] - len(source)
    at_home = [outputs(at_source, source.select(ours))[1]] if len(ours) else []
    return np.concatenate([*at_home, target_features[theirs]])


def _other_backbones(models: Mapping[str, Classifier]) -> dict[str, dict[str, str]]:
    """Under `backbones`, timm's name of the backbone of each model that has another one than source-only."""
    names = {name: _architecture(model) for name, model in models.items()}
    others = {name: found for name, found in names.items() if found != names["source-only"]}
    return {"backbones": others} if others else {}


def _architecture(model: Classifier) -> str:
    return str(getattr(without_start(model).backbone, "pretrained_cfg", {}).get("architecture", ""))


def task_of(cohort: Cohort) -> str:
    """In the words of run.json."""
    if cohort.multilabel:
        return "multilabel"
    return "binary" if len(cohort.classes) == 2 else "multiclass"


def write_finetuned(
    folder: Path,
    tuned: FineTuned,
    labelled: Cohort,
    everyone: Cohort,
    config: Config,
    start: Run | None,
    seconds: float,
) -> Run:
    """Fit trust on labelled scans that the model has not learnt from, and write the Run.

    These are the calibrate split's labelled scans, where it has 20 and more of each class; with fewer, the labelled
    scans themselves as probes judged them that had not seen their patients (5-fold cross-validation). Where the
    network was trained and no probe speaks for it, 5 and more of each class in the calibrate split; with fewer its
    probabilities stay as they are, and the user is told.
    """
    task = task_of(labelled)
    apart = labelled_rows(everyone, "calibrate") if len(labelled) >= MANY else np.zeros(len(everyone), bool)
    least = MANY // 2 if tuned.held_out is not None else 5
    used = [labelled]
    logits: np.ndarray | None
    everywhere, known = outputs(tuned.classifier, everyone)[1], half_the_patients(everyone.patient)
    if apart.any() and _enough(everyone.label[apart], len(everyone.classes), least):
        calibration = everyone.select(apart)
        logits, features = outputs(tuned.classifier, calibration)
        used.append(calibration)
        known = ~apart
    else:
        calibration, logits, features = labelled, tuned.held_out, everywhere[~known]
    if logits is None:
        warn("no labelled scans were left to calibrate on: give `medtl calibrate` some of other patients")
        ood = fit_familiarity(everywhere[known]).cut_at(features) if known.sum() > 1 else None
        trust = {"fine-tuned": Trust(task=task, ood=ood)}
    else:
        told = logits, calibration.label, calibration.patient, features, everywhere[known], task
        trust = {"fine-tuned": fit_trust(*told, sites=calibration.site_names)}
    models = {"fine-tuned": tuned.classifier}
    if start is not None:
        models["before"], trust["before"] = start.classifier(), start.trust()
    texture = _texture_sentence(tuned.shares)
    shares = _shares_sentence(tuned.shares) if start is not None else ""
    learnt = " ".join(said for said in (shares, texture, tuned.note) if said)
    run = write_run(
        folder,
        facts={
            "method": start.facts["method"] if start is not None else "none",
            "strategy": config.strategy,
            "task": task,
            "classes": list(labelled.classes),
            "seed": config.seed,
            "backbone": config.backbone,
            "bottleneck": tuned.classifier.width,
            "unit": config.unit,
            "prior": prior_of(labelled, config.balance).tolist(),
            "decision": {
                "handed_over": "fine-tuned",
                "why": f"it has learnt from {len(labelled)} labelled {counted(config.unit)}",
                "sentence": f"Handed over: fine-tuned on {len(labelled)} labelled {counted(config.unit)} of "
                f"{len(np.unique(labelled.patient))} patients. {learnt}".strip(),
                "warn": bool(texture),
                "signals": tuned.shares,
            },
            "sites": {"source": sorted(labelled.site_names), "target": sorted(everyone.site_names)},
            "patients": sorted(
                {name for cohort in used for name in pseudonyms(cohort.patient)}
                | set(start.facts.get("patients") or [] if start else [])
            ),
            "digests": {"train": labelled.manifest.digest()},
        },
        config=config.model_dump(),
        recipe=labelled.recipe,
        models=models,
        trust=trust,
        trained_on=trained_on((everyone,), start),
        log=pd.DataFrame(tuned.log, columns=None if tuned.log else ["phase", "epoch", "step", "progress", "lr"]),
        metrics={"seconds": {"finetune": seconds}},
    )
    shutil.rmtree(folder / CHECKPOINTS)
    return run


def _enough(label: np.ndarray, classes: int, least: int) -> bool:
    if label.ndim == 2:
        return len(label) >= 2 * least
    return min(np.bincount(label, minlength=classes)) >= least


def _shares_sentence(shares: dict[str, float]) -> str:
    """What the labels say of the model that was started from."""
    if "features" not in shares:
        return ""
    alone = shares["features"]
    if alone > 0.5:
        return f"The labels speak against what the model said before (weight {1 - alone:.0%})."
    return f"The labels bear out what the model said before (weight {1 - alone:.0%})."


def _texture_sentence(shares: dict[str, float]) -> str:
    """What the user must hear where the classes differ in what early layers see."""
    if shares.get(EARLY, 0.0) < TOLD_FROM:
        return ""
    return (
        "Early layers, which see texture, sharpness and exposure, tell the classes apart better than late ones, which "
        "see shape: make sure that the classes were not acquired or stored in different ways."
    )
