"""Folders of files become a manifest: what is a scan, whose it is, what it is labelled, and what is none and why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, get_args

import pandas as pd

from medtl.errors import InputError, ScanError
from medtl.progress import say, track
from medtl.scans.dicom_stacks import OnGap
from medtl.scans.duplicates import group_patients
from medtl.scans.file_lists import FileLists
from medtl.scans.index_cache import WHOLE, IndexCache
from medtl.scans.labels import (
    LABEL_FILES,
    PREFIXES,
    Labels,
    Named,
    bids_ignores,
    class_folders,
    find_labels,
    join_labels,
    label_of,
    read_labels,
    refuse_alike,
    uncertain_note,
    unmatched_table,
)
from medtl.scans.looks import SCREENSHOT, Look, check_pixels, look_at
from medtl.scans.manifest import COLUMNS, FACTS, Manifest, next_id
from medtl.scans.privacy import key, keyed_hash
from medtl.scans.series import stacks
from medtl.scans.splits import assign_splits
from medtl.scans.walk import Found, walk
from medtl.scans.work import in_parallel

GAPS = get_args(OnGap)


class Indexed(NamedTuple):
    """What indexing found.

    Attributes:
        manifest: one row a scan.
        unmatched: what matched nothing on either side of each labels file, as `unmatched_table` has it.
    """

    manifest: Manifest
    unmatched: list[dict[str, str]]


def index_folders(
    folders: str | Path | Sequence[str | Path],
    site: str | None = None,
    labels: str | Path | None = None,
    label_column: str | None = None,
    on_gap: OnGap = "error",
    keep_identifiers: bool = False,
    use_cache: bool = True,
) -> Manifest:
    """Look through folders and list what is there, one row a scan: the manifest of `look_through`."""
    return look_through(folders, site, labels, label_column, on_gap, keep_identifiers, use_cache).manifest


def look_through(
    folders: str | Path | Sequence[str | Path],
    site: str | None = None,
    labels: str | Path | None = None,
    label_column: str | None = None,
    on_gap: OnGap = "error",
    keep_identifiers: bool = False,
    use_cache: bool = True,
) -> Indexed:
    """Look through folders and list what is there, one row a scan.

    A picture (PNG, JPEG, TIFF, BMP, or DICOM of a modality whose files each are one: ultrasound, radiographs,
    mammograms ...) is one row; so is each volume of a NIfTI, NRRD, MetaImage or Analyze file, each picture of a
    MedMNIST array, and each stack of a DICOM series of CT, MR, PET or nuclear medicine: a series that holds several
    (echoes, time points, directions) becomes as many rows. Zip archives are looked into. What is no scan is "set
    aside", what cannot be read is "unreadable", both with the reason. Hidden files and unfinished ones (.part) are
    passed over. Each picture is decoded once, so that damage is found, and so is the same picture under two names;
    those count as one patient in the column `group`. Every usable scan gets a split, by patient.

    Args:
        folders: one or several; a single file will do. A file that lies in two of them is listed with the first.
        site: the hospital's name, for all; by default what the labels file says, else the folder's name.
        labels: a table (CSV, TSV, Excel), JSON, or a BIDS participants.tsv; by default the one that lies in the folder,
            else folders that look like classes. Its other columns are carried over.
        label_column: which column is the label, where it is not called so; several, joined by commas, of 0 and 1.
        on_gap: what to do with slices that are missing, doubled, uneven or tilted: "error" refuses the series,
            "resample" interpolates, "keep" takes them as they are.
        keep_identifiers: patient, study and series as they stand in the files, not hashed.
        use_cache: read again only what has changed since the last time.

    Returns:
        The manifest, in the order of folders and names, with the columns of `manifest.FACTS` added; and what the labels
        files matched.

    Raises:
        InputError: a folder is not there or holds no scans, or the labels file is wrong or matches nothing.
    """
    if on_gap not in GAPS:
        raise InputError(f"--on-gap {on_gap!r} is not known: give one of {', '.join(GAPS)}")
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    roots = list(dict.fromkeys(_absolute(folder) for folder in given))
    tables = _labels_of(roots, labels, keep_identifiers, label_column)
    seen: set[str] = set()
    looks = [
        look for root in roots for look in _look_into(root, tables[root], seen, on_gap, keep_identifiers, use_cache)
    ]
    ids = _scan_ids(looks)
    cells, unmatched = _cells_of_labels(looks, ids, tables, labels is not None, keep_identifiers)
    files = FileLists()
    for scan_id, look in zip(ids, looks, strict=True):
        if len(look.files) > 1:
            files[scan_id] = look.files
    frame = _frame(looks, ids, cells)
    del looks, ids, cells  # a tenth of a gigabyte, of 100,000 scans
    refuse_alike(frame.label)
    if site:
        frame["site"] = site
    if not keep_identifiers:  # what the labels file says of them; the headers' are hashed already
        for column, prefix in PREFIXES.items():
            frame[column] = [keyed_hash(cell, prefix) for cell in frame[column]]
    manifest = Manifest(frame, files)
    del frame
    manifest = group_patients(manifest, near=True)
    return Indexed(assign_splits(manifest), unmatched)


def _absolute(folder: str | Path) -> Path:
    """As the user named it: a linked folder keeps its name, which may be the site's."""
    return Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100


