"""Tables that a person opens, edits and saves, without losing a cell or running one in a spreadsheet."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medtl.errors import InputError

RUN_BY_SPREADSHEETS = "=+-@\t\r"  # OWASP, "CSV Injection"
RUNS = re.compile(f"'*[{re.escape(RUN_BY_SPREADSHEETS)}]")
SPECIAL = re.compile(r"""[\0,;\t"\r\n]""")
PART = 10_000  # rows
DELIMITERS = ",;\t"  # what spreadsheets of different countries save


def escape(cell: str) -> str:
    """A cell that a spreadsheet would run gets a leading apostrophe; so does one that looks escaped already."""
    return f"'{cell}" if RUNS.match(cell) else cell


def unescape(cell: str) -> str:
    """The cell that `escape` was given."""
    return cell[1:] if cell[:1] == "'" and RUNS.match(cell) else cell


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The text of a table, its cells escaped."""
    return "".join(",".join(_quoted(escape(cell)) for cell in row) + "\n" for row in itertools.chain([columns], rows))


def _quoted(cell: str) -> str:
    r"""csv.writer leaves a lone \r bare, and csv.reader then ends the row there; no reader takes a NUL."""
    if not SPECIAL.search(cell):
        return cell
    cell = cell.replace("\0", "")
    return '"' + cell.replace('"', '""') + '"'


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table: every cell a str as it was written, "" where it is empty; empty lines are left out.

    UTF-8, or else the Windows code page 1252 that Excel saves; separated by comma, semicolon or tab, whichever parts
    the first line most; a .tsv by tab.

    Raises:
        InputError: the file is not there, is not a table, or has a row longer than its header.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; check the name") from error
    if b"\0" in raw or raw[:2] == b"PK":
        raise InputError(f"{path} is not a CSV table: save it as CSV (UTF-8) and give that")
    encoding = "utf-8-sig"
    try:
        first = raw.decode(encoding).lstrip().partition("\n")[0]
    except UnicodeDecodeError:
        encoding = "cp1252"
        first = raw.decode(encoding, "replace").lstrip().partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=first.count)
    text = io.TextIOWrapper(io.BytesIO(raw), encoding, "replace", newline="")
    reader = csv.reader(text, delimiter=delimiter)
    lines = ((reader.line_num, line) for line in reader if any(line))
    try:
        return _table(path, lines, delimiter)
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV table ({error}): save it as CSV (UTF-8) and give that") from error


def _table(path: Path, lines: Iterator[tuple[int, list[str]]], delimiter: str) -> pd.DataFrame:
    """The table of the lines of a file, their numbers from 1; in parts, so that few cells at once are Python's."""
    _, top = next(lines, (0, []))
    if not top:
        raise InputError(f"{path} is empty: it needs a header line and a line for each scan")
    header = [unescape(name).strip() for name in top]
    while header and not header[-1]:  # a spreadsheet saves the columns that once had something
        header.pop()
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f'{path}: the column "{twice}" stands there twice; rename or remove one')
    parts: list[pd.DataFrame] = []
    while True:
        rows = []
        for number, line in itertools.islice(lines, PART):
            if any(line[len(header) :]):
                raise InputError(
                    f"{path}: line {number} has {len(line)} cells under a header of {len(header)}; put a cell that "
                    f'holds "{delimiter}" in quotes'
                )
            cells = [unescape(cell) for cell in line[: len(header)]]
            rows.append(cells + [""] * (len(header) - len(cells)))
        if parts and not rows:
            break
        parts.append(pd.DataFrame(rows, columns=header, dtype=object).astype(str))
        if len(rows) < PART:
            break
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: it is not there, or is no JSON.
    """
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; check the name") from error
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path} is no JSON file, or is damaged{where}: write it again") from error
