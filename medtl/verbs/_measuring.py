"""Which scans Runs may be measured on, and any models of them measured on these: what evaluate and compare share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.data.units import Unit
    from medtl.reports.comparison import Labelled, Outputs
    from medtl.reports.contents import ModelResult
    from medtl.runs.run import Run
    from medtl.scans import Manifest


class Measured(NamedTuple):
    """Models on the same scans."""

    seen: Seen
    scans: Labelled
    outputs: dict[str, Outputs]
    results: tuple[ModelResult, ...]  # in the order of the models
    notes: list[str]  # sentences about what was left out and why


def measure(
    models: Mapping[str, tuple[Run, str]],
    manifest: Manifest,
    main: str,
    notes_of: Mapping[str, str] | None = None,
    seconds: Mapping[str, float] | None = None,
    prevalence: Mapping[str, float] | None = None,
    marked: bool = True,
) -> Measured:
    """Every model on the scans that all of them may be measured on and can read.

    Args:
        models: name -> the Run, and which of its models.
        manifest: with labels.
        main: the name of the one whose classes, unit and order of scans the others follow.
        notes_of: name -> a few words under it.
        seconds: name -> how long its training took.
        prevalence: class -> how common it is where the models will be used.
        marked: whether `main` is shown as what is handed over.

    Raises:
        InputError: as `labelled_scans`, or the models are of different units or classes.
    """
    from medtl.reports.comparison import Outputs, evaluate_models

    main_run = models[main][0]
    runs = list({run.path: run for run, _ in models.values()}.values())
    _of_one_kind(runs)
    chosen, notes = labelled_scans(manifest, runs, main_run.unit)
    seen = Seen(main_run, runs, chosen)
    local = _seen_too(main_run, runs, scans_to_set_on(manifest, runs, chosen, main_run.unit))
    outputs = {}
    for name, (run, which) in models.items():
        logits, features = run.outputs(seen.cohort(run), which)
        outputs[name] = Outputs(
            logits,
            features,
            run.trust(which),
            handed_over=marked and name == main,
            note=(notes_of or {}).get(name, ""),
            seconds=(seconds or {}).get(name),
            local=None if local is None else run.outputs(local.cohort(run), which)[0],
        )
    scans = seen.labelled()
    results = evaluate_models(outputs, scans, local=None if local is None else local.labelled(), prevalence=prevalence)
    if seen.failed:
        notes.append(f"{scans_are(len(seen.failed))} left out, since they could not be read; predictions.csv says why.")
    return Measured(seen, scans, outputs, results, notes)


def _of_one_kind(runs: list[Run]) -> None:
    from medtl.errors import InputError

    first = runs[0]
    for run in runs[1:]:
        if run.unit != first.unit:
            raise InputError("some of these models give a prediction a series, others a study: evaluate them apart")
        if run.classes != first.classes or run.task != first.task:
            raise InputError(
                f"{first.path.name} tells {', '.join(first.classes)} apart, {run.path.name} {', '.join(run.classes)}: "
                "only Runs of the same classes can be compared"
            )


def _seen_too(main: Run, runs: list[Run], local: Manifest | None) -> Seen | None:
    """The scans that thresholds are set on again; None where there are none, or none can be read."""
    from medtl.errors import InputError

    if local is None:
        return None
    try:
        return Seen(main, runs, local)
    except InputError:
        return None


def labelled_scans(manifest: Manifest, runs: Iterable[Run], unit: Unit) -> tuple[Manifest, list[str]]:
    """The labelled scans to measure on, and what the reader must know about the choice.

    Where the manifest has a labelled test split, that alone.

    Raises:
        InputError: no labels, one class only, labels that a Run does not know, or patients that one was trained on.
    """
    from medtl.data.units import with_labels
    from medtl.errors import InputError
    from medtl.reports.comparison import one_class
    from medtl.scans.splits import check_leaks

    notes: list[str] = []
    labelled = with_labels(manifest, unit)
    if not len(labelled):
        raise InputError(
            f"none of the {len(manifest)} scans to evaluate on has a label: give them labels first "
            "(`medtl index FOLDER --labels labels.csv -o manifest.csv`)"
        )
    chosen = labelled.split("test")
    split = bool(len(chosen))
    if not split:
        chosen = labelled
        notes.append(f"The scans have no labelled test split, so all {len(chosen)} labelled ones are used.")
    elif len(chosen) < len(labelled):
        check_leaks(manifest)
        notes.append(f"Of {len(labelled)} labelled scans, the {len(chosen)} of the test split are used.")
    for run in runs:
        chosen, met = _without_trained_on(chosen, run, refuse=split)
        if met:
            notes.append(f"{scans_are(met)} left out: the Run has seen these patients' labels.")
        if strangers := sorted(set(chosen.classes) - set(run.classes)):
            raise InputError(
                f"the labels {', '.join(strangers)} are none of the Run's classes ({', '.join(run.classes)}): "
                "name the labels as in the training, or leave these scans out"
            )
    if (only := one_class(chosen.frame["label"])) is not None:
        raise InputError(
            f"all {len(chosen)} labelled scans are {only}: nothing can be told apart with one class, "
            "add labelled scans of the others"
        )
    return chosen, notes


def _without_trained_on(chosen: Manifest, run: Run, refuse: bool) -> tuple[Manifest, int]:
    """A model is not asked about patients whose labels it has seen: the others' scans, and how many were left out.

    Raises:
        InputError: there are such patients and `refuse`, since a test split should have none, or there are no others.
    """
    import numpy as np

    from medtl.errors import InputError
    from medtl.runs.layout import pseudonyms

    seen = pseudonyms(run.facts.get("patients") or ())
    patient = chosen.patients  # as a Cohort has them
    met = np.isin(pseudonyms(patient) if seen else patient, seen)
    if met.any() and (refuse or met.all()):
        names = sorted(set(patient[met]))
        some = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise InputError(
            f"{run.path.name} was trained or calibrated on the labels of {len(names)} of these patients ({some}): "
            "leave them out, or give scans of others"
        )
    return chosen.select(~met), int(met.sum())


def scans_to_set_on(manifest: Manifest, runs: Iterable[Run], chosen: Manifest, unit: Unit) -> Manifest | None:
    """The labelled scans of the calibrate split, of patients that no Run was trained on and that are not measured on.

    A threshold set on them is measured on others; that they may have calibrated the Run does no harm to that. None
    where they are of fewer than two classes.
    """
    import numpy as np

    from medtl.data.units import with_labels
    from medtl.reports.comparison import one_class
    from medtl.runs.layout import pseudonyms

    local = with_labels(manifest, unit).split("calibrate")
    local = local.select(~np.isin(local.groups, chosen.groups) & ~np.isin(local.patients, chosen.patients))
    for run in runs:
        local = local.select(~np.isin(pseudonyms(local.patients), sorted(patients_learnt_from(run))))
        if set(local.classes) - set(run.classes):
            return None
    return None if not len(local) or one_class(local.frame["label"]) is not None else local


def patients_learnt_from(run: Run) -> set[str]:
    """Pseudonyms of the patients whose labels the Run was trained on, those that only calibrated it left out."""
    from medtl.runs.layout import pseudonyms

    seen, calibrated = (run.facts.get(key) or () for key in ("patients", "patients_calibrated"))
    return set(pseudonyms(seen)) - set(pseudonyms(calibrated))


def lesion_masks(scans: Manifest, beside: Path | str | Manifest) -> dict[str, Path]:
    """The files in the column `lesion_mask`, by scan_id; none where there is no such column.

    Args:
        scans: whose masks are wanted.
        beside: the manifest's file, where there is one: a path is looked for beside the scan, then beside that.

    Raises:
        InputError: a mask is not there.
    """
    from medtl.errors import InputError

    found: dict[str, Path] = {}
    for row in scans:
        if not (name := row.extra.get("lesion_mask", "").strip()):
            continue
        places = [Path(row.path).parent / name]
        if isinstance(beside, str | Path):
            places.append(Path(beside).resolve().parent / name)
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            raise InputError(
                f"the lesion mask {name} of scan {row.scan_id} is neither beside its scan nor beside the manifest: "
                "correct the column lesion_mask, or leave its cell empty"
            )
        found[row.scan_id] = there
    return found


class Seen:
    """The chosen scans as each recipe prepares them, only those that all of them can."""

    def __init__(self, main: Run, runs: Iterable[Run], chosen: Manifest) -> None:
        import numpy as np

        self.main, self.chosen = main, chosen
        by_recipe = {run.recipe.digest: run for run in runs}
        self._cohorts = {digest: _cohort(run, chosen) for digest, run in by_recipe.items()}
        failed = [cohort.failed for cohort in self._cohorts.values()]
        self.failed = {scan_id: reason for each in failed for scan_id, reason in each.items()}
        if any(each.keys() != self.failed.keys() for each in failed):
            left = chosen.select(~np.isin(chosen.frame.scan_id, list(self.failed)))
            self._cohorts = {digest: _cohort(run, left) for digest, run in by_recipe.items()}

    def cohort(self, run: Run) -> Cohort:
        """As the recipe of `run` prepares them."""
        return self._cohorts[run.recipe.digest]

    def labelled(self) -> Labelled:
        """Their labels, as the reports take them."""
        import numpy as np

        from medtl.reports.comparison import Labelled

        cohort = self.cohort(self.main)
        site = np.asarray(cohort.site_names, dtype=object)[cohort.site]
        return Labelled(cohort.label, cohort.manifest.groups, site, tuple(self.main.classes), self.main.unit)

    def predictions(self, run: Run, which: str, outputs: Any) -> Any:
        """predictions.csv of one model, with a row for each chosen scan."""
        from medtl.runs.rows import of_members, prediction_rows, remarks_of
        from medtl.trust import Trust

        cohort = self.cohort(run)
        given = of_members(cohort.members, zip(outputs.logits, outputs.features, strict=True))
        trust = run.trust(which) or Trust(task=run.task)
        said = remarks_of(run.trained_on, cohort)
        return prediction_rows(list(self.chosen), run.classes, trust, given, self.failed, said)


def _cohort(run: Run, scans: Manifest) -> Cohort:
    from medtl.data import Cohort

    return Cohort(scans, run.recipe, classes=run.classes, multilabel=run.task == "multilabel", unit=run.unit)


def scans_are(n: int) -> str:
    """How many scans, with its verb: one scan is, two scans are."""
    return "1 scan is" if n == 1 else f"{n} scans are"
