"""Nothing is lost between a table and a spreadsheet, and nothing in it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans.table import RUN_BY_SPREADSHEETS, escape, read_csv, to_csv, unescape

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NASTY = st.text(st.sampled_from("'=+-@\t\r\n\",;a "), max_size=6)


@given(TEXT | NASTY)
def test_an_escaped_cell_does_not_run_and_comes_back(cell: str) -> None:
    assert escape(cell)[:1] not in list(RUN_BY_SPREADSHEETS)
    assert unescape(escape(cell)) == cell


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(TEXT | NASTY, TEXT | NASTY), max_size=5))
def test_a_table_comes_back(rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_bytes(to_csv(["n", "one", "other"], [("row", *row) for row in rows]).encode())
    assert read_csv(path).to_numpy().tolist() == [["row", *row] for row in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_spreadsheets_of_other_countries_save(tmp_path: Path, encoding: str, delimiter: str, newline: str) -> None:
    lines = [["file", "site", ""], ["007.png", "Köln", ""], ["", "", ""], ["a.png", "", ""]]
    path = tmp_path / "labels.csv"
    path.write_bytes(newline.join(delimiter.join(line) for line in lines).encode(encoding))
    assert read_csv(path).to_dict("list") == {"file": ["007.png", "a.png"], "site": ["Köln", ""]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"PK\x03\x04 an .xlsx", "is not a CSV table"),
        (b"file,file\na,b\n", '"file" stands there twice'),
        (b"file,label\na,b,c\n", "line 2 has 3 cells under a header of 2"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        read_csv(path)
    assert str(path) in str(error.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read"):
        read_csv(tmp_path / "nowhere.csv")
