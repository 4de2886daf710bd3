"""A row is measured once, found again, and a cut costs no more than the row it cut."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_spec = importlib.util.spec_from_file_location("_rows", BENCHMARKS / "_rows.py")
_rows = importlib.util.module_from_spec(_spec)
sys.modules["_rows"] = _rows
_spec.loader.exec_module(_rows)

KEY = {"pair": "a to b", "seed": 0, "settings": {"lr": 1e-3}}


def counted(calls: list[int], value: float):
    def work():
        calls.append(1)
        return {"auroc": value}

    return work


def test_a_row_is_measured_once_by_its_whole_key(tmp_path):
    calls: list[int] = []
    rows = _rows.Rows(tmp_path / "deep" / "rows.jsonl")
    assert rows.get(KEY) is None
    first = rows.row(KEY, counted(calls, 0.5))
    assert first["result"] == {"auroc": 0.5} and {"seconds", "date", "machine"} <= first.keys()
    again = _rows.Rows(rows.path)
    assert again.row(dict(reversed(KEY.items())), counted(calls, 0.6)) == first
    assert again.row({**KEY, "settings": {"lr": 1e-4}}, counted(calls, 0.7))["result"]["auroc"] == 0.7
    assert len(calls) == 2
    assert [row["result"]["auroc"] for row in _rows.Rows(rows.path)] == [0.5, 0.7]


def test_a_line_cut_in_the_middle_is_measured_again_and_harms_no_other(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = _rows.Rows(path)
    rows.row({"seed": 0}, lambda: {"x": 0})
    rows.row({"seed": 1}, lambda: {"x": 1})
    path.write_bytes(path.read_bytes()[:-25])

    calls: list[int] = []
    rows = _rows.Rows(path)
    assert rows.row({"seed": 0}, counted(calls, 9))["result"] == {"x": 0}
    rows.row({"seed": 1}, counted(calls, 2))
    assert len(calls) == 1
    assert {row["key"]["seed"] for row in _rows.Rows(path)} == {0, 1}
    assert json.loads(path.read_text().splitlines()[-1])["result"] == {"auroc": 2}


def test_a_failed_measurement_leaves_no_row(tmp_path):
    rows = _rows.Rows(tmp_path / "rows.jsonl")
    with pytest.raises(ZeroDivisionError):
        rows.row(KEY, lambda: 1 / 0)
    assert rows.get(KEY) is None and not rows.path.exists()


def test_markdown():
    assert _rows.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
