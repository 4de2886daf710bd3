"""Rows of predictions.csv in a manifest's order, for a Run and for an exported model alike. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medtl.errors import ScanError
from medtl.files import atomic_write
from medtl.scans.read import read
from medtl.trust import Trust, apply_trust
from medtl.trust.predictions import predictions_frame

if TYPE_CHECKING:
    import pandas as pd

    from medtl.intensity import Recipe
    from medtl.scans import Row


def pixels_of(row: Row, recipe: Recipe) -> tuple[np.ndarray | None, str]:
    """Network input of one scan, float32 (instances, C, H, W), or None and why there is none."""
    try:
        return recipe(read(row)), ""
    except ScanError as error:
        return None, str(error)
    except FileNotFoundError:
        return None, "the file is not where the manifest says: index the folder again"
    except PermissionError:
        return None, "the file may not be read: ask for permission"


def prediction_rows(
    rows: Sequence[Row],
    classes: Sequence[str],
    trust: Trust,
    outputs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    failed: Mapping[str, str],
) -> pd.DataFrame:
    """One row a scan, in the order of `rows`.

    Args:
        rows: of a manifest.
        classes: in the order of the logits.
        trust: of the model.
        outputs: scan_id -> logits (K,) and features (F,), of the scans that could be read.
        failed: scan_id -> reason, of those that could not although the manifest says that they can.
    """
    import pandas as pd

    read_ones = [row for row in rows if row.scan_id in outputs]
    others = [
        replace(row, status="unreadable", reason=failed[row.scan_id]) if row.scan_id in failed else row
        for row in rows
        if row.scan_id not in outputs
    ]
    parts = []
    if read_ones:
        logits = np.stack([outputs[row.scan_id][0] for row in read_ones])
        features = np.stack([outputs[row.scan_id][1] for row in read_ones])
        parts.append(predictions_frame(read_ones, classes, apply_trust(trust, logits, features)))
    if others or not parts:
        parts.append(predictions_frame(others, classes, None))
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return frame.set_index("scan_id").loc[[row.scan_id for row in rows]].reset_index()


def write_predictions(frame: pd.DataFrame, out: str | Path) -> None:
    """predictions.csv, whole or not there; text that a spreadsheet would run is escaped.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    from medtl.scans.table import to_csv

    with atomic_write(out) as part:
        rows = ([_cell(value) for value in row] for row in frame.itertuples(index=False, name=None))
        part.write_text(to_csv(list(frame.columns), rows), encoding="utf-8", newline="")


def _cell(value: object) -> str:
    """Text as it is, numbers with seven digits, nothing for not-a-number."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.7g}"
    return "" if value is None else str(value)
