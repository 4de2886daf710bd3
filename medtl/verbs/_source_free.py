"""`medtl adapt` where no source scan may be seen: a Run and the target's scans in, a Run for the target out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medtl.cluster import work_on
from medtl.data import Cohort
from medtl.errors import InputError
from medtl.progress import warn
from medtl.runs.predict import outputs
from medtl.runs.run import Run, write_run
from medtl.scans import Manifest
from medtl.training.adaptation import Adapted
from medtl.training.choice import SOURCE_ONLY
from medtl.training.config import Config
from medtl.training.source_free import adapt_without_source, check_source_free
from medtl.trust import Trust, fit_familiarity, half_the_patients
from medtl.verbs import _training as shared
from medtl.verbs._recipe import as_made
from medtl.verbs._writing import trained_on

#: Target scans on each side of the cut, from which on what is familiar is learnt from them.
ENOUGH = 20


def check_start(start: Run | None, config: Config) -> Run:
    """See whether there is something to start from, and methods that need no more.

    Raises:
        InputError: no Run is named, or what is asked for needs source scans.
    """
    check_source_free(config)
    if start is None:
        raise InputError(f"{config.trials()[0][0]} without source scans starts from a trained Run: name it with --from")
    return start


def adapt_alone(
    start: Run, which: str, unlabelled: Manifest, config: Config, folder: Path, resume: bool, cluster: str | None
) -> Run:
    """Adapt a model of a Run to the target's scans, and write the Run.

    Args:
        start: the Run to start from.
        which: its model.
        unlabelled: the target's scans; their labels are not looked at, and their test split is left alone.
        config: settled for the Run (`as_started`).
        folder: the new Run's.
        resume: go on with a run that was cut off.
        cluster: the address of a Dask scheduler.

    Raises:
        InputError: there are fewer than two scans, none can be prepared, or the options are wrong.
    """
    scans = shared.to_adapt_to(unlabelled)
    told: dict[str, Any] = {"classes": start.classes, "multilabel": start.task == "multilabel", "unit": config.unit}
    with work_on(cluster):
        try:
            target = Cohort(scans.without_labels(), start.recipe, progress="Preparing target scans", **told)
        except InputError as error:
            raise InputError(f"target scans: {error}") from error
    if target.failed:
        warn(f"{len(target.failed)} of the target's scans left out, the first: {next(iter(target.failed.values()))}")
    config = as_made(config, start.recipe)
    prior = np.asarray(start.facts.get("prior") or [0.0] * len(start.classes))
    fabric = shared.fabric_for(config)
    with shared.checkpoints(folder, resume, fabric) as place:
        adapted = adapt_without_source(start.classifier(which), target, config, fabric, place, prior)
        if not fabric.is_global_zero:
            raise SystemExit(0)
        return _write(folder, adapted, target, config, start, which)


def _write(folder: Path, adapted: Adapted, target: Cohort, config: Config, start: Run, which: str) -> Run:
    """Write the Run: each model with the trust of the one that was started from, as far as that can be kept."""
    decision, kept = adapted.decision, ("task", "classes", "bottleneck", "harmonise", "prior")
    run = write_run(
        folder,
        facts={
            **{name: start.facts[name] for name in kept if name in start.facts},
            "method": adapted.method,
            "backbone": config.backbone,
            "seed": config.seed,
            "unit": config.unit,
            "source_free": True,
            "decision": {
                "handed_over": decision.handed_over,
                "why": decision.why,
                "sentence": decision.sentence,
                "warn": decision.warn,
                "signals": decision.signals,
                "kept": decision.kept,
                "select": decision.select,
                "candidates": decision.candidates,
                "rule": decision.rule,
            },
            "sites": {
                "source": (start.facts.get("sites") or {}).get("source", []),
                "target": sorted(target.site_names),
            },
            "patients": start.facts.get("patients") or [],
            "digests": {"target": target.manifest.digest()},
        },
        config=config.model_dump(),
        recipe=start.recipe,
        models=adapted.models,
        trust={SOURCE_ONLY: start.trust(which), "adapted": _trust(start.trust(which), adapted, target)},
        trained_on=trained_on((target,), start),
        log=pd.DataFrame(adapted.log),
        metrics={"signals": decision.signals, "seconds": adapted.seconds},
        features=adapted.features,
    )
    shutil.rmtree(folder / shared.CHECKPOINTS)
    return run


def _trust(before: Trust, adapted: Adapted, target: Cohort) -> Trust:
    """The calibrator, threshold and sets of the model that was started from; what is familiar by the target's scans.

    Half of the target's patients tell what is familiar to the adapted model, the others where to cut.
    """
    features, learnt = outputs(adapted.models["adapted"], target)[1], half_the_patients(target.patient)
    if min(learnt.sum(), (~learnt).sum()) < ENOUGH:
        warn(
            f"{len(target)} target scans are too few to learn what is familiar, so the adapted model takes every scan "
            f"for familiar: give it scans of {ENOUGH} patients or more on each half"
        )
        return replace(before, ood=None)
    return replace(before, ood=fit_familiarity(features[learnt]).cut_at(features[~learnt]))
