"""`medtl compare`: several Runs side by side on the same scans, each tested against the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medtl.data.units import Unit
    from medtl.reports.contents import ModelResult, PairedDifference, ReportData
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def compare(
    runs: Sequence[Path | str | Run], on: Path | str | Manifest, out: Path | str, force: bool = False
) -> dict[str, Any]:
    """Measure several Runs on the same labelled scans, and test each against the first: compare.html, metrics.json.

    Every Run is measured on the scans that all of them can read, of patients whose labels none of them has seen.
    The test is paired and takes the scans of a patient together.

    Args:
        runs: two or more; the first is what the others are compared with.
        on: a manifest or folder with labels. Where it has a test split, that alone is used.
        out: a folder for both files.
        force: replace `out` where it is an earlier comparison.

    Returns:
        What metrics.json holds: `models`, the numbers of each Run by its name; `comparison`, each less the first;
        `against`, the first's name; `sentence`.

    Raises:
        InputError: fewer than two Runs, Runs of different classes, or as `evaluate`.
    """
    from medtl import progress
    from medtl.reports.comparison import compare_pairs, judge
    from medtl.reports.contents import ReportData
    from medtl.runs.layout import may_replace
    from medtl.runs.run import MODEL, Run
    from medtl.verbs._cohorts import manifest_of
    from medtl.verbs._measuring import measure
    from medtl.verbs.evaluate import title_of, today, write_report

    loaded = [Run.load(run) for run in runs]
    names = _names([run.path for run in loaded])
    out = may_replace(out, "metrics.json", "a comparison", force)
    models = {name: (run, MODEL) for name, run in zip(names, loaded, strict=True)}
    made = {name: str(run.facts.get("method") or "") for name, run in zip(names, loaded, strict=True)}
    seen, scans, _, results, notes = measure(models, manifest_of(on), names[0], made, marked=False)
    first, *others = results
    comparison = compare_pairs([(other, first) for other in others], scans)
    found = judge(first, scans)
    sentence = " ".join(_sentences(comparison, results, len(scans.label), loaded[0].unit))
    data = ReportData(
        title=title_of(scans),
        verdict=found.kind,
        verdict_sentence=f"{first.name}: {found.sentence} {sentence}",
        task=scans.task,
        unit=scans.unit,
        classes=scans.classes,
        label=scans.label,
        patient=scans.patient,
        site=scans.site,
        models=results,
        notes=tuple(note.replace("; predictions.csv says why", "") for note in notes),
        provenance={
            "runs": {name: run.fingerprint() for name, run in zip(names, loaded, strict=True)},
            "evaluated_on": seen.chosen.digest(),
        },
        created=today(),
        comparison=comparison,
        compares_runs=True,
    )
    metrics = _metrics(data, first, sentence)
    write_report(out, data, metrics, name="compare.html")
    progress.say(f"{sentence}\n{out / 'compare.html'}")
    return metrics


def _names(paths: Sequence[Path]) -> list[str]:
    """What each Run is called: its folder's name, with the one above where that is not enough.

    Raises:
        InputError: fewer than two Runs, or the same twice.
    """
    from medtl.errors import InputError

    whole = [path.resolve() for path in paths]
    if len(whole) < 2:
        raise InputError("comparing takes two Runs or more: for a single one there is `medtl evaluate`")
    if twice := next((path for path in whole if whole.count(path) > 1), None):
        raise InputError(f"{twice} is given twice: name each Run once")
    for parts in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-parts:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def _sentences(
    comparison: Iterable[PairedDifference], results: Sequence[ModelResult], n: int, unit: Unit
) -> Iterable[str]:
    from medtl.data.units import counted
    from medtl.reports.tables import told_apart

    areas = {result.name: result.metrics["auroc"] for result in results}
    for pair in comparison:
        low, high = pair.auroc_ci
        told = (
            f"AUROC {areas[pair.model]:.2f} against {areas[pair.against]:.2f}, difference {pair.auroc:+.2f}, "
            f"95 % interval {low:+.2f} to {high:+.2f}, {_p(pair.auroc_p_holm)}"
        )
        if (verdict := told_apart(pair)) == "cannot tell":
            yield f"{n} {counted(unit)} cannot tell {pair.model} from {pair.against} ({told})."
        else:
            yield f"{pair.model} ranks these {n} {counted(unit)} {verdict} than {pair.against} ({told})."


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def _metrics(data: ReportData, first: ModelResult, sentence: str) -> dict[str, Any]:
    from medtl.reports.comparison import contract
    from medtl.runs.layout import plain

    return plain(
        {
            "task": data.task,
            "unit": data.unit,
            "n_scans": first.metrics["n_scans"],
            "n_patients": first.metrics["n_patients"],
            "against": first.name,
            "models": {result.name: contract(result) for result in data.models},
            "comparison": [vars(pair) for pair in data.comparison],
            "sentence": sentence,
            "notes": list(data.notes),
        }
    )
