"""Which series make a unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from medtl.data.units import group_rows, label_of, places_of, with_labels
from medtl.scans import Manifest
from medtl.scans.manifest import COLUMNS, Row


def rows(*told: tuple[str, str, str, str]) -> list[Row]:
    """Of (site, patient, study, label)."""
    return [
        Row(str(n), site=site, patient=patient, study=study, label=label)
        for n, (site, patient, study, label) in enumerate(told)
    ]


def test_series_are_their_own_units() -> None:
    assert group_rows(rows(("a", "p", "s", "x"), ("a", "p", "s", "y")), "series") == ([[0], [1]], {})


def test_a_study_is_of_one_patient_at_one_site_and_known() -> None:
    told = rows(
        ("a", "p", "s", "x"), ("a", "q", "s", "y"), ("a", "p", "s", "x"), ("a", "p", "t", "y"), ("b", "p", "s", "y"),
        ("a", "", "s", "x"), ("a", "", "s", "y"), ("a", "p", "", "x"), ("a", "p", "", "y"), ("a", "q", "s", ""),
    )  # fmt: skip
    assert group_rows(told, "study") == ([[0, 2], [1, 9], [3], [4], [5], [6], [7], [8]], {})


def test_labels_that_contradict_each_other_leave_the_study_out() -> None:
    told = rows(("a", "p", "s", "sick"), ("a", "q", "s", "well"), ("a", "p", "s", "well"), ("a", "q", "s", ""))
    units, failed = group_rows(told, "study")
    assert units == [[1, 3]]
    assert set(failed) == {"0", "2"}
    assert failed["0"] == (
        "the series of its study have different labels, 'sick' and 'well': give them one, or set `unit: series`"
    )
    assert group_rows(rows(("a", "p", "s", "u;v"), ("a", "p", "s", "v; u")), "study") == ([[0, 1]], {})


def test_a_study_is_labelled_as_any_of_its_series() -> None:
    assert label_of(["", "sick", ""]) == "sick"
    assert label_of(["", ""]) == ""


def test_scans_of_a_labelled_study_are_labelled() -> None:
    told = [
        ("p", "s", "sick", "ok"), ("p", "s", "", "ok"), ("p", "s", "", "unreadable"), ("p", "t", "", "ok"),
        ("q", "s", "sick", "ok"), ("q", "s", "well", "ok"), ("q", "s", "", "ok"), ("r", "s", "u;v", "ok"),
        ("r", "s", "v; u", "ok"), ("", "", "", "ok"), ("", "", "well", "ok"),
    ]  # fmt: skip
    known = pd.DataFrame(told, columns=["patient", "study", "label", "status"])
    frame = pd.DataFrame("", index=known.index, columns=list(COLUMNS)).assign(**known, scan_id=known.index.map(str))
    manifest = Manifest(frame)
    labelled = with_labels(manifest, "study").frame
    assert dict(zip(labelled.scan_id, labelled.label, strict=True)) == {
        "0": "sick", "1": "sick", "4": "sick", "5": "well", "7": "u;v", "8": "v; u", "10": "well",
    }  # fmt: skip
    assert with_labels(manifest, "series").frame.equals(manifest.labelled.frame)


@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=9), data=st.data())
def test_places_are_those_of_the_units_in_the_order_asked(counts: list[int], data) -> None:
    units = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=12))
    first = np.cumsum([0, *counts])
    expected = [place for unit in units for place in range(first[unit], first[unit + 1])]
    assert places_of(first, np.array(units)).tolist() == expected
