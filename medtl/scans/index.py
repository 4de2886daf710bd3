"""Folders of files become a manifest: what is a scan, whose it is, what it is labelled, and what is none and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medtl.errors import InputError
from medtl.progress import say, warn
from medtl.scans.dicom_stacks import OnGap
from medtl.scans.duplicates import group_patients
from medtl.scans.file_lists import FileLists
from medtl.scans.folder import base_of, no_scans, scans_of
from medtl.scans.labels import (
    PREFIXES,
    Labels,
    Named,
    bids_subject,
    class_folders,
    find_labels,
    join_labels,
    label_of,
    read_labels,
    refuse_alike,
    uncertain_note,
    unmatched_table,
)
from medtl.scans.looks import Look
from medtl.scans.manifest import COLUMNS, FACTS, Manifest, next_id
from medtl.scans.privacy import keyed_hash
from medtl.scans.read import ON_GAP
from medtl.scans.splits import assign_splits, check_leaks


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
    earlier: Manifest | None = None,
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
        label_column: which column is the label, where it is not called so; several, joined by commas, of 0 and 1;
            "folder": the folders are the classes.
        on_gap: what to do with slices that are missing, doubled, uneven or tilted: "error" refuses the series,
            "resample" interpolates, "keep" takes them as they are.
        keep_identifiers: patient, study and series as they stand in the files, not hashed.
        use_cache: read again only what has changed since the last time.
        earlier: the manifest of the same folder as it was; whoever is in it keeps the split.

    Returns:
        The manifest, in the order of folders and names, with the columns of `manifest.FACTS` added; and what the labels
        files matched.

    Raises:
        InputError: a folder is not there or holds no scans, the labels file is wrong or matches nothing, or the splits
            that it gives leak.
    """
    if on_gap not in ON_GAP:
        raise InputError(f"--on-gap {on_gap!r} is not known: give one of {', '.join(ON_GAP)}")
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    roots = list(dict.fromkeys(_absolute(folder) for folder in given))
    tables = _labels_of(roots, labels, keep_identifiers, label_column)
    seen: set[str] = set()
    looks: list[Look] = []
    empty = []
    for root in roots:
        before = len(seen)
        mine = scans_of(root, tables[root], seen, on_gap, keep_identifiers, use_cache)
        looks += mine
        if all(look.status == "set aside" for look in mine) and (len(seen) > before or not before):
            empty.append(no_scans(root, mine))
    if all(look.status == "set aside" for look in looks):
        raise InputError(empty[0])
    for sentence in empty:
        warn(sentence)
    ids = _scan_ids(looks)
    cells, unmatched = _cells_of_labels(looks, ids, tables, labels is not None, keep_identifiers, label_column)
    files = FileLists()
    for scan_id, look in zip(ids, looks, strict=True):
        if len(look.files) > 1:
            files[scan_id] = look.files
    columns = _columns(looks, ids, cells)
    del looks, ids, cells  # of 100,000 scans a tenth of a gigabyte
    frame = pd.DataFrame(columns, dtype="str")
    del columns
    refuse_alike(frame.label)
    if site:
        frame["site"] = site
    if not keep_identifiers:  # what the labels file says of them; the headers' are hashed already
        for column, prefix in PREFIXES.items():
            frame[column] = [keyed_hash(cell, prefix) for cell in frame[column]]
    manifest = Manifest(frame, files)
    del frame
    if earlier is not None:
        manifest = _as_earlier(group_patients(manifest), earlier)
    manifest = assign_splits(group_patients(manifest, near=True))
    check_leaks(manifest)
    return Indexed(manifest, unmatched)


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
    label_column: str | None,
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
        base = str(base_of(root))
        mine = everything if one_for_all else [n for n in scans_of.get(base, []) if _below_root(looks[n], root)]
        scans = [_named(looks[number], ids[number]) for number in mine]
        if labels is None and (deeper := _deeper_labels(scans)):
            say(f"{deeper} is not read: give the folder that it lies in, or --labels, for its labels")
            continue
        if labels is None:
            for number, placed in zip(mine, class_folders(scans, label_column) or [], strict=False):
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


def _as_earlier(manifest: Manifest, earlier: Manifest) -> Manifest:
    """Those who have a split already keep it, where all of one group's scans had the same."""
    frame = manifest.frame
    known = frame.scan_id.map(dict(zip(earlier.frame.scan_id, earlier.frame.split, strict=True))).fillna("")
    given = known.where((known != "") & (frame.status == "ok"))
    alike = given.groupby(frame.group).transform("nunique") == 1
    taken = (frame.split == "") & given.notna() & alike
    if taken.any():
        say(f"{int(taken.sum()):,} scans keep the split that they had")
    return Manifest(frame.assign(split=frame.split.where(~taken, given)), manifest.files)


def _of_headers(looks: Sequence[Look], patients: Sequence[str]) -> list[str]:
    """The headers' patients, to be kept together as well, where a labels file gives each scan another name.

    None where the headers have one name for all: an anonymiser's, which tells nobody apart.
    """
    known = {look.patient for look in looks if look.patient and look.status == "ok"}
    others = any(look.patient and look.patient != patient for look, patient in zip(looks, patients, strict=True))
    return [look.patient for look in looks] if others and len(known) > 1 else [""] * len(looks)


def _columns(looks: Sequence[Look], ids: Sequence[str], cells: Mapping[int, Mapping[str, str]]) -> dict[str, list[str]]:
    """The rows as columns: the contract's, the facts, the user's own."""
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
    columns["group"] = _of_headers(looks, columns["patient"])
    return {name: columns[name] for name in (*COLUMNS, "group", *facts, *own)}


_CELL: dict[str, Callable[[Look], str]] = {
    "scan_id": lambda look: "",
    "patient": lambda look: look.patient or bids_subject(look.files[0]),
    "study": lambda look: look.study,
    "series": lambda look: look.series,
    "site": lambda look: os.path.basename(look.root).encode("utf-8", "replace").decode(),  # noqa: PTH119
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
