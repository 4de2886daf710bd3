"""The model by the columns of the manifest: sex, age band, scanner, site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medtl import measures
from medtl.errors import InputError, nearest
from medtl.measures.subgroups import NOT_GIVEN
from medtl.reports.contents import ModelResult, SubgroupRow, SubgroupTable

if TYPE_CHECKING:
    import pandas as pd

    from medtl.reports.comparison import Labelled

#: Columns that name a scan or its patient, its answer, or nothing that its patients differ in.
NOT_GROUPS = frozenset(
    (
        *("scan_id", "patient", "study", "series", "path", "label", "split", "status", "reason"),
        *("group", "fingerprint", "phash", "notes", "volume", "lesion_mask"),
    )
)
FEW = 5  # patients below which numbers say nothing and a rare mark (an age of 97) may tell who it is
TOGETHER = "small groups together"
BANDS_FROM = 10  # different numbers in a column, beyond which it is shown in thirds
_AGE = re.compile(r"(^|[^a-z])(patient)?_?age([^a-z]|$)", re.IGNORECASE)


def check_columns(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """The columns of a manifest that the user named, as the manifest spells them.

    Raises:
        InputError: one is not there, or groups by it would show patients one by one.
    """
    allowed = [str(name) for name in frame.columns if name not in NOT_GROUPS]
    names = []
    for asked in by:
        found = next((name for name in frame.columns if asked in (name, str(name).lower())), None)
        if found in NOT_GROUPS:
            raise InputError(
                f"scans cannot be grouped by {asked!r}, which names single scans or their answer: "
                f"choose one of {', '.join(allowed)}"
            )
        if found is None:
            advice = nearest(asked, allowed, f"it has {', '.join(allowed)}")
            raise InputError(f"the manifest has no column {asked!r} to group by: {advice}")
        names.append(str(found))
    return list(dict.fromkeys(names))


def subgroup_table(column: str, values: Sequence[str], result: ModelResult, scans: Labelled) -> SubgroupTable:
    """One model on each group of scans; groups of fewer than 5 patients are taken together, or left out.

    Args:
        column: its name.
        values: (N,) what stands in it; an age, and any other column of many different numbers, is put into bands.
        result: of the model.
        scans: N.
    """
    groups = _banded(column, [str(value).strip() for value in values])
    patients = {name: len(np.unique(scans.patient[groups == name])) for name in np.unique(groups)}
    few = [name for name, n in patients.items() if n < FEW]
    groups = np.where(np.isin(groups, few), TOGETHER, groups)
    left_out = int(np.sum(groups == TOGETHER)) if len(np.unique(scans.patient[groups == TOGETHER])) < FEW else 0
    shown = groups != TOGETHER if left_out else np.ones(len(groups), bool)
    threshold = result.metrics.get("threshold")
    found = measures.subgroups(
        groups[shown],
        scans.label[shown],
        result.probabilities[shown],
        scans.patient[shown],
        threshold=0.5 if threshold is None else threshold,
    )
    found.sort(key=lambda group: group.name == TOGETHER)
    return SubgroupTable(column, tuple(SubgroupRow(**group._asdict()) for group in found), _note(len(few), left_out))


def _note(few: int, left_out: int) -> str:
    if not few:
        return ""
    what = "1 group" if few == 1 else f"{few} groups"
    where = f"not shown ({left_out} in all)" if left_out else "taken together"
    return (
        f"{what} of fewer than {FEW} patients {'is' if few == 1 else 'are'} {where}: so few say nothing about a group, "
        "and a rare mark may tell who they are."
    )


def _banded(column: str, values: list[str]) -> np.ndarray:
    """(N,) names of groups."""
    given = np.array([value or NOT_GIVEN for value in values], dtype=object)
    if _AGE.search(column):
        bands = measures.age_bands(values)
        if np.sum(bands != NOT_GIVEN) >= np.sum(given != NOT_GIVEN) / 2:
            return bands.astype(str)
    numbers = _numbers(values)
    if numbers is None or len(np.unique(numbers[~np.isnan(numbers)])) <= BANDS_FROM:
        return given.astype(str)
    low, high = np.nanquantile(numbers, [1 / 3, 2 / 3])
    names = np.array(
        [f"1st third, up to {low:.4g}", f"2nd third, to {high:.4g}", f"3rd third, above {high:.4g}", NOT_GIVEN]
    )
    place = (numbers > low).astype(int) + (numbers > high)
    return names[np.where(np.isnan(numbers), 3, place)]


def _numbers(values: list[str]) -> np.ndarray | None:
    """(N,) numbers, nan for what is not given; None where anything else stands there."""
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return None
