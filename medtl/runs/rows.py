"""Rows of predictions.csv in a manifest's order, for a Run and for an exported model alike. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medtl.errors import ScanError
from medtl.files import atomic_write
from medtl.intensity.fingerprint import Fingerprint, Print, print_of
from medtl.scans.read import read
from medtl.trust import Trust, apply_trust
from medtl.trust.predictions import predictions_frame

if TYPE_CHECKING:
    import pandas as pd

    from medtl.data import Cohort
    from medtl.intensity import Recipe
    from medtl.scans import Row


OUTSIDE = "outside what the model was trained on: "
UNFAMILIAR = "unlike the scans that the model was trained on, as it sees them"


class Prepared(NamedTuple):
    """One scan as it goes into a network: `pixels` float32 (instances, C, H, W) and its print, or why there is none."""

    pixels: np.ndarray | None
    reason: str = ""
    print: Print | None = None


class Remark(NamedTuple):
    """What sets a scan apart from those that a model was trained on, and whether that makes it unfamiliar."""

    reason: str
    outside: bool


def prepared(row: Row, recipe: Recipe) -> Prepared:
    """Read one scan and prepare it; one that cannot be read has its reason."""
    try:
        scan = read(row)
        return Prepared(recipe(scan), "", print_of(scan))
    except ScanError as error:
        return Prepared(None, str(error))
    except FileNotFoundError:
        return Prepared(None, "the file is not where the manifest says: index the folder again")
    except PermissionError:
        return Prepared(None, "the file may not be read: ask for permission")


def remarks(trained_on: Fingerprint | None, prints: Iterable[tuple[str, Print]]) -> dict[str, Remark]:
    """What is to be said of scans that differ from those that a model was trained on.

    Args:
        trained_on: the model's; None, of one that an older medtl made: nothing is said.
        prints: (scan_id, print); of several under one scan_id, as those of a study are, the first outside speaks.

    Returns:
        scan_id -> remark, of those that differ alone. A new manufacturer is said, and alone is not outside.
    """
    said: dict[str, Remark] = {}
    if trained_on is None:
        return said
    for scan_id, scan in prints:
        if scan_id in said and said[scan_id].outside:
            continue
        why, maker = trained_on.outside(scan), trained_on.new_manufacturer(scan)
        if why:
            said[scan_id] = Remark(OUTSIDE + "; ".join([*why, maker] if maker else why), True)
        elif maker:
            said[scan_id] = Remark(maker, False)
    return said


def of_members(units: Iterable[Sequence[str]], what: Iterable[Any]) -> dict[str, Any]:
    """What is known of each unit, for each of its scans: scan_id -> that.

    Args:
        units: the scan_ids of each, as `Cohort.members` gives them.
        what: one a unit.
    """
    return {scan_id: each for members, each in zip(units, what, strict=True) for scan_id in members}


def remarks_of(trained_on: Fingerprint | None, cohort: Cohort) -> dict[str, Remark]:
    """`remarks` of a cohort's scans; what sets one series of a study apart is said of all of them."""
    firsts = (members[0] for members in cohort.members for _ in members)
    said = remarks(trained_on, zip(firsts, cohort.prints, strict=True))
    of_all = of_members(cohort.members, (said.get(members[0]) for members in cohort.members))
    return {scan_id: remark for scan_id, remark in of_all.items() if remark}


def outside_sentence(frame: pd.DataFrame) -> str:
    """How many scans of predictions.csv are not in distribution, and why the first; "" for none."""
    classified = frame[frame["status"] == "ok"]
    others = classified[classified["in_distribution"].eq(False)]
    if not len(others):
        return ""
    are, first = ("is", "scan {}") if len(others) == 1 else ("are", "the first, {},")
    return (
        f"{len(others)} of {len(classified)} scans {are} not in distribution: "
        f"{first.format(others['scan_id'].iloc[0])} is {others['reason'].iloc[0]}"
    )


def prediction_rows(
    rows: Sequence[Row],
    classes: Sequence[str],
    trust: Trust,
    outputs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    failed: Mapping[str, str],
    said: Mapping[str, Remark] | None = None,
) -> pd.DataFrame:
    """One row a scan, in the order of `rows`.

    Args:
        rows: of a manifest.
        classes: in the order of the logits.
        trust: of the model.
        outputs: scan_id -> logits (K,) and features (F,), of the scans that could be read.
        failed: scan_id -> reason, of those that could not although the manifest says that they can.
        said: scan_id -> what `remarks` says: its reason stands in the scan's row, whose status stays "ok"; one that
            is outside is not in distribution, and is referred. `UNFAMILIAR` is the reason of others that are not.
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
        remark = [(said or {}).get(row.scan_id, Remark(row.reason, False)) for row in read_ones]
        outside = np.array([each.outside for each in remark])
        judged = apply_trust(trust, logits, features)
        reasons = map(_reason, remark, judged.in_distribution)
        told = [replace(row, reason=reason) for row, reason in zip(read_ones, reasons, strict=True)]
        judged = replace(judged, in_distribution=judged.in_distribution & ~outside, refer=judged.refer | outside)
        parts.append(predictions_frame(told, classes, judged))
    if others or not parts:
        parts.append(predictions_frame(others, classes, None))
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return frame.set_index("scan_id").loc[[row.scan_id for row in rows]].reset_index()


def _reason(remark: Remark, familiar: bool) -> str:
    """What stands in the row of a scan, of which the features say whether it is `familiar`."""
    said = [remark.reason] if remark.reason else []
    return "; ".join(said if familiar or remark.outside else [UNFAMILIAR, *said])


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
