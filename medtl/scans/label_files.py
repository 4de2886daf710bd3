"""Tables of labels in whatever file they come: CSV, TSV, Excel, JSON, a BIDS participants.tsv, a MONAI datalist."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medtl.errors import InputError
from medtl.progress import say
from medtl.scans.datalist import datalist_records, is_datalist
from medtl.scans.joining import is_bids
from medtl.scans.roles import NAMES, has_role
from medtl.scans.table import read_csv, read_json, unescape
from medtl.scans.wilds import CAMELYON17, as_labels, is_camelyon17

LABEL_FILES = ("labels.csv", "labels.xlsx", "labels.json", "labels.tsv", "participants.tsv", "dataset.json")
BIDS_ASIDE = {"derivatives", "code", "sourcedata", "phenotype", "stimuli"}
HEADER_ROWS = 20  # a sheet's title, date and the like stand above its header; more rows than these they do not take
WRONG_KIND = "save it as .xlsx or as CSV (UTF-8) and give that"


def find_labels(root: Path) -> Path | None:
    """The labels file of a folder: the first of `LABEL_FILES` that it holds; others there are said and not read.

    The last is the metadata.csv of Camelyon17-WILDS, where it is that.
    """
    there = [root / name for name in LABEL_FILES if (root / name).is_file()]
    there = [path for path in there if path.name != "dataset.json" or _lists_scans(path)]
    there += [root / CAMELYON17] if is_camelyon17(root / CAMELYON17) else []
    if len(there) > 1:
        say(f"{there[0].name} is read for labels, {', '.join(path.name for path in there[1:])} is not")
    return there[0] if there else None


def bids_ignores(root: Path, path: Path) -> bool:
    """Whether a file below `root` is no scan because it lies in derivatives/, code/ or sourcedata/ of a BIDS dataset.

    Args:
        root: the indexed folder; a BIDS dataset has its `dataset_description.json` there.
        path: a file or a folder below `root`, absolute or relative to it.
    """
    if not is_bids(root):
        return False
    parts = (path.relative_to(root) if path.is_absolute() else path).parts
    return bool(parts) and parts[0] in BIDS_ASIDE


def read_table(path: Path) -> pd.DataFrame:
    """Read a labels file of any kind as a table of str, "" where a cell is empty.

    Numbers that are whole come without their ".0", dates as ISO 8601.

    Raises:
        InputError: it is not there, is of another kind, is damaged, or holds no table.
    """
    kind = path.suffix.lower()
    if kind in (".xlsx", ".xlsm"):
        return _read_excel(path)
    if kind == ".json":
        return _read_json(path)
    if kind in (".xls", ".xlsb", ".ods", ".numbers"):
        raise InputError(f"{path} is a spreadsheet of another kind: {WRONG_KIND}")
    frame = as_labels(read_csv(path)) if is_camelyon17(path) else read_csv(path)
    return _of_participants(frame) if path.name == "participants.tsv" else frame


def _of_participants(frame: pd.DataFrame) -> pd.DataFrame:
    """BIDS: "n/a" is empty, and a participant is `sub-XX` as the folder is."""
    frame = frame.replace({"n/a": ""})
    if "participant_id" in frame:
        names = frame.participant_id.str.strip()
        frame["participant_id"] = names.where(names.str.startswith("sub-") | (names == ""), "sub-" + names)
    return frame


# --- Excel ---------------------------------------------------------------------------------------------------------


def _read_excel(path: Path) -> pd.DataFrame:
    """The first sheet with a header that names scans; else the first with anything in it."""
    from openpyxl import load_workbook

    if not path.is_file():
        raise InputError(f"{path} cannot be read: no such file; check the name")
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        sheets = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # some programs write wrong ones
            sheets.append((sheet.title, _filled_rows(sheet.iter_rows(values_only=True))))
        book.close()
    except Exception as error:  # of zipfile, of the XML parser and of openpyxl itself
        raise InputError(f"{path} is damaged, or protected by a password: {WRONG_KIND}") from error
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        raise InputError(f"{path} is empty: it needs a header and a row for each scan")
    for title, rows in filled:
        for number, row in enumerate(rows[:HEADER_ROWS]):
            if any(has_role(name, NAMES) for name in row) and sum(map(bool, row)) > 1:
                if len(filled) > 1:
                    say(f'{path.name}: its sheet "{title}" is read')
                return _with_header(path, rows[number:])
    return _with_header(path, filled[0][1])


def _filled_rows(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """The rows that hold something, up to their last such cell: a sheet may be a million formatted rows long."""
    texts = ([_text(cell) for cell in row] for row in rows if any(cell is not None for cell in row))
    return [row[: max(i for i, cell in enumerate(row) if cell) + 1] for row in texts if any(row)]


def _text(cell: Any) -> str:
    """A cell of Excel as it would be written in a CSV."""
    if cell is None or (isinstance(cell, str) and cell in ("#N/A", "#NULL!", "#VALUE!", "#REF!", "#DIV/0!", "#NAME?")):
        return ""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"  # as Excel shows it
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return unescape(str(cell))


def _with_header(path: Path, rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    columns = {i: name.strip() for i, name in enumerate(rows[0]) if name.strip()}
    names = list(columns.values())
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f'{path}: the column "{twice}" stands there twice; rename or remove one')
    cells = [[row[i] if i < len(row) else "" for i in columns] for row in rows[1:]]
    return pd.DataFrame(cells, columns=names, dtype=object).astype(str)


# --- JSON ----------------------------------------------------------------------------------------------------------


def _lists_scans(path: Path) -> bool:
    """Whether a dataset.json is a datalist; other programs call what describes their data so too."""
    try:
        return is_datalist(read_json(path))
    except InputError:
        return False


def _read_json(path: Path) -> pd.DataFrame:
    """A datalist; or a list of records, `{file: label}`, `{file: record}`, `[[file, label]]`, also under "labels"."""
    content = read_json(path)
    if is_datalist(content):
        return frame_of(datalist_records(content))
    if isinstance(content, dict) and isinstance(content.get("labels"), dict | list):
        content = content["labels"]
    if isinstance(content, dict):
        pairs = content.items()
        content = [{"file": name} | (cell if isinstance(cell, dict) else {"label": cell}) for name, cell in pairs]
    elif isinstance(content, list):
        content = [{"file": r[0], "label": r[1]} if isinstance(r, list) and len(r) == 2 else r for r in content]
    if not isinstance(content, list) or not content or not all(isinstance(record, dict) for record in content):
        raise InputError(
            f'{path} does not list scans: write {{"a.png": "benign", ...}} or [{{"file": "a.png", "label": "benign"}}]'
        )
    return frame_of(content)


def frame_of(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Records of JSON as a table of str, its columns in the order in which they are first met."""
    records = list(records)
    columns = list(dict.fromkeys(str(name) for record in records for name in record))
    return pd.DataFrame(
        [[json_text(record.get(name)) for name in columns] for record in records], columns=columns, dtype=object
    ).astype(str)


def json_text(value: Any) -> str:
    """A value of JSON as a cell; a list is joined by ";", as labels are."""
    if isinstance(value, list):
        return ";".join(json_text(each) for each in value)
    if isinstance(value, dict):
        return json.dumps(value)
    return _text(value)
