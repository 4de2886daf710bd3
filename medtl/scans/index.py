"""Folders of files become a manifest: what is a scan, whose it is, what it is labelled, and what is none and why."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import pandas as pd

from medtl.errors import InputError
from medtl.progress import say, track
from medtl.scans.duplicates import group_patients
from medtl.scans.labels import PREFIXES, Labels, Named, class_folders, join_labels, label_of, read_labels
from medtl.scans.looks import Look, check_pixels, look_at
from medtl.scans.manifest import COLUMNS, FACTS, Manifest, next_id
from medtl.scans.privacy import keyed_hash
from medtl.scans.splits import assign_splits

LABELS = "labels.csv"  # the labels file that is found by itself
TRIAL, PAYS = 0.5, 4.0  # seconds: after the first, is there more than the second left? Processes start in about 2


def index_folders(
    folders: str | Path | Sequence[str | Path],
    site: str | None = None,
    labels: str | Path | None = None,
    keep_identifiers: bool = False,
) -> Manifest:
    """Look through folders and list what is there, one row a scan.

    A picture (PNG, JPEG, or DICOM of a modality whose files each are one: ultrasound, radiographs, mammograms ...) is
    one row; so is a NIfTI volume; so is a DICOM series of CT, MR, PET or nuclear medicine, or each of its parts where
    it has several planes. What is no scan is "set aside", what cannot be read is "unreadable", both with the reason.
    Hidden files and unfinished ones (.part) are passed over. Each picture is decoded once, so that damage is found, and
    so is the same picture under two names; those count as one patient in the column `group`. Every usable scan gets a
    split, by patient.

    Args:
        folders: one or several; a single file will do.
        site: the hospital's name, for all; by default what the labels file says, else the folder's name.
        labels: CSV; by default FOLDER/labels.csv where there is one, else folders that look like classes. Its other
            columns are carried over.
        keep_identifiers: patient, study and series as they stand in the files, not hashed.

    Returns:
        The manifest, in the order of folders and names, with the columns of `manifest.FACTS` added.

    Raises:
        InputError: a folder is not there or holds no scans, or the labels file is wrong or matches nothing.
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    roots = list(dict.fromkeys(_absolute(folder) for folder in given))
    tables = _labels_of(roots, labels, keep_identifiers)
    looks = [look for root in roots for look in _look_through(root, tables[root])]
    ids = _scan_ids(looks)
    cells = _cells_of_labels(looks, ids, tables, labels is not None)
    looks = _in_parallel(check_pixels, looks, "Checking pixels")
    rows = [_row(look, scan_id, mine) for look, scan_id, mine in zip(looks, ids, cells, strict=True)]
    frame = _frame(rows)
    if site:
        frame["site"] = site
    if not keep_identifiers:
        for column, prefix in PREFIXES.items():
            frame[column] = [keyed_hash(cell, prefix) for cell in frame[column]]
    files = {scan_id: look.files for scan_id, look in zip(ids, looks, strict=True) if len(look.files) > 1}
    return assign_splits(group_patients(Manifest(frame, files), near=True))


def _absolute(folder: str | Path) -> Path:
    """As the user named it: a linked folder keeps its name, which may be the site's."""
    return Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100


def _labels_of(roots: Sequence[Path], given: str | Path | None, keep_identifiers: bool) -> dict[Path, Labels | None]:
    if given is not None:
        return dict.fromkeys(roots, read_labels(given, keep_identifiers))
    beside = {root: root / LABELS for root in roots}
    return {root: read_labels(file, keep_identifiers) if file.is_file() else None for root, file in beside.items()}


# --- files -> looks ------------------------------------------------------------------------------------------------


def _look_through(root: Path, labels: Labels | None) -> list[Look]:
    """The scans of one folder, and what is none.

    Raises:
        InputError: it is not there, or holds no scans.
    """
    if not root.exists():
        raise InputError(f"{root} is not there: check the folder's name")
    own = {labels.path.resolve()} if labels else set()
    files = [file for file in _walk(root) if file.name != LABELS and file.resolve() not in own]
    base = root if root.is_dir() else root.parent
    looks = _in_parallel(_LookAt(base), files, "Reading headers")
    masks = labels.mask_files() if labels else set()
    if masks:
        looks = [_set_aside_mask(look) if look.files[0] in masks else look for look in looks]
    if all(look.status == "set aside" for look in looks):
        raise InputError(_no_scans(root, looks))
    return _stacks(looks)


