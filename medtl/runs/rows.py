"""Rows of predictions.csv in a manifest's order, for a Run and for an exported model alike. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from medtl.trust import Trust, apply_trust, predictions_frame

if TYPE_CHECKING:
    import pandas as pd

    from medtl.scans import Row


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

    read = [row for row in rows if row.scan_id in outputs]
    rest = [
        replace(row, status="unreadable", reason=failed[row.scan_id]) if row.scan_id in failed else row
        for row in rows
        if row.scan_id not in outputs
    ]
    parts = []
    if read:
        logits = np.stack([outputs[row.scan_id][0] for row in read])
        features = np.stack([outputs[row.scan_id][1] for row in read])
        parts.append(predictions_frame(read, classes, apply_trust(trust, logits, features)))
    if rest or not parts:
        parts.append(predictions_frame(rest, classes, None))
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    place = {row.scan_id: i for i, row in enumerate(rows)}
    return frame.iloc[np.argsort([place[scan_id] for scan_id in frame["scan_id"]], kind="stable")].reset_index(
        drop=True
    )
