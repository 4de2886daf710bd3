"""What gets one prediction: a series, or all series of a study as one bag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from medtl.scans.manifest import Manifest, Row

Unit = Literal["series", "study"]


def group_rows(rows: Sequence[Row], unit: Unit) -> tuple[list[list[int]], dict[str, str]]:
    """Places of rows that belong together, in the order of the first of each.

    With "study" the series of one patient, site and study are one unit; a row whose patient or study is unknown is its
    own. A series without a label takes its study's.

    Returns:
        the units; scan_id -> why, for all series of a study whose labels contradict each other.
    """
    if unit == "series":
        return [[place] for place in range(len(rows))], {}
    studies: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        known = row.patient and row.study
        studies.setdefault((row.site, row.patient, row.study) if known else ("", "", str(place)), []).append(place)
    units: list[list[int]] = []
    failed: dict[str, str] = {}
    for places in studies.values():
        named = _different([rows[place].label for place in places])
        if len(named) > 1:
            why = (
                f"the series of its study have different labels, {' and '.join(map(repr, named))}: "
                "give them one, or set `unit: series`"
            )
            failed |= {rows[place].scan_id: why for place in places}
        else:
            units.append(places)
    return units, failed


def with_labels(manifest: Manifest, unit: Unit) -> Manifest:
    """The usable scans whose unit has a label, which then stands in each of its rows; for "series", those labelled.

    So a study keeps its label where just the series that had it turns out to be unreadable. Studies whose series
    contradict each other keep their labels, for `Cohort` to refuse them.
    """
    if unit == "series":
        return manifest.labelled
    usable = manifest.usable
    label = usable.frame.label.tolist()
    for places in group_rows(list(usable), unit)[0]:
        common = label_of([label[place] for place in places])
        for place in places:
            label[place] = label_of([label[place], common])
    return Manifest(usable.frame.assign(label=label), usable.files).labelled


def counted(unit: Unit) -> str:
    """What is counted where units are: "scans" or "studies"."""
    return "studies" if unit == "study" else "scans"


def label_of(labels: Sequence[str]) -> str:
    """The label of a unit, from those of its series, which agree; "" where none has one."""
    return next((label for label in labels if label.strip()), "")


def _different(labels: Sequence[str]) -> list[str]:
    """Labels that say different things, as they were written; "a;b" and "b; a" say the same."""
    said = {frozenset(name.strip() for name in label.split(";")): label for label in labels if label.strip()}
    return list(said.values())


def places_of(first: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Places int64 (P,) of the series of some units (U,), of which unit `i` has `first[i]` to `first[i + 1]`."""
    counts = first[units + 1] - first[units]
    starts = np.cumsum(counts) - counts
    return np.repeat(first[units] - starts, counts) + np.arange(counts.sum())
