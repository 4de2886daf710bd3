"""Which row of a labels file is which scan's: by a file's name, or by a patient, study or series."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from medtl.scans.places import relative_to
from medtl.scans.privacy import HASHED, keyed_hash

PREFIXES = {"patient": "P-", "study": "ST-", "series": "SE-"}
ENDINGS = {"png", "jpg", "jpeg", "jpe", "jp2", "j2k", "jpx", "tif", "tiff", "bmp", "gif", "webp", "pgm", "ppm", "svs"}
ENDINGS |= {"dcm", "dicom", "dic", "ima", "acr", "nii", "nrrd", "nhdr", "mha", "mhd", "hdr", "img", "raw", "mgz", "mnc"}
ENDINGS |= {"npy", "npz", "h5", "zip"}
SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")  # BIDS
DEEPEST = 8  # folders of a file's name that are compared, where it is not known from which folder on it is written
LONGEST_NUMBER = 12  # digits to which a patient's number is filled up with zeros, which a spreadsheet takes away

Ends = tuple[Callable[[str], str], Callable[[str], str]]


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


def rows_by_file(cells: Sequence[str], scans: Sequence[Named], beside: Path) -> list[tuple[int, ...]]:
    """Each scan's rows, in their order, by the names of its files, or of the folder of its series.

    A cell may be absolute, or relative to the labels file, to the indexed folder or to any folder above or below it,
    with or without its extension. The most of a name that fits decides; a name that two files of different scans
    share, or two cells, is nobody's; a row that a more exact name has found is not looked for by a shorter one. A
    series whose slices have rows of their own has all of them; its folder's row counts where they have none.

    Args:
        cells: the names in the labels file.
        scans: whose rows are wanted.
        beside: the folder of the labels file.
    """
    cells = [clean(cell) for cell in cells]
    bases = {part for cell in cells for part in (_base(cell), _stem(_base(cell)))}
    places = [Place(i, str(file)) for i, scan in enumerate(scans) for file in scan.files if _may_be(file.name, bases)]
    places += [Place(i, str(folder), True) for i, folder in _folders_of_series(scans) if _may_be(folder.name, bases)]
    found, meant = _search(cells, scans, places, beside, ENDS)
    left = [(i, folder) for i, folder in _folders_of_one(scans) if not found[i]]
    alone = [Place(i, str(folder), True) for i, folder in left if clean(folder.name) in bases]
    if alone:  # a name that means a file somewhere means no folder
        free = ["" if cell in meant else cell for cell in cells]
        more, _ = _search(free, scans, alone, beside, ENDS[:1])
        found = [mine or others for mine, others in zip(found, more, strict=True)]
    return [tuple(sorted(mine)) for mine in found]


class Place(NamedTuple):
    """A name that a labels file may know a scan by: the scan's number, a file or folder of it, and which of the two."""

    scan: int
    path: str
    is_folder: bool = False


def _search(
    cells: Sequence[str], scans: Sequence[Named], places: Sequence[Place], beside: Path, ends: Sequence[Ends]
) -> tuple[list[set[int]], set[str]]:
    """The rows of each scan, and the cells that fit a file at all, be it several scans'."""
    absolute = [[clean(place.path)] for place in places]
    relative = relative_to(beside)
    exact = [[*names, clean(relative(place.path))] for names, place in zip(absolute, places, strict=True)]
    roots = cache(lambda root: (f"{clean(str(root)).rstrip('/')}/", clean(root.name)))
    in_root = [_below(names[0], *roots(scans[place.scan].root)) for names, place in zip(absolute, places, strict=True)]
    deepest = min(max((cell.count("/") + 1 for cell in cells), default=0), DEEPEST)
    levels: list[list[tuple[list[list[str]], Callable[[str], str]]]] = [[(exact, str), (in_root, str)]]
    levels += [[(absolute, _tail(depth))] for depth in range(deepest, 0, -1)]
    found: list[set[int]] = [set() for _ in scans]
    meant: set[str] = set()
    rows_found: set[int] = set()
    for level in levels:
        open_to = {k for k, place in enumerate(places) if not found[place.scan]}
        if not open_to:
            break
        of_files: dict[int, set[int]] = defaultdict(set)
        of_folders: dict[int, set[int]] = defaultdict(set)
        for of_cell, of_place in ends:
            for names, part in level:
                rows = rows_of_one_name([part(cell) for cell in cells], of_cell, cells)
                rows = {key: row for key, row in rows.items() if row not in rows_found}
                if not rows or not open_to:
                    continue
                keys = [{key for name in mine if (key := of_place(part(name))) in rows} for mine in names]
                meant |= {cells[rows[key]] for mine in keys for key in mine}
                free = set(rows) - _shared(keys, places)
                new = {k: {rows[key] for key in keys[k] & free} for k in open_to if not free.isdisjoint(keys[k])}
                for k, mine in new.items():
                    (of_folders if places[k].is_folder else of_files)[places[k].scan] |= mine
                    rows_found |= mine
                open_to -= set(new)
        for i, mine in (of_folders | of_files).items():
            found[i] = mine
    return found, meant


