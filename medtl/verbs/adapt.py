"""`medtl adapt`: a labelled source and an unlabelled target in, a model that works at the target out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def adapt(
    source: Sequence[Path | str | Manifest] | None,
    target: Path | str | Manifest,
    out: Path | str,
    method: str | None = None,
    methods: Sequence[str] | None = None,
    select: str | None = None,
    from_run: Path | str | None = None,
    config: Path | str | None = None,
    backbone: str | None = None,
    recipe: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    devices: int | None = None,
    precision: str | None = None,
    cluster: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> Run:
    """Adapt a classifier to your hospital's scans, which need no labels.

    The target's labels are never looked at, and its test split is left alone, so that `medtl evaluate` can measure on
    it. The source-only model stays in the Run beside the adapted one.

    Args:
        source: one or more manifests or folders with labels. Methods such as shot and tent do without, from a Run: no
            source scan is then seen, and the Run's calibration and threshold are kept.
        target: a manifest or folder of your own hospital.
        out: the Run's folder.
        method: see `medtl methods`; dann unless the config says otherwise.
        methods: several, such as dann,mcc,tca: each starts from the same source-only model, and one is kept.
        select: the score by which it is kept, as no target label may choose: source, iwv, dev, entropy, information,
            snd, mcc, corr-c, nuclear-norm or clusters; auto is the rule in docs/choosing.md. What cost the source or
            collapsed is never handed over.
        from_run: a Run whose source-only model to start from.
        config: a YAML file; see configs/.
        backbone: a timm model; see `medtl backbones`.
        recipe: how pixels become input; see `medtl recipes`.
        seed: the same data, config and seed give the same model.
        device: auto, cpu, cuda or mps.
        devices: how many of them.
        precision: 32-true, bf16-mixed or 16-mixed.
        cluster: the address of a Dask scheduler, whose workers read and prepare the scans: tcp://HOST:8786.
        resume: go on with a run that was cut off.
        force: replace what is there.

    Raises:
        InputError: the scans, the labels or the options are wrong.
    """
    from medtl.cluster import work_on
    from medtl.data.units import with_labels
    from medtl.progress import say, warn
    from medtl.runs.run import Run
    from medtl.scans import Manifest, check_leaks
    from medtl.training.adaptation import adapt_cohorts
    from medtl.training.config import load_config
    from medtl.verbs import _training as shared
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._recipe import as_made, as_started, recipe_of
    from medtl.verbs._source_free import adapt_alone, check_start
    from medtl.verbs._writing import write_adapted

    told = load_config(
        config,
        method=method,
        methods=methods,
        select=select,
        backbone=backbone,
        recipe=recipe,
        seed=seed,
        device=device,
        devices=devices,
        precision=precision,
    )
    folder = shared.folder_for(out, resume, force, from_run)
    start = Run.load(from_run) if from_run is not None else None
    which = "source-only" if start is not None and "source-only" in start.names else "model"
    told = told if start is None else as_started(told, start, which)
    if source is None:
        start = check_start(start, told)
        run = adapt_alone(start, which, manifest_of(target), told, folder, resume, cluster)
        say(f"{run.decision['sentence']}\nNext: medtl evaluate {run.path} --on SCANS_WITH_LABELS -o my-report")
        return run
    sources = [source] if isinstance(source, str | Path | Manifest) else list(source)
    with work_on(cluster):
        labelled = with_labels(Manifest.concat([manifest_of(each) for each in sources]), told.unit)
        unlabelled = manifest_of(target)
    check_leaks(labelled, unlabelled, sides=("source", "target"))
    classes = shared.classes_of(labelled, unlabelled)
    if start is not None:
        shared.check_classes(start, classes, labelled)
        classes = start.classes
    shared.check_splits(labelled, unlabelled)
    steps = recipe_of(told, labelled, unlabelled, start)
    told = as_made(told, steps)
    multilabel = shared.several(labelled) if start is None else start.task == "multilabel"
    with work_on(cluster):
        cohorts = shared.Cohorts.prepare(labelled, unlabelled.without_labels(), steps, classes, multilabel, told.unit)
    for text in cohorts.left_out():
        warn(text)
    shared.check_prior(told.prior, cohorts)
    fabric = shared.fabric_for(told)
    warm = None
    if start is not None:
        warm = shared.classifier_of(start, which)
    with shared.checkpoints(folder, resume, fabric) as place:
        adapted = adapt_cohorts(cohorts.source, cohorts.held_out, cohorts.target, told, fabric, place, warm)
        if not fabric.is_global_zero:
            raise SystemExit(0)
        seen = () if start is None else start.facts.get("patients") or ()
        run = write_adapted(folder, adapted, cohorts, told, seen, start)
    say(f"{adapted.decision.sentence}\nNext: medtl evaluate {run.path} --on SCANS_WITH_LABELS -o my-report")
    return run
