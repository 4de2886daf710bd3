"""`medtl evaluate`: what a Run is worth on labelled scans, in numbers, a table of predictions and a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.data.units import Unit
    from medtl.reports.comparison import Labelled
    from medtl.reports.contents import Example, ModelResult, Projection, ReportData
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def evaluate(run: Path | str | Run, on: Path | str | Manifest, out: Path | str, force: bool = False) -> dict[str, Any]:
    """Measure a Run on labelled scans: metrics.json, predictions.csv and report.html.

    Args:
        run: the folder that `medtl adapt` or `medtl finetune` wrote.
        on: a manifest or folder with labels. Where it has a test split, that alone is used.
        out: a folder for the three files.
        force: replace `out` where it is an earlier evaluation.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: no labels, one class only, labels that the Run does not know, or patients that it was trained on.
    """
    from medtl.runs.run import MODEL, Run

    run = Run.load(run)
    models = {_shown(run, which): (run, which) for which in _in_order(run)}
    return evaluate_models(models, on, out, handed_over=_shown(run, MODEL), force=force)


def evaluate_models(
    models: Mapping[str, tuple[Run, str]],
    on: Path | str | Manifest,
    out: Path | str,
    handed_over: str | None = None,
    seconds: Mapping[str, float] | None = None,
    title: str | None = None,
    picture: Path | str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """As `evaluate`, for any number of models of any Runs on the same scans, in one report.

    Args:
        models: the name that the report gives it -> the Run, and which of its models ("model": what it hands over).
        on: as in `evaluate`.
        out: as in `evaluate`.
        handed_over: the name of the one that the verdict is about; the last one where None.
        seconds: name -> how long its training took.
        title: of the report.
        picture: a .png or .svg to write beside, with every model's AUROC and the reliability of `handed_over`.
        force: as in `evaluate`.

    Returns:
        What metrics.json holds: the numbers of `handed_over`; `uncalibrated`; `models`, the same for each of the
        others; `sites`; `verdict`; `unit`, of which `n_scans` is the number.

    Raises:
        InputError: as `evaluate`, or some of the models are of series and others of studies.
    """
    from medtl import progress
    from medtl.errors import InputError
    from medtl.reports.comparison import Outputs, evaluate_models, judge, what_to_trust
    from medtl.reports.contents import ReportData
    from medtl.runs.layout import may_replace
    from medtl.runs.rows import outside_sentence
    from medtl.verbs._cohorts import manifest_of

    out = may_replace(out, "metrics.json", "an evaluation", force)
    main_name = handed_over or list(models)[-1]
    main_run, main_which = models[main_name]
    runs = list({run.path: run for run, _ in models.values()}.values())
    if len({run.unit for run in runs}) > 1:
        raise InputError("some of these models give a prediction a series, others a study: evaluate them apart")
    chosen, notes = _scans(manifest_of(on), runs, main_run.unit)
    seen = _Seen(main_run, runs, chosen)
    outputs = {}
    for name, (run, which) in models.items():
        logits, features = run.outputs(seen.cohort(run), which)
        took = (seconds or {}).get(name)
        outputs[name] = Outputs(logits, features, run.trust(which), name == main_name, _note(run, which), took)
    scans = seen.labelled()
    results = evaluate_models(outputs, scans)
    main = next(result for result in results if result.handed_over)
    found = judge(main, scans)
    if seen.failed:
        notes.append(
            f"{_scans_are(len(seen.failed))} left out, since they could not be read; predictions.csv says why."
        )
    predictions = seen.predictions(main_run, main_which, outputs[main_name])
    if unlike := outside_sentence(predictions):
        notes.append(f"{unlike}.")
    data = ReportData(
        title=title or _title(scans),
        verdict=found.kind,
        verdict_sentence=what_to_trust(main, found, scans.unit),
        task=scans.task,
        unit=scans.unit,
        classes=scans.classes,
        label=scans.label,
        patient=scans.patient,
        site=scans.site,
        models=results,
        decision=main_run.decision,
        notes=tuple(notes),
        projection=_projection(main_run),
        examples=_examples(main_run, main_which, main, scans, seen.cohort(main_run)),
        log=_log(main_run),
        recipe=main_run.recipe.to_dict(),
        config=main_run.config,
        provenance=_provenance(main_run, chosen),
        created=_today(),
    )
    metrics = _metrics(data, main, found)
    _write(out, data, metrics, predictions)
    if picture is not None:
        from medtl.reports import drawing, figures

        drawing.write_picture(figures.summary(data), picture)
    progress.say(f"{data.verdict_sentence}\n{out / 'report.html'}")
    return metrics


# --- which scans ---------------------------------------------------------------------------------------------------


def _scans(manifest: Manifest, runs: Iterable[Run], unit: Unit) -> tuple[Manifest, list[str]]:
    """The labelled scans to measure on, and what the reader must know about the choice."""
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
            notes.append(f"{_scans_are(met)} left out: the Run has seen these patients' labels.")
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


class _Seen:
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
        return self._cohorts[run.recipe.digest]

    def labelled(self) -> Labelled:
        import numpy as np

        from medtl.reports.comparison import Labelled

        cohort = self.cohort(self.main)
        site = np.asarray(cohort.site_names, dtype=object)[cohort.site]
        return Labelled(cohort.label, cohort.manifest.groups, site, tuple(self.main.classes), self.main.unit)

    def predictions(self, run: Run, which: str, outputs: Any) -> Any:
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


# --- what the report shows -------------------------------------------------------------------------------------------


def _in_order(run: Run) -> list[str]:
    """Source-only first, what is handed over last: the table reads as a story."""
    return sorted(run.names, key=lambda name: (name == "model", name != "source-only", name))


def _shown(run: Run, which: str) -> str:
    if which != "model":
        return which
    made = "fine-tuned" if "strategy" in run.facts else run.facts.get("method")
    return str(run.decision.get("handed_over") or made or "model")


def _note(run: Run, which: str) -> str:
    from medtl.training.mixes import name_with

    method = str(run.facts.get("method", ""))
    adapted = _shown(run, which) == "adapted" and method
    return name_with(method, run.facts.get("harmonise") or ()) if adapted else ""


def _title(scans: Labelled) -> str:
    sites = sorted(set(scans.site.tolist()))
    where = f" at {', '.join(sites[:3])}" if any(sites) else ""
    names = " or ".join(scans.classes) if len(scans.classes) < 4 else f"{len(scans.classes)} classes"
    return f"{names[:1].upper()}{names[1:]}{where}"


def _scans_are(n: int) -> str:
    return "1 scan is" if n == 1 else f"{n} scans are"


def _today() -> str:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return f"{now.day} {now:%B %Y}"


def _projection(run: Run) -> Projection | None:
    """The features that the training kept, on a plane; None where it kept none."""
    import numpy as np

    from medtl.reports.projection import project

    file = run.path / "features.npz"
    names = ("source_before", "target_before", "source_after", "target_after")
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    if any(name not in arrays or len(arrays[name]) < 3 for name in names):
        return None
    labels = arrays.get("source_label", np.full(len(arrays["source_before"]), ""))
    if np.issubdtype(labels.dtype, np.integer):
        labels = np.array([run.classes[k] if k >= 0 else "" for k in labels], dtype=object)
    source_before, target_before, source_after, target_after = (arrays[name] for name in names)
    return project(source_before, target_before, source_after, target_after, labels, _site_names(run))


def _site_names(run: Run) -> tuple[str, str]:
    sites = run.facts.get("sites") or {}
    named = [sites.get(role) for role in ("source", "target")]
    shown = [", ".join(map(str, name)) if isinstance(name, list) else name for name in named]
    source, target = shown[0] or "source", shown[1] or "target"
    return (str(source), str(target)) if source != target else (f"{source} (source)", f"{target} (target)")


def _log(run: Run) -> Any:
    import pandas as pd

    file = run.path / "log.csv"
    return pd.read_csv(file) if file.is_file() and file.stat().st_size else None


def _provenance(run: Run, chosen: Manifest) -> dict[str, Any]:
    told = ("medtl", "method", "harmonise", "backbone", "seed", "created")
    about = {key: run.facts[key] for key in told if key in run.facts}
    return {**about, **(run.facts.get("provenance") or {}), "evaluated_on": chosen.digest()}


def _examples(run: Run, which: str, result: ModelResult, scans: Labelled, cohort: Cohort) -> tuple[Example, ...]:
    """Three scans that are right and sure, three that are wrong or in doubt, each with what the model looked at."""
    import numpy as np

    from medtl.reports.contents import Example
    from medtl.reports.examples import as_shown, choose, part_of, sureness
    from medtl.reports.render import answers
    from medtl.reports.saliency import saliency

    if scans.label.ndim == 2:
        return ()
    said = answers(result)
    threshold = result.metrics.get("threshold")
    classifier = run.classifier(which)
    shown = []
    for row, why in choose(scans.label, said, sureness(result.probabilities, threshold)):
        pixels = np.asarray(cohort.pixels(row))
        looked = saliency(classifier, pixels, int(said[row]))
        p = result.probabilities[row]
        shown.append(
            Example(
                scan_id=str(cohort.scan_id[row]),
                site=str(scans.site[row]),
                pixels=as_shown(pixels[looked.instance], run.recipe),
                saliency=looked.where,
                truth=scans.classes[int(scans.label[row])],
                prediction=scans.classes[int(said[row])],
                probability=float(p[1] if len(p) == 2 else p[said[row]]),
                why=why,
                instance=looked.instance,
                weights=looked.weights if len(pixels) > 1 else None,
                part=part_of(run.recipe, run.unit),
            )
        )
    return tuple(shown)


# --- what is written --------------------------------------------------------------------------------------------------


def _metrics(data: ReportData, main: ModelResult, found: Any) -> dict[str, Any]:
    from medtl.reports.comparison import contract

    return {
        **contract(main),
        "unit": data.unit,
        "model": main.name,
        "models": {m.name: contract(m) for m in data.models if m is not main},
        "verdict": {
            "kind": found.kind,
            "sentence": data.verdict_sentence,
            "auroc": found.auroc,
            "interval_90": None if found.interval is None else list(found.interval),
            "labels_needed": found.labels_needed,
        },
        "notes": list(data.notes),
    }


def _write(out: Path, data: ReportData, metrics: dict[str, Any], predictions: Any) -> None:
    """The folder, whole or not there."""
    import shutil

    from medtl.files import atomic_write
    from medtl.reports.render import render
    from medtl.runs.layout import write_json
    from medtl.runs.rows import write_predictions

    with atomic_write(out) as part:
        part.mkdir()
        write_predictions(predictions, part / "predictions.csv")
        (part / "report.html").write_text(render(data), encoding="utf-8")
        write_json(part / "metrics.json", metrics)
        if out.is_dir():
            shutil.rmtree(out)