def rows_by_id(cells: Sequence[str], scans: Sequence[Named], role: str) -> list[int | None]:
    """Each scan's row by its scan_id, or by its patient, study or series, in clear or hashed on either side.

    Where a scan does not know its own, or no scan's own fits, the names of the folders on the way to it are tried.
    """
    rows = rows_of_one_name(cells, clean)
    if role == "scan_id":
        return [rows.get(scan.scan_id) for scan in scans]
    own = {keyed_hash(name, PREFIXES[role], from_header=True): row for name, row in rows.items()}
    own |= {keyed_hash(name, PREFIXES[role]): row for name, row in rows.items()}
    found = [own.get(known) for known in _hashed(scans, role)]
    every = all(row is None for row in found)
    for i, scan in enumerate(scans):
        if found[i] is None and (every or not getattr(scan, role)):
            found[i] = next((rows[name] for name in _folders(scan) if name in rows), None)
    return found


def as_headers_have_them(cells: Sequence[str], scans: Sequence[Named], role: str) -> list[str]:
    """Names as the scans' headers have them, each for itself.

    A number gets the zeros that a spreadsheet took away, where it is one header's with them; a name that only looks
    like a hash (`P-20231234`), and is a header's in clear, is hashed.
    """
    prefix = PREFIXES[role]
    in_clear = {getattr(scan, role) for scan in scans} - {""}
    known = {*_hashed(scans, role)} - {""}
    if not known:
        return list(cells)

    @cache
    def written(cell: str) -> str:
        if not cell or cell in in_clear:
            return cell
        if HASHED.fullmatch(cell):
            hidden = keyed_hash(cell, prefix, from_header=True)
            return hidden if hidden in known and cell not in known else cell
        if not cell.isdecimal() or keyed_hash(cell, prefix) in known:
            return cell
        longer = {cell.zfill(digits) for digits in range(len(cell) + 1, LONGEST_NUMBER + 1)}
        fits = [name for name in longer if keyed_hash(name, prefix) in known]
        return fits[0] if len(fits) == 1 else cell

    return [written(cell) for cell in cells]


def with_zeros(cells: Sequence[str], scans: Sequence[Named]) -> list[str]:
    """Numbers filled up with zeros to the length at which most are the name of a folder on the way to a scan."""
    known = {name for scan in scans for name in _folders(scan)}
    numbers = {cell for cell in cells if cell.isdecimal()}
    digits = max(range(LONGEST_NUMBER + 1), key=lambda length: sum(name.zfill(length) in known for name in numbers))
    return [cell.zfill(digits) if cell.isdecimal() else cell for cell in cells]


def bids_subject(file: str | Path) -> str:
    """The subject that a file of a BIDS dataset is of, as its folder is called: "sub-02"; "" of any other file.

    The folder lies beside a `dataset_description.json`, or the file's own name begins with it, as BIDS has it
    (`sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz`). It is what a labels file's patient would be (`participants.tsv`), so
    that all sessions are one patient's where that has no row for them. To be hashed like any other patient.

    A caller writes `patient = look.patient or bids_subject(look.files[0])`.
    """
    path = Path(file)
    for folder in path.parents:
        if SUBJECT.fullmatch(folder.name) and (path.name.startswith(f"{folder.name}_") or is_bids(folder.parent)):
            return folder.name
    return ""


@lru_cache(maxsize=4096)
def is_bids(root: Path) -> bool:
    """Whether a folder is a BIDS dataset: it has a `dataset_description.json`."""
    return (root / "dataset_description.json").is_file()


