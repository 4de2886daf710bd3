"""`medtl demo`: the whole job on two real hospitals' scans, in a few minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medtl.runs.run import Run

MARKER = "demo.json"  # tells a demo's folder from any other
SOURCE, TARGET = "brazil", "egypt"
SOURCE_ONLY, ADVERSARIAL, FINE_TUNED = "source-only", "domain-adversarial", "fine-tuned"
RUNS = ("adapted", "fine-tuned")
SHOTS = 10


def demo(out: Path | str = "medtl-demo", force: bool = False) -> dict[str, Any]:
    """Adapt a breast ultrasound classifier from a Brazilian to an Egyptian hospital, and say what it is worth there.

    About 190 real scans of each hospital come with medtl. It takes a few minutes on 2 CPU cores, and goes on where it
    was if it is cut off and started again.

    Args:
        out: a folder for everything that it makes.
        force: start over, where an earlier demo is there.

    Returns:
        `models`: name -> its numbers at the target; `trust`: a sentence; the places of report, run, fine_tuned, export.

    Raises:
        InputError: `out` is some other folder, or holds the beginning of another medtl's demo.
    """
    from medtl.progress import say
    from medtl.resources import configs, sample_data
    from medtl.verbs.adapt import adapt
    from medtl.verbs.evaluate import evaluate_models
    from medtl.verbs.export import export
    from medtl.verbs.finetune import finetune

    began = time.monotonic()
    out, cut_off = _folder(Path(out), force)
    config = configs() / "demo.yaml"
    source, target = _manifest(sample_data() / SOURCE, out), _manifest(sample_data() / TARGET, out)

    say(f"\nAdapting from {SOURCE} to {TARGET}, whose labels stay covered")
    run = _run(out / RUNS[0], lambda place, on: adapt([source], target, place, config=config, resume=on))

    say(f"\nFine-tuning with {SHOTS} labelled scans of each class from {TARGET}")
    tuned = _run(
        out / RUNS[1], lambda place, on: finetune(run, train=target, out=place, shots=SHOTS, config=config, resume=on)
    )

    say(f"\nMeasuring on the test scans of {TARGET}")
    handed_over = ADVERSARIAL if run.decision["handed_over"] == "adapted" else SOURCE_ONLY
    models: dict[str, tuple[Run, str]] = {
        SOURCE_ONLY: (run, SOURCE_ONLY),
        ADVERSARIAL: (run, "adapted"),
        FINE_TUNED: (tuned, "model"),
    }
    metrics = evaluate_models(
        models,
        target,
        out / "report",
        handed_over=handed_over,
        seconds=_seconds(run, tuned),
        title="Benign or malignant? Breast ultrasound, from Brazil to Egypt",
        picture=out / "demo.svg",
        force=True,
    )

    say("\nExporting what was handed over")
    exported = export(run, out / "onnx", on=target, force=True)

    result = {
        "models": {name: metrics if name == handed_over else metrics["models"][name] for name in models},
        "handed_over": handed_over,
        "trust": what_to_trust(handed_over, metrics, run.decision),
        "seconds": {**_seconds(run, tuned), "all": round(time.monotonic() - began)},
        "report": out / "report" / "report.html",
        "run": run.path,
        "fine_tuned": tuned.path,
        "onnx": exported / "model.onnx",
        "cut_off": cut_off,
    }
    _show(result)
    return result


def _folder(out: Path, force: bool) -> tuple[Path, bool]:
    """The demo's folder, with its marker in it, and whether its training was ever cut off.

    Raises:
        InputError: there is something else.
    """
    import json
    import shutil

    import medtl
    from medtl.runs.layout import may_replace, write_json

    may_replace(out, MARKER, "the folder of a demo", force=True)
    if force and out.exists():
        shutil.rmtree(out)
    marker = out / MARKER
    before = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
    cut_off = bool(before.get("cut_off")) or any(_cut_off(out / name) for name in RUNS)
    write_json(marker, {"medtl": medtl.__version__, "cut_off": cut_off})
    return out, cut_off


def _cut_off(place: Path) -> bool:
    from medtl.verbs._training import CHECKPOINTS

    return (place / CHECKPOINTS).is_dir() and not (place / "run.json").is_file()


def _manifest(folder: Path, out: Path) -> Path:
    """The manifest of a site, indexed once."""
    from medtl.progress import say
    from medtl.verbs.index import index

    manifest = out / f"{folder.name}.csv"
    if not manifest.is_file():
        say(f"\nIndexing {folder.name}")
        index([folder], manifest, site=folder.name)
    return manifest


def _run(place: Path, train: Callable[[Path, bool], Run]) -> Run:
    """The Run at `place`: as it is where it is whole, gone on with where it was cut off."""
    from medtl.progress import say
    from medtl.runs.run import Run

    if (place / "run.json").is_file():
        say(f"{place} is there already")
        return Run.load(place)
    return train(place, _cut_off(place))


def _seconds(run: Run, tuned: Run) -> dict[str, float]:
    """How long each model trained beyond the one that it started from."""
    import json

    phases: dict[str, float] = {}
    for each in (run, tuned):
        phases |= json.loads((each.path / "metrics.json").read_text(encoding="utf-8")).get("seconds") or {}
    shown = {"source-only": SOURCE_ONLY, "dann": ADVERSARIAL, "finetune": FINE_TUNED}
    return {shown[phase]: seconds for phase, seconds in phases.items() if phase in shown}


# --- what it says ----------------------------------------------------------------------------------------------------


def what_to_trust(name: str, metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    """One plain sentence, from what adapt said before there were labels and from what the labels say.

    Args:
        name: of the model that was handed over.
        metrics: its metrics.json, with the verdict.
        decision: adapt's.
    """
    from medtl.reports.comparison import HONEST
    from medtl.trust.verdict import USEFUL

    verdict, interval = metrics["verdict"], metrics["auroc_ci"]
    measured = f"AUROC {metrics['auroc']:.2f}, 95 % interval {interval[0]:.2f} to {interval[1]:.2f}"
    seen = f"on {metrics['n_scans']} scans of {metrics['n_patients']} patients it never saw: {measured}"
    warned = "as `adapt` warned before any label was seen" if decision["warn"] else "though `adapt` had not warned"
    if verdict["kind"] == "not":
        return f"Do not rely on the {name} model here, {warned} ({seen})."
    if verdict["kind"] == "cannot tell yet":
        more = f"label about {verdict['labels_needed']} more scans of each class"
        return f"Do not rely on the {name} model yet, {more} to find out ({seen})."
    if verdict["interval_90"][1] < USEFUL:
        return f"Do not rely on the {name} model here, it is better than chance but of little use ({seen})."
    off = metrics["ece_excess"]
    percentages = "and its percentages as they stand" if off is not None and off < HONEST else "but not its percentages"
    return f"Trust how the {name} model ranks scans here, {percentages} ({seen})."


def _show(result: Mapping[str, Any]) -> None:
    from medtl.progress import say, table

    test = result["models"][SOURCE_ONLY]
    scans, perfect = test["n_scans"], test["ece_expected"]
    since = " (it was cut off: times count from then on)" if result["cut_off"] else ""
    say("")
    table(
        [_row(name, numbers, result["seconds"].get(name)) for name, numbers in result["models"].items()],
        title=f"{scans} test scans of {test['n_patients']} patients from {TARGET}; after the arrow: calibrated",
    )
    say(
        f"AUROC with its 95 % interval over patients. Calibration error: ECE less the {perfect:.2f} or so that a\n"
        f"perfectly calibrated model shows on {scans} scans by chance; 0 or below is as good as can be seen.\n"
        f"Calibrated on held-out scans of {SOURCE}, the fine-tuned model on its {2 * SHOTS} labelled scans.\n\n"
        f"{result['trust']}\n\n"
        f"report      {result['report']}\n"
        f"run         {result['run']}\n"
        f"fine-tuned  {result['fine_tuned']}\n"
        f"ONNX        {result['onnx']}\n\n"
        f"Done in {result['seconds']['all']} s{since}. Now your own scans, a labels.csv beside those with labels:\n\n"
        "  medtl adapt --source LABELLED --target YOURS -o my-run\n"
        "  medtl evaluate my-run --on YOURS_WITH_LABELS -o my-report\n"
        "  medtl predict my-run YOURS -o predictions.csv"
    )


def _row(name: str, numbers: Mapping[str, Any], seconds: float | None) -> dict[str, str]:
    """One line of the table; what changes with calibration as before → after."""
    low, high = numbers["auroc_ci"]
    before = numbers["uncalibrated"]
    return {
        "model": name,
        "AUROC": f"{numbers['auroc']:.2f} ({low:.2f} to {high:.2f})",
        "accuracy": f"{before['accuracy']:.2f} → {numbers['accuracy']:.2f}",
        "calibration error": f"{before['ece_excess']:+.2f} → {numbers['ece_excess']:+.2f}",
        "training": "" if seconds is None else f"{seconds:.0f} s",
    }
