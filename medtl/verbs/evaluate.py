"""`medtl evaluate`: what a Run is worth on labelled scans, in numbers, a table of predictions and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medtl.data import Cohort
    from medtl.reports.comparison import Labelled
    from medtl.reports.contents import Example, ModelResult, Projection, ReportData, Training
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def evaluate(
    run: Path | str | Run,
    on: Path | str | Manifest,
    out: Path | str,
    prevalence: float | str | Sequence[str] | None = None,
    by: Sequence[str] = (),
    force: bool = False,
) -> dict[str, Any]:
    """Measure a Run on labelled scans: metrics.json, predictions.csv, report.html, a model card and a checklist.

    Args:
        run: the folder that `medtl adapt` or `medtl finetune` wrote.
        on: a manifest or folder with labels. Where it has a test split, that alone is used.
        out: a folder for the five files.
        prevalence: how common the disease is where you will use it, such as 0.05: PPV and NPV are given for there too.
            Of more than two classes, such as mass=0.05 nodule=0.02.
        by: columns of the manifest, such as sex age scanner site: the numbers for each group in them.
        force: replace `out` where it is an earlier evaluation.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: no labels, one class only, labels that the Run does not know, patients that it was trained on, a
            column that the manifest does not have, or a prevalence that is no share.
    """
    from medtl.runs.run import MODEL, Run

    run = Run.load(run)
    models = {_shown(run, which): (run, which) for which in _in_order(run)}
    return evaluate_models(models, on, out, handed_over=_shown(run, MODEL), prevalence=prevalence, by=by, force=force)


def evaluate_models(
    models: Mapping[str, tuple[Run, str]],
    on: Path | str | Manifest,
    out: Path | str,
    handed_over: str | None = None,
    seconds: Mapping[str, float] | None = None,
    title: str | None = None,
    picture: Path | str | None = None,
    prevalence: float | str | Sequence[str] | None = None,
    by: Sequence[str] = (),
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
        prevalence: as in `evaluate`.
        by: as in `evaluate`.
        force: as in `evaluate`.

    Returns:
        What metrics.json holds: the numbers of `handed_over`; `uncalibrated`; `models`, the same for each of the
        others; `comparison`, of each of them with it; `adapting`, what that did; `sites`, `subgroups`; `saliency`,
        where the manifest has a column `lesion_mask`; `verdict`; `unit`, of which `n_scans` is the number.

    Raises:
        InputError: as `evaluate`, or some of the models are of series and others of studies.
    """
    from medtl import progress
    from medtl.reports.alignment import adapting_of
    from medtl.reports.comparison import compare_pairs, judge, what_to_trust
    from medtl.reports.contents import ReportData
    from medtl.reports.groups import check_columns, subgroup_table
    from medtl.reports.thresholds import prevalences
    from medtl.reports.weights import source_weights_of
    from medtl.runs.layout import may_replace
    from medtl.runs.rows import outside_sentence
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._measuring import lesion_masks, measure
    from medtl.verbs._saliency import score_saliency

    out = may_replace(out, "metrics.json", "an evaluation", force)
    main_name = handed_over or list(models)[-1]
    main_run, main_which = models[main_name]
    manifest = manifest_of(on)
    columns = check_columns(manifest.frame, by or ())  # the command line gives None
    masks = lesion_masks(manifest.labelled, on)
    seen, scans, outputs, results, notes = measure(
        models,
        manifest,
        main_name,
        {name: _note(run, which) for name, (run, which) in models.items()},
        seconds,
        prevalences(prevalence, main_run.classes, main_run.task),
    )
    cohort = seen.cohort(main_run)
    main = next(result for result in results if result.handed_over)
    found = judge(main, scans)
    predictions = seen.predictions(main_run, main_which, outputs[main_name])
    if unlike := outside_sentence(predictions):
        notes.append(f"{unlike}.")
    looked, left_out = score_saliency(models, results, seen, masks)
    notes += [left_out] if left_out else []
    data = ReportData(
        title=title or title_of(scans),
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
        examples=_examples(main_run, main_which, main, scans, cohort),
        log=_log(main_run),
        recipe=main_run.recipe.to_dict(),
        config=main_run.config,
        provenance=_provenance(main_run, seen.chosen),
        created=today(),
        subgroups=tuple(
            subgroup_table(column, cohort.manifest.frame[column].tolist(), main, scans) for column in columns
        ),
        comparison=compare_pairs([(other, main) for other in results if other is not main], scans),
        saliency_scores=looked,
        training=_training(main_run),
        source_weights=source_weights_of(main_run.path),
        adapting=adapting_of(_adapting(main_run), main_run.config.get("prior", "source"), results, scans),
    )
    metrics = _metrics(data, main, found)
    write_report(out, data, metrics, predictions)
    if picture is not None:
        from medtl.reports import drawing, figures

        drawing.write_picture(figures.summary(data), picture)
    gained = f"\n{data.adapting.sentence}" if data.adapting and data.adapting.sentence else ""
    progress.say(f"{data.verdict_sentence}{gained}\n{out / 'report.html'}")
    return metrics


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


