"""`medtl export`: a Run as a model that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from medtl.runs.run import Run
    from medtl.scans import Manifest


def export(
    run: Path | str | Run,
    out: Path | str,
    format: Literal["onnx"] = "onnx",
    on: Path | str | Manifest | None = None,
    force: bool = False,
) -> Path:
    """Write a Run as an ONNX model, with recipe, calibrator and threshold beside it, after comparing it with PyTorch.

    Args:
        run: the folder that `medtl adapt` or `medtl finetune` wrote.
        out: a folder for model.onnx and medtl.json; `medtl predict OUT SCANS` uses it, and needs no torch.
        format: onnx.
        on: a folder or manifest of scans to compare on, beside synthetic ones.
        force: replace `out` where it is an export.

    Returns:
        The folder.

    Raises:
        InputError: the Run is not one, `out` exists, or a probability differs by 1e-4 or more.
    """
    from medtl import progress
    from medtl.errors import InputError

    if format != "onnx":
        raise InputError(f"--format {format} is not known: it is onnx")
    from medtl.exports.onnx import export_onnx
    from medtl.runs.run import Run

    run = Run.load(run)
    cohort = None
    if on is not None:
        from medtl.data import Cohort
        from medtl.verbs._cohorts import manifest_of

        cohort = Cohort(manifest_of(on).without_labels(), run.recipe, unit=run.unit)
    folder = export_onnx(run, out, cohort=cohort, force=force)
    progress.say(f"Exported to {folder}: try `medtl predict {folder} SCANS... -o predictions.csv`")
    return folder
