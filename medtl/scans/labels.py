"""What a labels file, or the folders' own names, say about scans."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from medtl.errors import InputError
from medtl.progress import say
from medtl.scans.class_folders import FOLDER, class_folders
from medtl.scans.joining import (
    PREFIXES,
    Joined,
    Named,
    as_headers_have_them,
    below,
    bids_subject,
    clean,
    rows_by_file,
    rows_by_id,
    with_zeros,
)
from medtl.scans.label_files import LABEL_FILES, bids_ignores, find_labels, read_table
from medtl.scans.label_words import (
    label_of,
    marked,
    of_several_columns,
    refuse_alike,
    split_of,
    uncertain_note,
    uncertain_word,
)
from medtl.scans.manifest import COLUMNS, FACTS
from medtl.scans.privacy import hide_look_alikes, keyed_hash
from medtl.scans.roles import NAMES, is_personal, plain, role_of_more, roles_of

__all__ = [
    "LABEL_FILES",
    "PREFIXES",
    "Joined",
    "Labels",
    "Named",
    "bids_ignores",
    "bids_subject",
    "class_folders",
    "find_labels",
    "join_labels",
    "label_of",
    "read_labels",
    "refuse_alike",
    "split_of",
    "uncertain_note",
    "unmatched_table",
]

FAIR_SHARE = 0.5  # a more exact name is taken when it fits at least this part of what the best one fits
OURS = {*FACTS} - {"modality", "manufacturer"}  # what is measured here; a user's column of the name is another thing


@dataclass(frozen=True)
class Labels:
    """A labels file.

    Attributes:
        path: the file.
        frame: its cells, all str.
        roles: a role of `roles.ROLES` -> the column that has it.
        extra: the columns that have none and are carried over.
    """

    path: Path
    frame: pd.DataFrame
    roles: dict[str, str]
    extra: tuple[str, ...]

    def column(self, role: str) -> list[str]:
        """The cells of a role; "" where no column has it."""
        if role not in self.roles:
            return [""] * len(self.frame)
        return self.frame[self.roles[role]].str.strip().tolist()

    def cells(self, row: int) -> dict[str, str]:
        """What a row says, by the manifest's columns and the user's own; `notes` where its label is uncertain."""
        cells = {name: column[row] for name, column in self._columns.items()}
        cells["notes"] = uncertain_note(cells["label"])
        cells["label"] = label_of(cells["label"])
        cells["split"] = split_of(cells["split"], self.path)
        return cells if cells["notes"] else {name: cell for name, cell in cells.items() if name != "notes"}

    @cached_property
    def _columns(self) -> dict[str, list[str]]:
        columns = {name: self.frame[name].tolist() for name in self.extra if name not in COLUMNS}
        said = [role for role in ("patient", "study", "series", "site") if role in self.roles]
        return columns | {role: self.column(role) for role in (*said, "label", "split")}

    def mask_files(self) -> set[Path]:
        """The files named in columns like `lesion_mask`: drawings over scans, not scans."""
        columns = [name for name in self.extra if "mask" in name.lower()]
        cells = {cell for name in columns for cell in self.frame[name] if cell}
        return {Path(os.path.normpath(self.path.parent.resolve() / cell)) for cell in cells}


def read_labels(path: str | Path, keep_identifiers: bool = False, label_column: str | None = None) -> Labels:
    """Read a labels file: a table with a column that names scans (file, series, study or patient) and, mostly, a label.

    It may be CSV, TSV, Excel (.xlsx), JSON, a `participants.tsv` of BIDS or a MONAI datalist. Columns with a person's
    name, birth date or the like are left out, and a second one of patients, studies or series is hashed, unless
    `keep_identifiers`. A column that has the name of one that indexing
    fills (`size`, `volume`, `notes` ...) is carried over as `size_in_labels`.

    Args:
        path: the file.
        keep_identifiers: keep the columns with names and the like, and no column is hashed.
        label_column: the column that has the label, where it is not called `label`, `class` or `diagnosis`; or several,
            separated by commas, of 0 and 1: a scan then has the label of each that is 1.

    Raises:
        InputError: no column names scans, `label` is misspelt, a split is none, labels differ in case only.
    """
    path = Path(path)
    frame = read_table(path)
    if {"scan_id", "status"} <= set(frame):  # a manifest: what it knows of the files is looked at anew
        frame = frame.drop(columns=[name for name in (*FACTS, "status", "reason") if name in frame])
    roles = roles_of(frame.columns)
    if label_column:
        frame, roles = _choose_label(frame, roles, label_column, path)
    rest = [column for column in frame.columns if column not in roles.values()]
    for role in ("label", "file", "patient"):
        alike = [column for column in rest if abs(len(column) - len(role)) <= 1]
        near = difflib.get_close_matches(role, alike, n=1, cutoff=0.75)
        if role not in roles and near:
            raise InputError(f'{path}: the column "{near[0]}" looks like "{role}" misspelt; rename it')
    if not any(role in roles for role in NAMES):
        raise InputError(
            f"{path} does not say which scans it is about: it needs a column named file, series, study or patient, and "
            f"has {', '.join(frame.columns)}"
        )
    personal = [] if keep_identifiers else [column for column in rest if is_personal(column)]
    if personal:
        say(f"{path.name}: left out {', '.join(personal)} (--keep-identifiers keeps them)")
    extra = [column for column in rest if column not in personal]
    if not keep_identifiers:
        frame = _hidden(frame, roles, extra, path)
    renamed = {name: f"{name}_in_labels" for name in extra if name in OURS}
    frame = frame.rename(columns=renamed)
    extra = [renamed.get(name, name) for name in extra]
    if "label" not in roles:
        choice = f"; choose one with --label-column, of {', '.join(extra)}" if extra else ""
        say(f'{path.name} has no column "label": the scans stay unlabelled{choice}')
    labels = Labels(path, frame, roles, tuple(extra))
    _check_labels(labels)
    return labels


def _hidden(frame: pd.DataFrame, roles: dict[str, str], extra: list[str], path: Path) -> pd.DataFrame:
    """The table with every further column of patients, studies and series hashed, beside those that are joined by."""
    more = {column: PREFIXES[role] for column in extra if (role := role_of_more(column))}
    hidden = {column: [keyed_hash(cell.strip(), prefix) for cell in frame[column]] for column, prefix in more.items()}
    if more:
        say(f"{path.name}: hashed {', '.join(more)} (--keep-identifiers keeps them)")
    for role, prefix in PREFIXES.items():
        if role in roles:
            hidden[roles[role]] = hide_look_alikes(frame[roles[role]].str.strip().tolist(), prefix)
    return frame.assign(**hidden)


def _choose_label(
    frame: pd.DataFrame, roles: dict[str, str], wanted: str, path: Path
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table with its label in the column, or of the columns, that the user names."""
    names = [wanted] if wanted in frame else [name.strip() for name in wanted.split(",") if name.strip()]
    columns: list[str] = []
    there = [str(column) for column in frame.columns]
    for name in names:
        fits = [column for column in there if column == name] or [c for c in there if plain(c) == plain(name)]
        if not fits:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(there)}"
            if name == FOLDER:
                hint = f"folders' names are labels only where no labels file is: move it out of there, or {hint}"
            raise InputError(f'{path} has no column "{name}" for --label-column; {hint}')
        columns.append(fits[0])
    taken = {roles[role]: role for role in NAMES if role in roles}
    for column in columns:
        if column in taken:
            raise InputError(f'{path}: the column "{column}" names the {taken[column]}, it is no label')
    if len(columns) == 1:
        kept = {role: column for role, column in roles.items() if column != columns[0]}
        return frame, kept | {"label": columns[0]}
    try:
        cells = of_several_columns(columns, [frame[column].tolist() for column in columns])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return frame.assign(label=cells), roles | {"label": "label"}