def _hashed(scans: Sequence[Named], role: str) -> list[str]:
    """Each scan's patient, study or series, hashed; of a series' many volumes it is worked out once."""
    hashed = cache(lambda text: keyed_hash(text, PREFIXES[role]))
    return [hashed(getattr(scan, role)) for scan in scans]


def rows_of_one_name(
    cells: Sequence[str], shorten: Callable[[str], str], whole: Sequence[str] | None = None
) -> dict[str, int]:
    """The first row of each shortened name that is short for one name only; "" is none.

    Args:
        cells: what is shortened.
        shorten: how.
        whole: the names that they are of, where `cells` are parts of names.
    """
    short_for: dict[str, str | None] = {}
    rows: dict[str, int] = {}
    for row, (cell, name) in enumerate(zip(cells, cells if whole is None else whole, strict=True)):
        if key := shorten(cell):
            rows.setdefault(key, row)
            if short_for.setdefault(key, name) != name:
                short_for[key] = None
    return {key: row for key, row in rows.items() if short_for[key] is not None}


def below(file: Path, root: Path) -> str:
    """A file's name in its folder."""
    return file.relative_to(root).as_posix()


def clean(name: str) -> str:
    """A file's name with forward slashes, without a leading `./`, its accents as one letter each (NFC).

    A Mac writes "é" as two, an "e" and its accent.
    """
    name = name.strip().replace("\\", "/")
    name = name if name.isascii() else unicodedata.normalize("NFC", name)
    return re.sub(r"^(\./)+", "", name) if name.startswith("./") else name


def _shared(keys: Sequence[set[str]], places: Sequence[Place]) -> set[str]:
    """The keys of several files that are not all one scan's; the volumes of one file share its name rightly."""
    first: dict[str, Place] = {}
    shared: set[str] = set()
    for mine, place in zip(keys, places, strict=True):
        for key in mine:
            other = first.setdefault(key, place)
            if place.scan != other.scan and place.path != other.path:
                shared.add(key)
    return shared


def _folders(scan: Named) -> list[str]:
    """The folders on the way to a scan, its root's last."""
    return [clean(name) for name in (*scan.files[0].relative_to(scan.root).parts[:-1], scan.root.name)]


def _folders_of_series(scans: Sequence[Named]) -> Iterator[tuple[int, Path]]:
    """The scans of many files, by number, and the folder that all of them lie in."""
    for i, scan in enumerate(scans):
        folders = {file.parent for file in scan.files} if len(scan.files) > 1 else set()
        yield from ((i, folder) for folder in folders if len(folders) == 1)


def _folders_of_one(scans: Sequence[Named]) -> Iterator[tuple[int, Path]]:
    """The scans of one file, by number, and the folder in which no other lies."""
    inside: dict[Path, set[int]] = defaultdict(set)
    for i, scan in enumerate(scans):
        if scan.files[0] != scan.root:
            inside[scan.files[0].parent].add(i)
    for folder, mine in inside.items():
        if len({scans[i].files for i in mine}) == 1:
            yield from ((i, folder) for i in mine if len(scans[i].files) == 1)


def _may_be(name: str, bases: set[str]) -> bool:
    name = clean(name)
    return name in bases or _stem(name) in bases


def _below(name: str, root: str, called: str) -> list[str]:
    """A file's names relative to the indexed folder, which is `called` so, and to the one above it; none of itself."""
    if not name.startswith(root):
        return []
    return [name[len(root) :], f"{called}/{name[len(root) :]}"]


def _stem(name: str) -> str:
    """Without the ending that says what kind of scan it is; any other is part of the name (`P1.left`)."""
    name = name[:-3] if name[-3:].lower() == ".gz" else name
    bare, _, ending = name.rpartition(".")
    return bare if ending.lower() in ENDINGS and bare and not bare.endswith("/") else name


def _base(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _tail(depth: int) -> Callable[[str], str]:
    """The last `depth` parts of a name; "" of one that has fewer."""

    def tail(name: str) -> str:
        parts = name.rstrip("/").rsplit("/", depth)
        return "/".join(parts[-depth:]) if len(parts) >= depth else ""

    return tail


# how the ends of a cell and of a file's name are compared, the most exact first
ENDS: tuple[Ends, ...] = ((str, str), (str, _stem), (_stem, _stem))
