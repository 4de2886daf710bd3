"""What the tables say in words: natural frequencies, verdicts of tests, shares of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medtl.reports.contents import ConfusionTable, OperatingRow, PairedDifference
from medtl.reports.tables import in_a_thousand, p_value, rule_of, shaded, told_apart

NAN = float("nan")
ROW = OperatingRow(
    of="malignant", rule="as handed over", where="home", threshold=0.3, sensitivity=0.8, specificity=0.9,
    sensitivity_ci=(0.7, 0.9), specificity_ci=(0.8, 0.95), ppv=0.67, npv=0.95, prevalence=0.2, named=None, n_labels=0,
    n_positive=0, how="youden on the calibration scans",
)  # fmt: skip


def test_a_thousand_scans_add_up() -> None:
    assert in_a_thousand(ROW) == (0.2, 200, 160, 40, 80, 240)
    rarer = in_a_thousand(replace(ROW, named=(0.05, 0.3, 0.99)))
    assert rarer == (0.05, 50, 40, 10, 95, 135)
    assert in_a_thousand(replace(ROW, sensitivity=NAN)) is None and in_a_thousand(replace(ROW, prevalence=NAN)) is None


def test_a_rule_says_how_many_labels_stand_behind_it() -> None:
    assert rule_of(ROW) == "came with the model: Youden's J on the calibration scans"
    here = replace(ROW, where="here", n_labels=235, n_positive=78, how="on the calibrate split")
    assert rule_of(here) == "set on 235 labelled scans here, 78 of them malignant; on the calibrate split"


@pytest.mark.parametrize(
    ("difference", "p", "said"),
    [(0.1, 0.01, "better"), (-0.1, 0.01, "worse"), (0.1, 0.2, "cannot tell"), (0.1, NAN, "cannot tell")],
)
def test_a_paired_test_in_a_word(difference: float, p: float, said: str) -> None:
    pair = PairedDifference("a", "b", difference, (0.0, 0.0), 0.001, p, 0.0, (0.0, 0.0))  # Holm's p counts
    assert told_apart(pair) == said


def test_p_values() -> None:
    assert [p_value(p) for p in (0.00004, 0.0123, 0.6, NAN)] == ["< 0.001", "0.012", "0.6", "–"]


def test_the_shares_are_of_the_row_and_right_answers_are_blue() -> None:
    table = ConfusionTable("", ("no", "yes"), np.array([[3, 1], [0, 0]]))
    first, second = shaded(table)
    assert [cell[:2] for cell in first] == [(3, 75), (1, 25)] and [cell[:2] for cell in second] == [(0, 0), (0, 0)]
    assert first[0][2].startswith("rgba(0,114,178") and first[1][2].startswith("rgba(213,94,0")
