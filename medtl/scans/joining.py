"""Which row of a labels file is which scan's: by a file's name, or by a patient, study or series."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from medtl.scans.privacy import keyed_hash

PREFIXES = {"patient": "P-", "study": "ST-", "series": "SE-"}
ENDING = re.compile(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{0,4}$")
DEEPEST = 8  # folders of a file's name that are compared, where it is not known from which folder on it is written
LONGEST_NUMBER = 12  # digits to which a patient's number is filled up with zeros, which a spreadsheet takes away


@dataclass(frozen=True)
class Named:
    """One scan by all the names that a labels file may know it by.

    Attributes:
        files: absolute; one in a zip archive goes on behind the archive's name.
        root: the indexed folder that they lie in.
        patient: PatientID, hashed (`P-` and eight digits) or in clear; likewise `study` and `series`. "" where the file
            does not know.
        scan_id: as in the manifest.
    """

    files: tuple[Path, ...]
    root: Path
    patient: str = ""
    study: str = ""
    series: str = ""
    scan_id: str = ""


@dataclass(frozen=True)
class Joined:
    """Which rows of a labels file are whose.

    Attributes:
        rows: for each scan its row's number, from 0, or None.
        by: what they were joined by: file, scan_id, series, study or patient.
        nameless_rows: the rows whose name fits no scan.
    """

    rows: list[int | None]
    by: str
    nameless_rows: tuple[int, ...] = ()


def rows_by_file(cells: Sequence[str], scans: Sequence[Named], beside: Path) -> list[int | None]:
    """Each scan's row by the name of any of its files, or of the folder of its series.

    A cell may be absolute, or relative to the labels file, to the indexed folder or to any folder above or below it,
    with or without its extension. The most of a name that fits decides; a part of a name that two scans share, or two
    cells, is nobody's.

    Args:
        cells: the names in the labels file.
        scans: whose rows are wanted.
        beside: the folder of the labels file.
    """
    cells = [clean(cell) for cell in cells]
    bases = {_stem(_base(cell)) for cell in cells}
    files = [_files_meant(scan, bases) for scan in scans]
    names = [
        [name for file in mine for name in _names(file, scan.root, beside)]
        for mine, scan in zip(files, scans, strict=True)
    ]
    whole = [[file.as_posix() for file in mine] for mine in files]
    deepest = max((cell.count("/") + 1 for cell in cells), default=0)
    ways: list[tuple[Callable[[str], str], bool]] = [(str, False), (_stem, False)]
    ways += [(way, True) for depth in range(min(deepest, DEEPEST), 0, -1) for way in (_tail(depth), _tail_stem(depth))]
    found: list[int | None] = [None] * len(scans)
    for shorten, partial in ways:
        open_scans = [i for i, mine in enumerate(files) if mine and found[i] is None]
        if not open_scans:
            break
        rows = rows_of_one_name(cells, shorten)
        of_scans = whole if partial else names
        keys = {i: {key for name in of_scans[i] if (key := shorten(name)) in rows} for i in open_scans}
        holders: Counter[str] = Counter()
        if partial:
            wanted = {key for mine in keys.values() for key in mine}
            holders.update(key for mine in whole for key in {shorten(name) for name in mine} if key in wanted)
        for i, mine in keys.items():
            found[i] = min((rows[key] for key in mine if holders[key] <= 1), default=None)
    return found


def rows_by_id(cells: Sequence[str], scans: Sequence[Named], role: str) -> list[int | None]:
    """Each scan's row by its scan_id, or by its patient, study or series, in clear or hashed on either side.

    Where a scan does not know its own, or no scan's own fits, the names of the folders on the way to it are tried.
    """
    rows = rows_of_one_name(cells, str.strip)
    if role == "scan_id":
        return [rows.get(scan.scan_id) for scan in scans]
    own = {keyed_hash(name, PREFIXES[role]): row for name, row in rows.items()}
    found = [own.get(known) for known in _hashed(scans, role)]
    every = all(row is None for row in found)
    for i, scan in enumerate(scans):
        if found[i] is None and (every or not getattr(scan, role)):
            found[i] = next((rows[name] for name in _folders(scan) if name in rows), None)
    return found


def with_zeros(cells: Sequence[str], scans: Sequence[Named], role: str) -> list[str]:
    """Numbers filled up with zeros to the length at which most of them are a scan's: a spreadsheet takes them away."""
    known = {*_hashed(scans, role), *(name for scan in scans for name in _folders(scan))}
    numbers = {cell for cell in cells if cell.isdecimal()}

    def fits(digits: int) -> int:
        filled = (number.zfill(digits) for number in numbers)
        return sum(name in known or keyed_hash(name, PREFIXES[role]) in known for name in filled)

    digits = max(range(LONGEST_NUMBER + 1), key=fits)
    return [cell.zfill(digits) if cell.isdecimal() else cell for cell in cells]


def _hashed(scans: Sequence[Named], role: str) -> list[str]:
    """Each scan's patient, study or series, hashed; of a series' many volumes it is worked out once."""
    hashed = lru_cache(None)(lambda text: keyed_hash(text, PREFIXES[role]))
    return [hashed(getattr(scan, role)) for scan in scans]


def rows_of_one_name(cells: Sequence[str], shorten: Callable[[str], str]) -> dict[str, int]:
    """The first row of each shortened name that is short for one name only; "" is none."""
    short_for: dict[str, str | None] = {}
    rows: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if key := shorten(cell):
            rows.setdefault(key, row)
            if short_for.setdefault(key, cell) != cell:
                short_for[key] = None
    return {key: row for key, row in rows.items() if short_for[key] is not None}


def below(file: Path, root: Path) -> str:
    """A file's name in its folder."""
    return file.relative_to(root).as_posix()


def clean(name: str) -> str:
    """A file's name with forward slashes, and without a leading `./`."""
    return re.sub(r"^(\./)+", "", name.strip().replace("\\", "/"))


def _folders(scan: Named) -> list[str]:
    """The folders on the way to a scan, its root's last."""
    return [*scan.files[0].relative_to(scan.root).parts[:-1], scan.root.name]


def _files_meant(scan: Named, bases: set[str]) -> list[Path]:
    """Those files of a scan, and the folder of all of them, that the labels file may mean."""
    files = [file for file in scan.files if _stem(file.name) in bases]
    if len(scan.files) > 1:
        folders = {file.parent for file in scan.files}
        files += [folder for folder in folders if len(folders) == 1 and _stem(folder.name) in bases]
    return files


def _names(file: Path, root: Path, beside: Path) -> list[str]:
    """A file's names: absolute, and relative to the labels file, to the indexed folder and to the one above it."""
    names = [file.as_posix(), Path(os.path.relpath(file, beside)).as_posix()]
    return names if file == root else [*names, below(file, root), f"{root.name}/{below(file, root)}"]


def _stem(name: str) -> str:
    """Without the extension; an ending with a space or of more than five letters is part of the name."""
    return ENDING.sub("", name.removesuffix(".gz"))


def _base(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _tail(depth: int) -> Callable[[str], str]:
    """The last `depth` parts of a name; "" of one that has fewer."""

    def tail(name: str) -> str:
        parts = name.rstrip("/").rsplit("/", depth)
        return "/".join(parts[-depth:]) if len(parts) >= depth else ""

    return tail


def _tail_stem(depth: int) -> Callable[[str], str]:
    tail = _tail(depth)
    return lambda name: _stem(tail(name))
