"""What the training verbs share before they train: the Run's folder, the classes, the cohorts, the devices."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from medtl.data import Cohort
from medtl.errors import InputError
from medtl.intensity import Recipe
from medtl.models import Classifier
from medtl.models.beside import without_start
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.training.config import Config
from medtl.training.roles import forget_prior
from medtl.trust.shift import LEAST_SCANS

CHECKPOINTS = "checkpoints"


def folder_for(out: str | Path, resume: bool, force: bool, start: str | Path | Run | None = None) -> Path:
    """The Run's folder, to be made, gone on with or replaced by `checkpoints`; nothing is touched yet.

    Raises:
        InputError: it exists and neither `resume` nor `force` was given, there is nothing to resume, it is no Run, or
            it is the Run to start from.
    """
    folder = Path(out)
    if start is not None and folder.resolve() == Path(start.path if isinstance(start, Run) else start).resolve():
        raise InputError(f"{folder} is the Run to start from, which would be lost: choose another name with -o")
    begun = (folder / CHECKPOINTS).is_dir()
    whole = (folder / "run.json").is_file()
    if resume and not begun:
        raise InputError(
            f"{folder} holds no run that was cut off: leave out --resume" + (" or give --force" if whole else "")
        )
    if folder.exists() and not resume and (any(folder.iterdir()) if folder.is_dir() else True):
        if not force:
            do = "--resume to go on" if begun and not whole else "--force to replace it"
            raise InputError(f"{folder} exists already: choose another name, or give {do}")
        if not (begun or whole):
            raise InputError(f"{folder} is not a Run, so --force does not replace it: choose another name")
    return folder


@contextmanager
def checkpoints(folder: Path, resume: bool, fabric: Fabric) -> Iterator[Path]:
    """A place for checkpoints in the Run's folder, whose old content goes unless it is gone on with.

    It is made once the scans and the options are known to be right, so that a mistake costs no earlier Run and leaves
    nothing; where no file came to lie in the folder, it goes again.

    Raises:
        InputError: the folder cannot be made.
    """
    place = folder / CHECKPOINTS
    if fabric.is_global_zero:
        try:
            if not resume and folder.exists():
                shutil.rmtree(folder)
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} could not be made ({error.strerror}): choose another place with -o") from error
    fabric.barrier()
    try:
        yield place
    finally:
        if fabric.is_global_zero and not any(each.is_file() for each in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)


def classes_of(labelled: Manifest, other: Manifest | None = None) -> list[str]:
    """The class names of the source.

    Raises:
        InputError: fewer than two classes, two that differ in upper and lower case only, or the other side names
            others.
    """
    if len(labelled) == 0:
        raise InputError(
            "no source scan has a label: put a labels.csv into the folder, or give --labels to `medtl index`; where a "
            "labels file has no column `label`, say which it is: `medtl index FOLDER --label-column NAME -o source.csv`"
        )
    classes = _names(labelled)
    if len(classes) < 2:
        raise InputError(f"the source has one class only, {classes[0]!r}: add scans of the other class")
    spelt: dict[str, str] = {}
    for name in classes:
        if (alike := spelt.setdefault(name.casefold(), name)) != name:
            raise InputError(
                f"the labels {alike!r} and {name!r} differ in upper and lower case only: write them alike in the "
                "column `label`"
            )
    strangers = sorted(set(_names(other)) - set(classes)) if other is not None else []
    if strangers:
        raise InputError(
            f"the target's labels {', '.join(strangers)} are none of the source's classes ({', '.join(classes)}): name "
            "the same thing alike on both sides; of scans that are something else, empty the cell in the column "
            "`label`, or leave them out: no model can learn a class that no source scan has"
        )
    return classes


def check_classes(run: Run, classes: list[str], labelled: Manifest) -> None:
    """See whether scans have labels that a Run to start from knows.

    Raises:
        InputError: it knows other classes, or one label a scan where the scans have several.
    """
    if set(classes) - set(run.classes):
        raise InputError(f"{run.path} knows the classes {', '.join(run.classes)}, the source {', '.join(classes)}")
    if run.task != "multilabel" and several(labelled):
        raise InputError(f"{run.path} gives one label a scan, and some scans have several: start without it")


def not_test(manifest: Manifest) -> Manifest:
    """The scans that are not in the test split."""
    return manifest.select((manifest.frame.split != "test").to_numpy())


def to_adapt_to(unlabelled: Manifest) -> Manifest:
    """The target's scans that are not in its test split.

    Raises:
        InputError: there are fewer than two: what is common to a site cannot be seen in one scan.
    """
    scans = not_test(unlabelled)
    if not len(scans):
        raise InputError(
            "every target scan is in its test split, none is left to adapt to: set split to train for some"
        )
    if len(scans) < 2:
        raise InputError("the target has one scan to adapt to, and two at least are needed: give it more scans")
    return scans


def check_splits(labelled: Manifest, unlabelled: Manifest) -> None:
    """See whether there are scans to adapt from and to.

    Raises:
        InputError: a split is empty, or has one class only, or the target has too few scans.
    """
    for split in ("train", "calibrate"):
        part = labelled.split(split)
        if len(_names(part)) < 2:
            raise InputError(
                f"the source's {split} split has {len(part)} scans of {len(_names(part))} classes: label more "
                "patients, or set the manifest's split column by hand"
            )
    to_adapt_to(unlabelled)


def check_prior(prior: str, cohorts: Cohorts) -> None:
    """See whether there are scans enough to estimate the target's class shares from.

    Raises:
        InputError: there are fewer than 20.
    """
    if prior != "source" and len(cohorts.target) < LEAST_SCANS:
        raise InputError(
            f"prior: {prior} estimates the class shares from the target's scans, and {len(cohorts.target)} are too few "
            f"({LEAST_SCANS} at least): leave it at source"
        )


def several(labelled: Manifest) -> bool:
    """Whether a scan can have several labels."""
    return any(";" in label for label in labelled.frame.label)


def classifier_of(run: Run, which: str = "model") -> Classifier:
    """A model of a Run to train further: it expects the classes alike, as it is dealt them."""
    classifier = without_start(run.classifier(which))
    forget_prior(classifier, np.asarray(run.facts.get("prior") or [0.0] * len(run.classes)))
    return classifier


def _names(manifest: Manifest | None) -> list[str]:
    labels = set(manifest.usable.frame.label) - {""} if manifest is not None else set()
    return sorted({name.strip() for label in labels for name in label.split(";")})


@dataclass(frozen=True)
class Cohorts:
    """What adaptation looks at: labelled to train on, labelled and held out, unlabelled target."""

    source: Cohort
    held_out: Cohort
    target: Cohort

    @classmethod
    def prepare(
        cls,
        labelled: Manifest,
        unlabelled: Manifest,
        recipe: Recipe,
        classes: list[str],
        multilabel: bool,
        unit: str = "series",
    ) -> Cohorts:
        """The source's train and calibrate splits, and the target's scans that are not in its test split.

        Raises:
            InputError: none of a split's scans can be prepared.
        """
        told: dict[str, Any] = {"classes": classes, "multilabel": multilabel, "unit": unit}
        return cls(
            _prepared("source", labelled.split("train"), recipe, **told),
            _prepared("held-out source", labelled.split("calibrate"), recipe, **told),
            _prepared("target", not_test(unlabelled), recipe, **told),
        )

    def left_out(self) -> list[str]:
        """One sentence a side that lost scans."""
        sides = {"source": {**self.source.failed, **self.held_out.failed}, "target": self.target.failed}
        return [
            f"{_scans_were(side, len(failed))} {next(iter(failed.values()))}"
            for side, failed in sides.items()
            if failed
        ]


def _prepared(side: str, scans: Manifest, recipe: Recipe, **told: Any) -> Cohort:
    try:
        return Cohort(scans, recipe, progress=f"Preparing {side} scans", **told)
    except InputError as error:
        raise InputError(f"{side} scans: {error}") from error


def _scans_were(side: str, n: int) -> str:
    return f"1 {side} scan was left out:" if n == 1 else f"{n} {side} scans were left out, the first:"


def fabric_for(config: Config) -> Fabric:
    """The devices and the precision of the config, launched.

    Raises:
        InputError: this machine has no such device, or does not know the precision.
    """
    try:
        fabric = Fabric(
            accelerator=config.device,
            devices=config.devices,
            precision=config.precision,  # type: ignore[arg-type]
            # several steps of one batch, each of which moves a part of the parameters
            strategy="ddp_find_unused_parameters_true" if config.devices > 1 else "auto",
        )
        fabric.launch()
    except Exception as error:  # Fabric raises many kinds; each means that the options do not suit the machine
        raise InputError(
            f"device {config.device!r}, devices {config.devices}, precision {config.precision!r} do not work here "
            f"({str(error).splitlines()[0]}): see `medtl doctor`"
        ) from error
    return fabric


def labelled_rows(cohort: Cohort, split: str) -> np.ndarray:
    """Which scans (N,) of a split have a label."""
    known = ~np.isnan(cohort.label).all(1) if cohort.multilabel else cohort.label >= 0
    return known & (cohort.manifest.frame.split == split).to_numpy()