def title_of(scans: Labelled) -> str:
    """What the scans are of, and where: the title of a report on them."""
    sites = sorted(set(scans.site.tolist()))
    where = f" at {', '.join(sites[:3])}" if any(sites) else ""
    names = " or ".join(scans.classes) if len(scans.classes) < 4 else f"{len(scans.classes)} classes"
    return f"{names[:1].upper()}{names[1:]}{where}"


def today() -> str:
    """The day, as a report says it."""
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


def _adapting(run: Run) -> dict[str, Any]:
    """What the training measured of its adapting; {} where there was none."""
    import json

    file = run.path / "metrics.json"
    return json.loads(file.read_text(encoding="utf-8")).get("adapting") or {} if file.is_file() else {}


def _log(run: Run) -> Any:
    import pandas as pd

    file = run.path / "log.csv"
    return pd.read_csv(file) if file.is_file() and file.stat().st_size else None


def _provenance(run: Run, chosen: Manifest) -> dict[str, Any]:
    told = ("medtl", "method", "harmonise", "backbone", "seed", "created")
    about = {key: run.facts[key] for key in told if key in run.facts}
    return {**about, **(run.facts.get("provenance") or {}), "evaluated_on": chosen.digest()}


def _training(run: Run) -> Training:
    """What the Run says of where its models come from."""
    from medtl.reports.contents import Training

    facts, seen = run.facts, run.trained_on
    sites = {role: names if isinstance(names, list) else [names] for role, names in (facts.get("sites") or {}).items()}
    return Training(
        method=str(facts.get("method") or ""),
        strategy=str(facts.get("strategy") or ""),
        harmonise=tuple(facts.get("harmonise") or ()),
        backbone=run.backbone_of(),
        seed=facts.get("seed"),
        medtl=str(facts.get("medtl") or ""),
        created=str(facts.get("created") or "")[:10],
        sites={role: tuple(str(name) for name in names if name) for role, names in sites.items()},
        n_patients=len(facts.get("patients") or ()) or None,
        n_scans=None if seen is None else seen.scans,
        modalities=() if seen is None else seen.modalities,
        manufacturers=() if seen is None else seen.manufacturers,
    )


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
    from medtl.reports.weights import as_numbers
    from medtl.runs.layout import plain

    return plain(
        {
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
            "subgroups": {
                table.column: {"groups": [vars(row) for row in table.rows], "note": table.note}
                for table in data.subgroups
            },
            "comparison": [vars(pair) for pair in data.comparison],
            "adapting": None if data.adapting is None else data.adapting.to_dict(),
            "source_weights": None if data.source_weights is None else as_numbers(data.source_weights),
            "saliency": [vars(score) for score in data.saliency_scores],
            "notes": list(data.notes),
        }
    )


def write_report(
    out: Path, data: ReportData, metrics: dict[str, Any], predictions: Any = None, name: str = "report.html"
) -> None:
    """The folder, whole or not there: the report, metrics.json, predictions.csv where there is one, and its papers."""
    import shutil

    from medtl.files import atomic_write
    from medtl.reports.papers import as_markdown, papers
    from medtl.reports.render import render
    from medtl.runs.layout import write_json
    from medtl.runs.rows import write_predictions

    with atomic_write(out) as part:
        part.mkdir()
        if predictions is not None:
            write_predictions(predictions, part / "predictions.csv")
        (part / name).write_text(render(data), encoding="utf-8")
        for paper in papers(data):
            (part / f"{paper.name}.md").write_text(as_markdown(paper, data), encoding="utf-8")
        write_json(part / "metrics.json", metrics)
        if out.is_dir():
            shutil.rmtree(out)
