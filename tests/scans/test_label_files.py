"""A labels file says the same whatever program wrote it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from medtl.errors import InputError
from medtl.scans.label_files import LABEL_FILES, bids_ignores, find_labels, read_table
from medtl.scans.labels import read_labels

TEXT = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=10).filter(str.strip)


def excel(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_an_excel_file_with_a_title_above_its_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = excel(
        tmp_path / "labels.xlsx",
        {
            "About": [["Made by", "the radiology department"]],
            "Data": [
                ["Study of 2021"],
                [],
                [None, "PatientID", "Diagnosis", "Examined", "Time", "Weight", "Smoker", "BI-RADS", "Score"],
                [None, 12.0, "benign", datetime.date(2021, 3, 4), datetime.datetime(2021, 3, 4, 9, 30), 61.5, True, 3],
                [],
                [None, "007", "malignant", None, None, 0.1 + 0.2, False, "#N/A", "'=1+1"],
            ],
        },
    )
    assert read_table(path).to_dict("records") == [
        {
            "PatientID": "12",
            "Diagnosis": "benign",
            "Examined": "2021-03-04",
            "Time": "2021-03-04T09:30:00",
            "Weight": "61.5",
            "Smoker": "TRUE",
            "BI-RADS": "3",
            "Score": "",
        },
        {
            "PatientID": "007",
            "Diagnosis": "malignant",
            "Examined": "",
            "Time": "",
            "Weight": "0.3",
            "Smoker": "FALSE",
            "BI-RADS": "",
            "Score": "=1+1",
        },
    ]
    assert 'its sheet "Data" is read' in capsys.readouterr().out
    labels = read_labels(path)
    assert (labels.column("patient"), labels.column("label")) == (["12", "007"], ["benign", "malignant"])


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_excel_reads_as_pandas_does(rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("excel") / "labels.xlsx"
    pd.DataFrame(rows, columns=["file", "label"]).to_excel(path, index=False)
    theirs = pd.read_excel(path, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(read_table(path), theirs.astype(str), check_dtype=False)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("labels.xlsx", b"PK\x03\x04 cut off", "is damaged, or protected by a password"),
        ("labels.xlsx", b"\xd0\xcf\x11\xe0 with a password", "is damaged, or protected by a password"),
        ("labels.xls", b"\xd0\xcf\x11\xe0", "is a spreadsheet of another kind: save it as .xlsx"),
        ("labels.json", b"{", "is no JSON file, or is damaged"),
        ("labels.json", b'"a.png"', "does not list scans"),
        ("labels.json", b"[]", "does not list scans"),
        ("labels.json", b'["a.png"]', "does not list scans"),
        ("labels.json", b"[" * 100_000, "is no JSON file, or is damaged"),
    ],
)
def test_what_is_no_labels_file(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        read_table(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_empty_and_absent_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        read_table(excel(tmp_path / "labels.xlsx", {"one": [], "other": []}))
    with pytest.raises(InputError, match='"file" stands there twice'):
        read_table(excel(tmp_path / "labels.xlsx", {"one": [["file", "file"]]}))
    for name in LABEL_FILES:
        with pytest.raises(InputError, match="cannot be read"):
            read_table(tmp_path / "nowhere" / name)


BOTH = [{"file": "a.png", "label": "1"}, {"file": "b.png", "label": "x;y"}]


@pytest.mark.parametrize(
    "content",
    [
        [{"file": "a.png", "label": 1}, {"file": "b.png", "label": ["x", "y"]}],
        {"a.png": 1.0, "b.png": "x;y"},
        {"a.png": {"label": "1"}, "b.png": {"label": ["x", "y"]}},
        {"labels": {"a.png": "1", "b.png": "x;y"}, "version": 2},
        {"labels": [["a.png", 1], ["b.png", "x;y"]]},
        {"labels": [{"file": "a.png", "label": "1"}, {"file": "b.png", "label": "x;y"}]},
    ],
)
def test_json_in_its_shapes(tmp_path: Path, content: Any) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert read_table(tmp_path / "labels.json").to_dict("records") == BOTH


def test_json_values_become_cells(tmp_path: Path) -> None:
    records = [
        {"file": "a", "age": 40.0, "weight": 61.5, "sex": None, "smoker": False, "more": {"x": 1}},
        {"file": "b"},
    ]
    (tmp_path / "labels.json").write_text(json.dumps(records))
    first, second = read_table(tmp_path / "labels.json").to_dict("records")
    assert first == {"file": "a", "age": "40", "weight": "61.5", "sex": "", "smoker": "FALSE", "more": '{"x": 1}'}
    assert set(second.values()) == {"b", ""}


def test_participants_of_bids(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text("participant_id\tage\tgroup, at entry\n01\t34\tn/a\nsub-02\tn/a\tpatient\n")
    assert read_table(path).to_dict("records") == [
        {"participant_id": "sub-01", "age": "34", "group, at entry": ""},
        {"participant_id": "sub-02", "age": "", "group, at entry": "patient"},
    ]


def test_a_tsv_of_one_column_with_commas(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("file\na, b.png\n")
    assert read_table(tmp_path / "labels.tsv").file.tolist() == ["a, b.png"]


def test_the_first_labels_file_is_found_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_labels(tmp_path) is None
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "labels": {"background": 0}}')
    assert find_labels(tmp_path) is None, "another program's description of its data"
    (tmp_path / "dataset.json").write_text('{"training": [{"image": "a.png", "label": 0}]}')
    for name in reversed(LABEL_FILES):
        if name != "dataset.json":
            (tmp_path / name).touch()
        assert find_labels(tmp_path) == tmp_path / name
    assert "labels.csv is read for labels, labels.xlsx, labels.json, labels.tsv, part" in capsys.readouterr().out


def test_derivatives_of_bids_are_no_scans(tmp_path: Path) -> None:
    plain, bids = tmp_path / "plain", tmp_path / "bids"
    for root in (plain, bids):
        (root / "derivatives" / "fmriprep").mkdir(parents=True)
    (bids / "dataset_description.json").write_text("{}")
    assert not bids_ignores(plain, plain / "derivatives" / "a.nii.gz")
    assert bids_ignores(bids, bids / "derivatives" / "fmriprep" / "a.nii.gz")
    assert bids_ignores(bids, Path("code/a.png"))
    assert not bids_ignores(bids, bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    assert not bids_ignores(bids, bids)