def _check_labels(labels: Labels) -> None:
    """Mark what is uncertain and say how many, and refuse what cannot be right."""
    if "label" in labels.roles:
        cells = marked(labels.column("label"))
        labels.frame[labels.roles["label"]] = cells
        try:
            refuse_alike(map(label_of, set(cells)))
        except InputError as error:
            raise InputError(f"{labels.path}: {error}") from None
        uncertain = Counter(word for word in map(uncertain_word, cells) if word)
        if uncertain:
            words = ", ".join(f"{word} {number:,}" for word, number in uncertain.most_common())
            say(f"{labels.path.name}: {uncertain.total():,} uncertain labels ({words}): those scans stay unlabelled")
    for word in set(labels.column("split")):
        split_of(word, labels.path)


def join_labels(labels: Labels, scans: Sequence[Named]) -> Joined:
    """Find each scan's row of the labels file, and say by what it was found.

    A `file` may be relative to the labels file, to the indexed folder or one above or below it, with or without its
    extension, where no two scans share so much of a name; a series is found by any of its files or by their folder.
    Patient, study and series are those of the DICOM header, or of a folder on the way to a scan, in clear or hashed as
    in a manifest.

    Raises:
        InputError: nothing matches, or what matches has two labels.
    """
    _as_headers_have_them(labels, scans)
    found = _rows_by_each_name(labels, scans)
    if not _any(found) and _fill_up(labels, scans):
        found = _rows_by_each_name(labels, scans)
    fits = {role: sum(map(bool, rows)) for role, rows in found.items()}
    best = max(fits.values(), default=0)
    if best == 0:
        raise InputError(_nothing_matches(labels, scans))
    role = next(role for role in found if fits[role] >= FAIR_SHARE * best)
    keys = [clean(key) for key in labels.column(role)]
    named = {keys[row] for rows in found[role] for row in rows}
    _refuse_two_labels(labels, role, named)
    _refuse_slices_that_differ(labels, found[role])
    nameless = tuple(row for row, key in enumerate(keys) if key not in named)
    parts = [f"{labels.path.name}: joined by {role}, {fits[role]:,} of {len(scans):,} scans have a row"]
    if missed := len({keys[row] for row in nameless} - {""}):
        parts.append(f"{missed:,} of its names fit no scan here")
    if labels.extra:
        parts.append(f"carried over {', '.join(labels.extra)}")
    say("; ".join(parts))
    return Joined([rows[0] if rows else None for rows in found[role]], role, nameless)