class _LookAt:
    """`look_at` under one folder, in a form that goes to another process."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, file: Path) -> Look:
        return look_at(file, self.root)


def _walk(root: Path) -> Iterator[Path]:
    """Every plain file under a folder, in the order of names; a linked folder is entered once."""
    if root.is_file():
        yield root
        return
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and not name.endswith(".part") and file.is_file():
                yield file


def _in_parallel(work: Callable[..., Look], items: Sequence[Path] | Sequence[Look], doing: str) -> list[Look]:
    """Do it for each file, or for each look that is "ok" so far; in order."""
    pending = [item for item in items if not isinstance(item, Look) or item.status == "ok"]
    results = iter(list(track(_results(work, pending), doing, total=len(pending))))
    return [item if isinstance(item, Look) and item.status != "ok" else next(results) for item in items]


def _results(work: Callable[..., Look], items: Sequence[Path | Look]) -> Iterator[Look]:
    """Here, until it is clear that starting processes on all cores pays."""
    done, start = 0, time.monotonic()
    for item in items:
        yield work(item)
        done += 1
        spent = time.monotonic() - start
        if spent > TRIAL and spent / done * (len(items) - done) > PAYS:
            break
    if done < len(items):
        parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")
        yield from parallel(joblib.delayed(work)(item) for item in items[done:])


def _set_aside_mask(look: Look) -> Look:
    return replace(look, status="set aside", reason="a mask drawn over a scan, as the labels file says")


def _stacks(looks: Sequence[Look]) -> list[Look]:
    """Slices of one volume become one scan, in slice order, where the first of them stood."""
    stacks: dict[str, list[Look]] = {}
    for look in looks:
        if look.stack:
            stacks.setdefault(look.stack, []).append(look)
    whole = []
    for look in looks:
        if not look.stack:
            whole.append(look)
        elif look.stack in stacks:
            # sent twice is one slice; some anonymisers give all slices one name, and those that lie elsewhere are none
            by_uid = {(each.content, each.instance, each.position): each for each in reversed(stacks.pop(look.stack))}
            slices = sorted(by_uid.values(), key=lambda each: (each.position or 0.0, each.instance, each.files))
            places = {each.position if each.position is not None else each.files for each in slices}
            files = tuple(each.files[0] for each in slices)
            uid = look.stack.partition("|")[0]
            whole.append(replace(slices[0], files=files, slices=len(places), content=uid))
    return whole


def _no_scans(root: Path, looks: Sequence[Look]) -> str:
    wanted = "give a folder (or a file) of DICOM, NIfTI, PNG or JPEG"
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
        scan_id = keyed_hash(look.content, length=12)
        while scan_id in taken:
            scan_id = next_id(scan_id)
        taken.add(scan_id)
        ids.append(scan_id)
    return ids


def _cells_of_labels(
    looks: Sequence[Look], ids: Sequence[str], tables: dict[Path, Labels | None], one_for_all: bool
) -> list[dict[str, str]]:
    """What the labels file, or the class folder, says of each scan: manifest columns and the user's own."""
    cells: list[dict[str, str]] = [{} for _ in looks]
    named = {
        i: Named(look.files, look.root, look.patient, look.study, look.series, ids[i])
        for i, look in enumerate(looks)
        if look.status != "set aside"
    }
    for root, labels in tables.items():
        base = root if root.is_dir() else root.parent
        mine = [
            i for i in named if one_for_all or (named[i].root == base and (root.is_dir() or looks[i].files[0] == root))
        ]
        scans = [named[i] for i in mine]
        if labels is None and (deeper := _deeper_labels(scans)):
            say(f"{deeper} is not read: give the folder that it lies in, or --labels, for its labels")
            continue
        if labels is None:
            for i, placed in zip(mine, class_folders(scans) or [], strict=False):
                cells[i] = {"label": label_of(placed.label), "split": placed.split}
                cells[i] |= {"site": placed.site} if placed.site else {}
            continue
        for i, row in zip(mine, join_labels(labels, scans).rows, strict=True):
            if row is not None:
                cells[i] = labels.cells(row)
        if one_for_all:
            break
    return cells


def _deeper_labels(scans: Sequence[Named]) -> Path | None:
    """A labels file in a folder on the way to a scan: then the folders are sites, say, and not classes."""
    folders = {parent for scan in scans for parent in scan.files[0].parents if scan.root in parent.parents}
    return next((folder / LABELS for folder in sorted(folders) if (folder / LABELS).is_file()), None)


def _row(look: Look, scan_id: str, cells: dict[str, str]) -> dict[str, str]:
    row = {
        "scan_id": scan_id,
        "patient": look.patient,
        "study": look.study,
        "series": look.series,
        "site": look.root.name,
        "path": str(look.files[0]).encode("utf-8", "replace").decode(),
        "status": look.status,
        "reason": look.reason,
        "modality": look.modality,
        "manufacturer": look.manufacturer,
    }
    row |= {name: cell for name, cell in cells.items() if cell or name not in row}
    return row | {
        "size": look.size,
        "n_files": str(len(look.files)),
        "fingerprint": look.fingerprint,
        "phash": look.phash,
    }


def _frame(rows: Sequence[dict[str, str]]) -> pd.DataFrame:
    """The rows as a table: the contract's columns, the facts, the user's own."""
    others = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in (*COLUMNS, *FACTS)]
    facts = [name for name in FACTS if name != "group" or any("group" in row for row in rows)]
    return pd.DataFrame(
        [[row.get(name, "") for name in (*COLUMNS, *facts, *others)] for row in rows],
        columns=[*COLUMNS, *facts, *others],
    )