def _labels_of(
    roots: Sequence[Path], given: str | Path | None, keep_identifiers: bool, label_column: str | None
) -> dict[Path, Labels | None]:
    if given is not None:
        return dict.fromkeys(roots, read_labels(given, keep_identifiers, label_column))
    found = {root: find_labels(root) if root.is_dir() else None for root in roots}
    return {root: read_labels(file, keep_identifiers, label_column) if file else None for root, file in found.items()}


# --- files -> looks ------------------------------------------------------------------------------------------------


def _look_into(
    root: Path, labels: Labels | None, seen: set[str], on_gap: OnGap, keep_identifiers: bool, use_cache: bool
) -> list[Look]:
    """The scans of one folder, and what is none; `seen` are the files that an earlier one has, and grows.

    Raises:
        InputError: it is not there, or holds no scans.
    """
    if not root.exists():
        raise InputError(f"{root} is not there: check the folder's name")
    own = {str(labels.path.resolve())} if labels else set()
    bids = root.is_dir() and (root / "dataset_description.json").is_file()
    there = [found for found in track(walk(root), "Finding files") if not _is_labels(found.path, own)]
    if bids:
        there = [found for found in there if not bids_ignores(root, Path(found.path))]
    files = [found for found in there if found.path not in seen]
    if there and not files:
        return []
    seen.update(found.path for found in files)
    masks = {str(file) for file in labels.mask_files()} if labels else set()
    with IndexCache(root, keep_identifiers) if use_cache else nullcontext() as cache:
        everything = _digest([*(f"{file} {stamp}" for file, stamp in files), on_gap, *sorted(masks)])
        if cache and (known := cache.whole(everything, str(_base(root)))):
            return known
        looks, stamps = _looks_at(files, root, keep_identifiers, cache)
        looks = _without_screenshots([_set_aside_mask(look) if look.files[0] in masks else look for look in looks])
        if all(look.status == "set aside" for look in looks):
            raise InputError(_no_scans(root, looks))
        looks = _checked(stacks(looks, on_gap), stamps, cache)
        if cache:
            cache.put(WHOLE, everything, looks)
        return looks