def _rows_by_each_name(labels: Labels, scans: Sequence[Named]) -> dict[str, list[tuple[int, ...]]]:
    beside = labels.path.parent.resolve()
    found: dict[str, list[tuple[int, ...]]] = {}
    for role in NAMES:
        if role == "file" and role in labels.roles:
            found[role] = rows_by_file(labels.column(role), scans, beside)
        elif role in labels.roles:
            rows = rows_by_id(labels.column(role), scans, role)
            found[role] = [() if row is None else (row,) for row in rows]
    return found


def _any(found: dict[str, list[tuple[int, ...]]]) -> bool:
    return any(rows for of_scans in found.values() for rows in of_scans)


def _as_headers_have_them(labels: Labels, scans: Sequence[Named]) -> None:
    """Write patients, studies and series, in the table itself, as the scans' headers have them."""
    for role in PREFIXES:
        if role not in labels.roles:
            continue
        cells = labels.column(role)
        written = as_headers_have_them(cells, scans, role)
        labels.frame[labels.roles[role]] = written
        if any(cell.isdecimal() and cell != new for cell, new in zip(cells, written, strict=True)):
            say(f"{labels.path.name}: numbers in {labels.roles[role]} are filled up with zeros, as the scans have them")


def _fill_up(labels: Labels, scans: Sequence[Named]) -> bool:
    """Give patients' numbers, in the table itself, the zeros that they have in folders' names; whether any got some."""
    cells = labels.column("patient")
    filled = with_zeros(cells, scans)
    if filled == cells:
        return False
    say(f"{labels.path.name}: patients' numbers are filled up with zeros, as the folders have them")
    labels.frame[labels.roles["patient"]] = filled
    return True


