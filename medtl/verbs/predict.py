"""`medtl predict`: a Run or an exported model on scans, to predictions.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pandas as pd

    from medtl.exports.runtime import Export
    from medtl.runs.run import Run
    from medtl.scans import Manifest

ROWS_ON_THE_TERMINAL = 40


def predict(
    run_or_export: Path | str | Run | Export,
    scans: Sequence[Path | str | Manifest],
    out: Path | str | None = None,
    uncertainty: str | None = None,
    members: Sequence[Path | str | Run] = (),
    force: bool = False,
) -> pd.DataFrame:
    """Classify scans with a Run or an exported model, and say of each how sure the answer is.

    Args:
        run_or_export: the folder that `medtl adapt` or `medtl export` wrote, or its .onnx file.
        scans: folders, files or manifests.
        out: predictions.csv, one row a scan; one that cannot be read has its row too, with the reason.
        uncertainty: a last column, how much each answer wavers (0: not at all): views, dropout, laplace, or ensemble
            (docs/uncertainty.md). Of a Run, not of an export.
        members: the other Runs of an ensemble, trained as this one from other seeds.
        force: replace `out` where it exists.

    Returns:
        The table: scan_id, patient, p_<class> ..., prediction, prediction_set, in_distribution, refer, status, reason,
        and uncertainty where it was asked for. A scan that is not in distribution says why in its reason.

    Raises:
        InputError: it is neither a Run nor an export, there are no scans, `out` exists, or the uncertainty is unknown
            or takes what is not there.
    """
    from medtl import progress
    from medtl.errors import InputError
    from medtl.files import refuse_existing
    from medtl.runs.rows import outside_sentence, write_predictions
    from medtl.verbs._cohorts import manifest_of

    if out is not None:
        refuse_existing(out, force)
    if members and uncertainty != "ensemble":
        raise InputError("members are those of an ensemble: give --uncertainty ensemble with --members")
    model = _model(run_or_export)
    others = _members(model, uncertainty, members) if uncertainty is not None else []
    manifest = manifest_of(scans)
    frame = model.predict(manifest) if uncertainty is None else _wavering(model, manifest, uncertainty, others)
    if (decision := model.facts.get("decision") or {}).get("warn"):
        progress.warn(decision.get("sentence", ""))
    if unlike := outside_sentence(frame):
        progress.warn(unlike)
    if out is None:
        progress.table(_shown(frame, manifest))
    else:
        write_predictions(frame, out)
    progress.say(_summary(frame) + ("" if out is None else f" -> {out}"))
    return frame


def _members(model: Run | Export, uncertainty: str, members: Sequence[Path | str | Run]) -> list[Run]:
    """The other Runs of an ensemble, before anything long is begun.

    Raises:
        InputError: the model is an export, or what `refuse_what_cannot_be` refuses.
    """
    from medtl.errors import InputError
    from medtl.exports.runtime import Export

    if isinstance(model, Export):
        raise InputError(f"{model.path} is an export and has no uncertainty: give the Run that it was made from")
    from medtl.runs.run import Run
    from medtl.runs.uncertainty import refuse_what_cannot_be

    others = [Run.load(member) for member in members or ()]
    refuse_what_cannot_be(uncertainty, model, others)
    return others


def _wavering(model: Run | Export, manifest: Manifest, uncertainty: str, members: Sequence[Run]) -> pd.DataFrame:
    """The table with the column `uncertainty`."""
    from medtl.runs.layout import MODEL
    from medtl.runs.predict import predict as predict_run

    return predict_run(cast("Run", model), manifest, MODEL, uncertainty, members)


def _shown(frame: pd.DataFrame, manifest: Manifest) -> list[dict[str, str]]:
    """The table as a person reads it on the terminal, where files may have their names: its first rows."""
    names = dict(zip(manifest.frame["scan_id"], manifest.frame["path"], strict=True))
    rows = []
    for row in frame.head(ROWS_ON_THE_TERMINAL).to_dict("records"):
        cells = {"file": Path(names[row["scan_id"]]).name}
        for key, value in row.items():
            if isinstance(value, float):
                cells[str(key)] = "" if value != value else f"{value:.3f}"
            elif isinstance(value, bool):
                cells[str(key)] = "yes" if value else "no"
            elif key != "patient":
                cells[str(key)] = str(value)
        rows.append(cells)
    return rows


def _summary(frame: pd.DataFrame) -> str:
    """One line: how many scans of which class, how many for a second look, how many that could not be used."""
    classified = frame[frame["status"] == "ok"]
    counts = classified["prediction"].value_counts()
    parts = [f"{number} {name}" for name, number in counts.items()]
    if len(classified):
        parts.append(f"of these {int(classified['refer'].astype(bool).sum())} to refer to a reader")
    if unused := len(frame) - len(classified):
        parts.append(f"{unused} not classified (see the column reason)")
    return f"{len(frame)} scans: {', '.join(parts)}"


def _model(given: Path | str | Run | Export) -> Run | Export:
    """A Run or an Export; torch is imported for a Run only.

    Raises:
        InputError: it is neither.
    """
    if not isinstance(given, str | Path):
        return given
    path = Path(given)
    if path.suffix.lower() == ".onnx" or any((path / name).is_file() for name in ("medtl.json", "model.onnx")):
        from medtl.exports.runtime import Export

        return Export.load(path)
    from medtl.runs.layout import read_facts

    read_facts(path)  # says what is wrong before torch is imported
    from medtl.runs.run import Run

    return Run.load(path)