def _base(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _is_labels(path: str, own: set[str]) -> bool:
    name = os.path.basename(path)  # noqa: PTH119 - a Path for each of a million files costs seconds
    return name in LABEL_FILES or (bool(own) and os.path.realpath(path) in own)


class _LookAt:
    """`look_at` under one folder, in a form that goes to another process."""

    def __init__(self, root: Path) -> None:
        self.root = str(_base(root))

    def __call__(self, file: str) -> list[Look]:
        return look_at(file, self.root)


def _looks_at(
    files: Sequence[Found], root: Path, keep_identifiers: bool, cache: IndexCache | None
) -> tuple[list[Look], dict[str, str]]:
    """What each file is, read where the cache does not know it; and the stamps of all files, those in archives too."""
    work = _LookAt(root)
    known = {found.path: cache.get(found.path, found.stamp, work.root) for found in files} if cache else {}
    fresh = [found.path for found in files if known.get(found.path) is None]
    new = iter(in_parallel(work, fresh, "Reading headers"))
    hide = _Hide(keep_identifiers)
    looks: list[Look] = []
    stamps: dict[str, str] = {}
    for path, stamp in files:
        mine = known.pop(path, None)
        if mine is None:
            mine = [hide(look) for look in next(new)]
            if cache:
                cache.put(path, stamp, mine)
        stamps.update((file, stamp) for look in mine for file in look.files)
        looks += mine
    next(new, None)  # so that the progress bar ends
    return looks, stamps


class _Hide:
    """Identifiers hashed, as far as the user does not want them kept; `content` and `whole` become 12 hex digits."""

    def __init__(self, keep_identifiers: bool) -> None:
        self._keep = keep_identifiers
        self._secret = key()
        self._named = lru_cache(maxsize=4096)(self._hash)

    def __call__(self, look: Look) -> Look:
        content, whole = self._hash(look.content, "", 12), self._named(look.series, "", 12)
        if self._keep:
            return replace(look, content=content, whole=whole)
        patient, study, series = (self._named(getattr(look, role), prefix, 8) for role, prefix in PREFIXES.items())
        return replace(look, content=content, whole=whole, patient=patient, study=study, series=series)

    def _hash(self, text: str, prefix: str, length: int) -> str:
        return keyed_hash(text, prefix, length, self._secret)


def _set_aside_mask(look: Look) -> Look:
    return replace(look, status="set aside", reason="a mask drawn over a scan, as the labels file says", planes=())


def _without_screenshots(looks: Sequence[Look]) -> list[Look]:
    """Secondary captures are set aside beside real scans; where there is nothing else, they are the scans."""
    scans = any(look.status == "ok" and look.reason != SCREENSHOT for look in looks)
    result = []
    for look in looks:
        if look.status == "ok" and look.reason == SCREENSHOT:
            look = replace(look, status="set aside") if scans else replace(look, reason="").noting(CAPTURED)
        result.append(look)
    return result


CAPTURED = "secondary capture: a picture of a screen or a converted one, its values may not be the scanner's"


def _checked(looks: Sequence[Look], stamps: Mapping[str, str], cache: IndexCache | None) -> list[Look]:
    """Each scan decoded once, where the cache does not know what came of it; of several volumes of a file, one."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, look in enumerate(looks):
        if look.status == "ok":
            volumes = look.volume and look.kind != "arrays"
            alike.setdefault((look.files, look.slices, look.spacing) if volumes else (number,), []).append(number)
    checked = list(looks)
    middle = {which: looks[of[len(of) // 2]] for which, of in alike.items()}
    keys = {which: f"{_stamp_of(look, stamps)} {len(alike[which])}" for which, look in middle.items()}
    known = {which: cache.get(key, "", "") for which, key in keys.items()} if cache else {}
    new = iter(in_parallel(check_pixels, [look for which, look in middle.items() if not known.get(which)], CHECKING))
    for which, of in alike.items():
        found = known.pop(which, None)
        if found:
            result = found[0]
        else:
            result = replace(next(new), files=(), root="")
            if cache:
                cache.put(keys[which], "", [result])
        for number in of:
            checked[number] = _with_result(looks[number], result, several=len(of) > 1)
    next(new, None)
    return checked


CHECKING = "Checking pixels"


def _with_result(look: Look, result: Look, several: bool) -> Look:
    mark = f"{result.fingerprint}-{look.volume}" if several and result.fingerprint else result.fingerprint
    return replace(
        look,
        status=result.status,
        reason=result.reason,
        modality=result.modality,
        size=result.size,
        spacing=result.spacing,
        fingerprint=mark,
        phash=result.phash,
    ).noting(*(note for note in result.notes.split("; ") if not note.startswith("volume ")))


def _stamp_of(look: Look, stamps: Mapping[str, str]) -> str:
    """What changes whenever a file of the scan does."""
    beside = _stamp_beside(look.files[0]) if look.kind == "volume" else ""
    return _digest([*(f"{file} {stamps[file]}" for file in look.files), look.volume, look.on_gap, beside])


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _stamp_beside(header: str) -> str:
    """That of the voxels, where they lie in a second file."""
    from medtl.scans.source import stamp
    from medtl.scans.volume import data_beside

    with suppress(ScanError):
        voxels = data_beside(header)
        return f"{voxels} {stamp(voxels)}" if voxels else ""
    return ""


def _no_scans(root: Path, looks: Sequence[Look]) -> str:
    wanted = "give a folder (or a file) of DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF"
    if not looks:
        return f"{root} holds no scans, it is empty: {wanted}"
    reasons = pd.Series([look.reason.partition(":")[0] for look in looks]).value_counts()
    first = ", ".join(f"{number} x {reason}" for reason, number in reasons.head(3).items())
    return f"{root} holds no scans, only other files ({first}): {wanted}"


# --- looks -> rows -------------------------------------------------------------------------------------------------


def _scan_ids(looks: Sequence[Look]) -> list[str]:
    """12 hex digits each, from the scan's content: they stay when the folder moves, and a copy has its own."""
    ids: list[str] = []
    taken: set[str] = set()
    for look in looks:
        scan_id = look.content
        while scan_id in taken:
            scan_id = next_id(scan_id)
        taken.add(scan_id)
        ids.append(scan_id)
    return ids


def _cells_of_labels(
    looks: Sequence[Look],
    ids: Sequence[str],
    tables: dict[Path, Labels | None],
    one_for_all: bool,
    keep_identifiers: bool,
) -> tuple[dict[int, dict[str, str]], list[dict[str, str]]]:
    """What the labels file, or the class folder, says of each scan: manifest columns and the user's own."""
    cells: dict[int, dict[str, str]] = {}
    unmatched: list[dict[str, str]] = []
    scans_of: dict[str, list[int]] = {}
    for number, look in enumerate(looks):
        if look.status != "set aside":
            scans_of.setdefault(look.root, []).append(number)
    everything = [number for numbers in scans_of.values() for number in numbers]
    for root, labels in tables.items():
        base = str(_base(root))
        mine = everything if one_for_all else [n for n in scans_of.get(base, []) if _below_root(looks[n], root)]
        scans = [_named(looks[number], ids[number]) for number in mine]
        if labels is None and (deeper := _deeper_labels(scans)):
            say(f"{deeper} is not read: give the folder that it lies in, or --labels, for its labels")
            continue
        if labels is None:
            for number, placed in zip(mine, class_folders(scans) or [], strict=False):
                cells[number] = {"label": label_of(placed.label), "split": placed.split, "site": placed.site}
                cells[number]["notes"] = uncertain_note(placed.label)
            continue
        joined = join_labels(labels, scans)
        unmatched += unmatched_table(labels, scans, joined, keep_identifiers)
        for number, row in zip(mine, joined.rows, strict=True):
            if row is not None:
                cells[number] = labels.cells(row)
        if one_for_all:
            break
    return cells, unmatched


def _below_root(look: Look, root: Path) -> bool:
    return root.is_dir() or look.files[0].startswith(str(root)) or root.name.upper() == "DICOMDIR"


def _named(look: Look, scan_id: str) -> Named:
    files = tuple(Path(file) for file in look.files)
    return Named(files, Path(look.root), look.patient, look.study, look.series, scan_id)


def _deeper_labels(scans: Sequence[Named]) -> Path | None:
    """A labels file in a folder on the way to a scan: then the folders are sites, say, and not classes."""
    folders = {parent for scan in scans for parent in scan.files[0].parents if scan.root in parent.parents}
    return next((found for folder in sorted(folders) if (found := find_labels(folder))), None)


def _frame(looks: Sequence[Look], ids: Sequence[str], cells: Mapping[int, Mapping[str, str]]) -> pd.DataFrame:
    """The rows as a table: the contract's columns, the facts, the user's own."""
    columns: dict[str, list[str]] = {name: [_CELL[name](look) for look in looks] for name in _CELL}
    columns["scan_id"] = list(ids)
    for number, mine in cells.items():
        for name, cell in mine.items():
            if name not in columns:
                columns[name] = [""] * len(looks)
            if name == "notes":
                cell = looks[number].noting(cell).notes
            if cell:
                columns[name][number] = cell
    own = [name for name in columns if name not in (*COLUMNS, *FACTS)]
    facts = [name for name in FACTS if name in columns]
    return pd.DataFrame({name: columns[name] for name in (*COLUMNS, *facts, *own)}, dtype=object)


_CELL: dict[str, Callable[[Look], str]] = {
    "scan_id": lambda look: "",
    "patient": lambda look: look.patient,
    "study": lambda look: look.study,
    "series": lambda look: look.series,
    "site": lambda look: os.path.basename(look.root),  # noqa: PTH119
    "path": lambda look: look.files[0].encode("utf-8", "replace").decode(),
    "label": lambda look: look.label,
    "split": lambda look: look.split,
    "status": lambda look: look.status,
    "reason": lambda look: look.reason,
    "modality": lambda look: look.modality,
    "manufacturer": lambda look: look.manufacturer,
    "size": lambda look: look.size,
    "spacing": lambda look: look.spacing,
    "n_files": lambda look: str(len(look.files)),
    "volume": lambda look: look.volume,
    "on_gap": lambda look: look.on_gap,
    "notes": lambda look: look.notes,
    "fingerprint": lambda look: look.fingerprint,
    "phash": lambda look: look.phash,
}