def unmatched_table(
    labels: Labels, scans: Sequence[Named], joined: Joined, keep_identifiers: bool = False
) -> list[dict[str, str]]:
    """What matched nothing on either side: rows of the labels file that fit no scan, and scans that have no row.

    Args:
        labels: the file.
        scans: the scans that `joined` is about.
        joined: what `join_labels` found.
        keep_identifiers: patients, studies and series in clear, not hashed.

    Returns:
        Rows of `what` ("row without scan" or "scan without row"), `row` (its number in the labels file, from 1, the
        header not counted), `name` (what it is joined by), `label`, `scan_id` and `path` (below the indexed folder).
    """
    keys, words = labels.column(joined.by), labels.column("label")
    prefix = "" if keep_identifiers else PREFIXES.get(joined.by, "")
    table = []
    for row in joined.nameless_rows:
        name = keyed_hash(keys[row], prefix) if prefix else keys[row]
        table.append(_unmatched("row without scan", row=str(row + 1), name=name, label=words[row]))
    for scan, found in zip(scans, joined.rows, strict=True):
        if found is None:
            name = getattr(scan, joined.by, "")
            name = keyed_hash(name, prefix) if prefix else name
            path = below(scan.files[0], scan.root)
            table.append(_unmatched("scan without row", name=name, scan_id=scan.scan_id, path=path))
    return table


def _unmatched(
    what: str, row: str = "", name: str = "", label: str = "", scan_id: str = "", path: str = ""
) -> dict[str, str]:
    return {"what": what, "row": row, "name": name, "label": label, "scan_id": scan_id, "path": path}


def _refuse_two_labels(labels: Labels, role: str, named: set[str]) -> None:
    """The same name may stand in several rows if they agree on the label."""
    seen: dict[str, tuple[int, str]] = {}
    cells = labels.column("label")
    for row, (key, cell) in enumerate(zip(map(clean, labels.column(role)), cells, strict=True)):
        if key not in named:
            continue
        first, label = seen.setdefault(key, (row, label_of(cell)))
        if label != label_of(cell):
            better = "" if role == "file" else "; name each scan in a column `file`, or its `series`"
            who = f"file {key}" if role == "file" else f"one {role} in rows {first + 1} and {row + 1}"
            raise InputError(
                f"{labels.path}: {who} has the labels {label or 'none'!r} and {label_of(cell) or 'none'!r}; keep one"
                f"{better}"
            )


def _refuse_slices_that_differ(labels: Labels, found: Sequence[tuple[int, ...]]) -> None:
    """The slices of one series may have a row each if all agree on the label and the split."""
    words = list(map(label_of, labels.column("label")))
    splits = labels.column("split")
    for rows in found:
        for row in rows[1:]:
            for what, cells in (("labels", words), ("splits", splits)):
                one, other = cells[rows[0]] or "none", cells[row] or "none"
                if one != other:
                    raise InputError(
                        f"{labels.path}: rows {rows[0] + 1} and {row + 1} are of the slices of one series and have the "
                        f"{what} {one!r} and {other!r}, where a scan has one: write one row for the series, by the "
                        "name of its folder, say"
                    )


def _nothing_matches(labels: Labels, scans: Sequence[Named]) -> str:
    """Files are shown; patients, studies and series are counted."""
    role = next(role for role in NAMES if role in labels.roles)
    theirs = list(dict.fromkeys(cell for cell in labels.column(role) if cell))
    roots = " and ".join(sorted({str(scan.root) for scan in scans})[:2])
    column = labels.roles[role]
    if role == "file":
        here = ", ".join([below(scan.files[0], scan.root) for scan in scans[:3]]) or "no scans"
        there = ", ".join(theirs[:3]) or "nothing"
        return (
            f"{labels.path} matches no scan: its column {column} has {there}, where {roots} has {here}; make the names "
            "alike, or give the folder that they belong to"
        )
    known = len({getattr(scan, role) for scan in scans} - {""})
    return (
        f"{labels.path} matches no scan: none of the {len(theirs):,} names in its column {column} is one of the "
        f"{known:,} that the files in {roots} give for {role}, or a folder there; make them alike, or give the folder "
        "that they belong to"
    )
