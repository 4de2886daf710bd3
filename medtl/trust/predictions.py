"""The table `predictions.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medtl.trust.trust import Judgement

if TYPE_CHECKING:
    from medtl.scans.manifest import Row


def predictions_frame(rows: Iterable[Row], classes: Sequence[str], judgement: Judgement | None) -> pd.DataFrame:
    """One row a scan, in the order of `rows`.

    Args:
        rows: of a manifest; the reason of one that is "ok" is what sets it apart from the scans trained on.
        classes: the K names, in the order of the probabilities.
        judgement: of exactly these scans; None where they could not be judged.

    Returns:
        Columns scan_id, patient, p_<class>..., prediction, prediction_set, in_distribution, refer, status, reason.
        Several classes are joined by ";". Without a judgement the cells are empty, and a scan that is "unreadable" is
        to be referred.
    """
    rows = list(rows)
    told = [_told(judgement, i, classes) for i in range(len(rows))] if judgement else [_untold(row) for row in rows]
    table: dict[str, Any] = {"scan_id": [r.scan_id for r in rows], "patient": [r.patient for r in rows]}
    for k, name in enumerate(classes):
        table[f"p_{name}"] = judgement.probabilities[:, k] if judgement else np.full(len(rows), np.nan)
    for column in ("prediction", "prediction_set", "in_distribution", "refer"):
        table[column] = pd.Series([t[column] for t in told], dtype=object)
    table |= {"status": [r.status for r in rows], "reason": [r.reason for r in rows]}
    return pd.DataFrame(table)


def _told(judgement: Judgement, i: int, classes: Sequence[str]) -> dict[str, Any]:
    said = judgement.prediction[i]
    chosen = np.flatnonzero(said).tolist() if judgement.prediction.ndim == 2 else [int(said)]
    return {
        "prediction": ";".join(classes[k] for k in chosen),
        "prediction_set": ";".join(classes[k] for k in judgement.prediction_set[i]),
        "in_distribution": bool(judgement.in_distribution[i]),
        "refer": bool(judgement.refer[i]),
    }


def _untold(row: Row) -> dict[str, Any]:
    return {"prediction": "", "prediction_set": "", "in_distribution": "", "refer": row.status != "set aside"}
