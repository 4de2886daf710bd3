"""`medtl finetune`: a model and a few labels of your own hospital in, a model that has learnt from them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def finetune(
    run: Path | str | Run | None = None,
    *,
    train: Path | str | Manifest,
    out: Path | str,
    shots: int | None = None,
    strategy: str | None = None,
    config: Path | str | None = None,
    backbone: str | None = None,
    recipe: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    cluster: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> Run:
    """Learn from a few labels of your own hospital, from a Run or from the ImageNet backbone.

    Labels are taken from the manifest's train split; its unlabelled scans are used too, without labels; its test split
    is left alone. The model that it started from stays in the new Run beside the fine-tuned one.

    Args:
        run: the Run to start from; the ImageNet backbone without one.
        train: a manifest or folder of your own hospital, some of it labelled.
        out: the new Run's folder.
        shots: use the labels of this many patients a class, drawn by the seed; all labels of the split without it.
        strategy: how, such as lp-ft, full or prototypes; see `medtl methods`.
        config: a YAML file; see configs/.
        backbone: a timm model, without a Run.
        recipe: how pixels become input, without a Run.
        seed: the same data, config and seed give the same model.
        device: auto, cpu, cuda or mps.
        cluster: the address of a Dask scheduler, whose workers read and prepare the scans: tcp://HOST:8786.
        resume: go on with a run that was cut off.
        force: replace what is there.

    Raises:
        InputError: the scans, the labels or the options are wrong.
    """
    import time

    from medtl.cluster import work_on
    from medtl.data import Cohort
    from medtl.errors import InputError
    from medtl.progress import say, warn
    from medtl.runs.run import Run
    from medtl.scans import check_leaks
    from medtl.training.config import load_config
    from medtl.training.few_labels import draw_shots, finetune_classifier, from_backbone
    from medtl.training.mixes import MIXES
    from medtl.verbs import _training as shared
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._recipe import as_made, as_started, recipe_of
    from medtl.verbs._writing import write_finetuned

    told = load_config(config, strategy=strategy, backbone=backbone, recipe=recipe, seed=seed, device=device)
    if mixes := [name for name in told.harmonise if name in MIXES]:
        raise InputError(
            f"harmonise: {mixes[0]} brings a source and a target together, for `medtl adapt`: leave it out"
        )
    if shots is not None and shots < 1:
        raise InputError(f"--shots {shots} draws nobody: give 1 or more patients a class, or leave it out for all")
    folder = shared.folder_for(out, resume, force, run)
    start = Run.load(run) if run is not None else None
    told = told if start is None else as_started(told, start)
    with work_on(cluster):
        manifest = manifest_of(train)
    check_leaks(manifest)
    usable = shared.not_test(manifest.usable)
    named = shared.classes_of(usable.labelled)
    classes = named
    if start is not None:
        shared.check_classes(start, named, usable.labelled)
        classes = start.classes
    if not len(usable.labelled.split("train")):
        raise InputError("no labelled scan is in the train split, to learn from: set split to train for some")
    steps = recipe_of(told, usable, start=start)
    told = as_made(told, steps)
    multilabel = shared.several(usable.labelled) if start is None else start.task == "multilabel"
    with work_on(cluster):
        everyone = Cohort(
            usable, steps, classes=classes, multilabel=multilabel, unit=told.unit, progress="Preparing scans"
        )
    if everyone.failed:
        warn(f"{len(everyone.failed)} scans were left out, the first because {next(iter(everyone.failed.values()))}")
    labelled = everyone.select(shared.labelled_rows(everyone, "train"))
    if shots is not None:
        labelled = labelled.select(draw_shots(labelled, shots, told.seed))
    shared.classes_of(labelled.manifest)
    fabric = shared.fabric_for(told)
    begun = time.monotonic()
    classifier = shared.classifier_of(start) if start else from_backbone(told, len(classes), steps.channels)
    with shared.checkpoints(folder, resume, fabric) as place:
        tuned = finetune_classifier(classifier, labelled, everyone, told, fabric=fabric, folder=place)
        if not fabric.is_global_zero:
            raise SystemExit(0)
        seconds = round(time.monotonic() - begun, 1)
        tuned_run = write_finetuned(folder, tuned, labelled, everyone, told, start, seconds)
    say(f"{tuned_run.decision['sentence']}\nNext: medtl evaluate {tuned_run.path} --on SCANS_WITH_LABELS -o my-report")
    return tuned_run
