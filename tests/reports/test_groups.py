"""Subgroups by a column of the manifest: against scikit-learn, and nobody is shown alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from medtl.errors import InputError
from medtl.reports.comparison import Labelled
from medtl.reports.contents import ModelResult
from medtl.reports.groups import TOGETHER, check_columns, subgroup_table

N = 120
LABEL = np.arange(N) % 2
P = np.clip(0.3 * LABEL + 0.7 * np.random.default_rng(0).random(N), 0, 1)
SCANS = Labelled(LABEL, np.array([f"P{i // 2}" for i in range(N)]), np.repeat("here", N), ("no", "yes"))
RESULT = ModelResult("m", np.stack([1 - P, P], 1), np.stack([1 - P, P], 1), {"threshold": 0.4})


def test_each_group_is_scikit_learns_on_its_scans() -> None:
    sex = np.array(["f", "m"])[np.arange(N) // 2 % 2]
    table = subgroup_table("sex", sex.tolist(), RESULT, SCANS)
    assert [row.name for row in table.rows] == ["f", "m"] and table.note == ""
    for row in table.rows:
        own = sex == row.name
        assert row.auroc == pytest.approx(roc_auc_score(LABEL[own], P[own]))
        assert row.sensitivity == pytest.approx(recall_score(LABEL[own], P[own] >= 0.4))
        assert (row.n_scans, row.n_patients, row.n_positive) == (60, 30, 30)
        assert row.auroc_ci[0] < row.auroc < row.auroc_ci[1]


def test_groups_of_few_patients_are_taken_together() -> None:
    scanner = np.repeat("A", N).astype(object)
    scanner[:8], scanner[8:16] = "rare one", "rare two"  # four patients each
    table = subgroup_table("scanner", scanner.tolist(), RESULT, SCANS)
    assert [(row.name, row.n_patients) for row in table.rows] == [("A", 52), (TOGETHER, 8)]
    assert table.rows[1].small and "2 groups of fewer than 5 patients are taken together" in table.note


def test_a_group_that_stays_small_is_not_shown() -> None:
    age = np.repeat("45", N).astype(object)
    age[:4] = "97"
    table = subgroup_table("age", age.tolist(), RESULT, SCANS)
    assert [row.name for row in table.rows] == ["40 to 59"]
    assert "1 group of fewer than 5 patients is not shown (4 in all)" in table.note


def test_ages_come_in_bands_and_other_numbers_in_thirds() -> None:
    age = [f"{20 + i // 2:03d}Y" for i in range(N)]
    assert [row.name for row in subgroup_table("PatientAge", age, RESULT, SCANS).rows] == [
        "18 to 39", "40 to 59", "60 to 79",
    ]  # fmt: skip
    dose = [str(i // 2) for i in range(N - 20)] + [""] * 20
    rows = subgroup_table("dose", dose, RESULT, SCANS).rows
    assert [row.name for row in rows] == [
        "1st third, up to 16", "2nd third, to 33", "3rd third, above 33", "not given",
    ]  # fmt: skip
    assert sum(row.n_scans for row in rows) == N
    grade = [str(i // 2 % 4) for i in range(N)]
    assert [row.name for row in subgroup_table("grade", grade, RESULT, SCANS).rows] == ["0", "1", "2", "3"]
    words = subgroup_table("stage", ["early", "late"] * (N // 2), RESULT, SCANS).rows  # "stage" is no age
    assert [row.name for row in words] == ["early", "late"]


def test_columns_are_found_and_others_told() -> None:
    frame = pd.DataFrame(columns=["scan_id", "patient", "site", "label", "Sex", "scanner"])
    assert check_columns(frame, ["sex", "site", "site"]) == ["Sex", "site"]
    with pytest.raises(InputError, match="no column 'scaner' to group by: did you mean 'scanner'"):
        check_columns(frame, ["scaner"])
    with pytest.raises(InputError, match="'zzz' to group by: it has site, Sex, scanner"):
        check_columns(frame, ["zzz"])
    for name in ("patient", "label", "scan_id"):
        with pytest.raises(InputError, match="choose one of site, Sex, scanner"):
            check_columns(frame, [name])
