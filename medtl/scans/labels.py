"""What a labels file, or the folders' own names, say about scans."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medtl.errors import InputError
from medtl.progress import say
from medtl.scans.manifest import SPLITS
from medtl.scans.privacy import keyed_hash
from medtl.scans.table import read_csv

# What a column is for -> the names that it goes by, in lower case and without spaces, dots, dashes and underscores.
ROLES = {
    "file": ("file", "filename", "filepath", "path", "image", "imagefile", "imagepath", "imagename", "img"),
    "scan_id": ("scanid",),
    "series": ("series", "seriesuid", "seriesinstanceuid", "seriesid"),
    "study": ("study", "studyuid", "studyinstanceuid", "studyid"),
    "patient": ("patient", "patientid", "subject", "subjectid", "participant", "participantid"),
    "label": ("label", "labels", "class", "diagnosis"),
    "site": ("site", "hospital", "centre", "center", "institution"),
    "split": ("split",),
}
NAMES = ("file", "scan_id", "series", "study", "patient")  # what a row can be joined by, the most exact first
PREFIXES = {"patient": "P-", "study": "ST-", "series": "SE-"}
SPLIT_WORDS = {"training": "train", "val": "calibrate", "valid": "calibrate", "validation": "calibrate"}
SPLIT_WORDS |= {"calibration": "calibrate", "testing": "test"} | {name: name for name in SPLITS}
PERSONAL = {"name", "patientname", "birthdate", "patientbirthdate", "dateofbirth", "dob", "mrn", "ssn", "address"}
PERSONAL |= {"phone", "email", "accession", "accessionnumber", "firstname", "lastname", "surname", "givenname"}
PERSONAL |= {"familyname", "fullname", "medicalrecordnumber", "nhsnumber", "zip", "zipcode", "postcode"}
FAIR_SHARE = 0.5  # a more exact name is taken when it fits at least this part of what the best one fits


@dataclass(frozen=True)
class Named:
    """One scan by all the names that a labels file may know it by, as they stand in its files.

    Attributes:
        files: absolute.
        root: the indexed folder that they lie in.
        patient: PatientID; likewise `study` and `series`, "" where the file does not know.
        scan_id: as in the manifest.
    """

    files: tuple[Path, ...]
    root: Path
    patient: str = ""
    study: str = ""
    series: str = ""
    scan_id: str = ""


@dataclass(frozen=True)
class Labels:
    """A labels file.

    Attributes:
        path: the file.
        frame: its cells, all str.
        roles: a role of `ROLES` -> the column that has it.
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

    def mask_files(self) -> set[Path]:
        """The files named in columns like `lesion_mask`: drawings over scans, not scans."""
        columns = [name for name in self.extra if "mask" in name.lower()]
        cells = {cell for name in columns for cell in self.frame[name] if cell}
        return {Path(os.path.normpath(self.path.parent.resolve() / cell)) for cell in cells}


def read_labels(path: str | Path, keep_identifiers: bool = False) -> Labels:
    """Read a labels file: a CSV with a column that names scans (file, series, study or patient) and, mostly, a label.

    Columns with a person's name, birth date or the like are left out unless `keep_identifiers`.

    Raises:
        InputError: no column names scans, `label` is misspelt, or a split is none.
    """
    path = Path(path)
    frame = read_csv(path)
    roles: dict[str, str] = {}
    for role, names in ROLES.items():
        found = [column for name in names for column in frame.columns if _plain(column) == name]
        if found:
            roles[role] = found[0]
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
    personal = [column for column in rest if _plain(column) in PERSONAL and not keep_identifiers]
    if personal:
        say(f"{path.name}: left out {', '.join(personal)} (--keep-identifiers keeps them)")
    if "label" not in roles:
        say(f'{path.name} has no column "label": the scans stay unlabelled')
    labels = Labels(path, frame, roles, tuple(column for column in rest if column not in personal))
    for word in labels.column("split"):
        split_of(word, path)
    return labels


def split_of(word: str, path: Path) -> str:
    """The manifest's name of a split: "val" is "calibrate".

    Raises:
        InputError: it is not known.
    """
    name = SPLIT_WORDS.get(word.lower(), "")
    if word and not name:
        near = difflib.get_close_matches(word.lower(), list(SPLIT_WORDS), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(SPLITS)}, or empty"
        raise InputError(f"{path}: the split {word!r} is not known; {hint}")
    return name


def label_of(cell: str) -> str:
    """A label as the manifest has it: several, joined by ";", in sorted order."""
    return ";".join(sorted({name.strip() for name in cell.split(";") if name.strip()}))


def join_labels(labels: Labels, scans: Sequence[Named]) -> list[int | None]:
    """Find each scan's row of the labels file, and say by what it was found.

    A `file` may be relative to the labels file or to the indexed folder, with or without its extension, or the name
    alone where no two scans share it; a series is found by any of its files or by their folder. Patient, study and
    series are those of the DICOM header, or of a folder on the way to a picture, in clear or hashed as in a manifest.

    Returns:
        For each scan the row number, or None.

    Raises:
        InputError: nothing matches, or what matches has two labels.
    """
    ways = {role: _by_file if role == "file" else _by_id(role) for role in NAMES if role in labels.roles}
    found = {role: way(labels, scans) for role, way in ways.items()}
    fits = {role: sum(row is not None for row in rows) for role, rows in found.items()}
    best = max(fits.values(), default=0)
    if best == 0:
        raise InputError(_nothing_matches(labels, scans))
    role = next(role for role in found if fits[role] >= FAIR_SHARE * best)
    rows = found[role]
    _refuse_two_labels(labels, role, {row for row in rows if row is not None})
    keys = labels.column(role)
    named = {keys[row] for row in rows if row is not None}
    missed = len({key for key in keys if key} - named)
    parts = [f"{labels.path.name}: joined by {role}, {fits[role]:,} of {len(scans):,} scans have a row"]
    if missed:
        parts.append(f"{missed:,} of its names fit no scan here")
    if labels.extra:
        parts.append(f"carried over {', '.join(labels.extra)}")
    say("; ".join(parts))
    return rows


def class_folders(scans: Sequence[Named]) -> list[str] | None:
    """The class of each scan by the folder that it lies in, where the folders are classes, and say so.

    They are when every scan lies in one of 2 to 20 folders right under its root whose names read like classes, which
    patients' folders, series, splits and dates do not, and when they are not one a patient.

    Returns:
        The folder's name for each scan, or None.
    """
    folders = []
    for scan in scans:
        parts = scan.files[0].relative_to(scan.root).parts
        if len(parts) < 2:
            return None
        folders.append(parts[0])
    counts = Counter(folders)
    patients = {scan.patient for scan in scans if scan.patient}
    of_patient = defaultdict(set)
    for folder, scan in zip(folders, scans, strict=True):
        of_patient[folder].add(scan.patient)
    if not 2 <= len(counts) <= 20 or len(counts) == len(patients):
        return None
    if patients and all(len(of_patient[folder]) == 1 for folder in counts):
        return None  # an archive's export, one folder a patient
    if min(counts.values()) < 2 or not all(_reads_like_a_class(name) for name in counts):
        return None
    shown = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items()))
    say(f"no labels file, but folders that look like classes: {shown}; give --labels if they are not")
    return folders


# --- the names of scans --------------------------------------------------------------------------------------------

NOT_A_CLASS = re.compile(
    r"(?:pat|patient|sub|subj|subject|case|study|series|st|se|p|s|im|img|image|images|dicom|dcm|scan|scans|exam|visit|ses"
    r"|session|ser|acc|data|mask|masks|train|training|val|valid|validation|test|testing|calibrate)?[-_ .]?[\d.\-_]*",
    re.IGNORECASE,
)


def _reads_like_a_class(name: str) -> bool:
    hexadecimal = re.fullmatch(r"[0-9a-fA-F]{8,}", name)
    return not (NOT_A_CLASS.fullmatch(name) or hexadecimal or len(re.findall(r"\d", name)) > 4)


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]", "", name).lower()


def _clean(name: str) -> str:
    return re.sub(r"^(\./)+", "", name.strip().replace("\\", "/"))


def _stem(name: str) -> str:
    """Without the extension; an ending with a space or of more than five letters is part of the name."""
    name = name.removesuffix(".gz")
    return re.sub(r"(?<=[^/])\.[A-Za-z][A-Za-z0-9]{0,4}$", "", name)


def _base(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


SHORTENINGS: tuple[Callable[[str], str], ...] = (str, _stem, _base, lambda name: _stem(_base(name)))


def _by_file(labels: Labels, scans: Sequence[Named]) -> list[int | None]:
    cells = [_clean(cell) for cell in labels.column("file")]
    names = [_file_names(scan, labels.path.parent.resolve()) for scan in scans]
    found: list[int | None] = [None] * len(scans)
    for number, shorten in enumerate(SHORTENINGS):
        bare = number >= 2
        rows = _rows_of_one_name(cells, shorten)
        keys = [{shorten(name) for name in given} for given in names]
        holders = Counter(key for mine in keys for key in mine) if bare else Counter()
        for i, mine in enumerate(keys):
            if found[i] is None:
                fits = [rows[key] for key in mine if key in rows and holders[key] <= 1]
                found[i] = min(fits, default=None)
    return found


def _rows_of_one_name(cells: Sequence[str], shorten: Callable[[str], str]) -> dict[str, int]:
    """The first row of each shortened name that is short for one file only."""
    short_for: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if key := shorten(cell):
            rows.setdefault(key, row)
            short_for[key].add(cell)
    return {key: row for key, row in rows.items() if len(short_for[key]) == 1}


def _file_names(scan: Named, beside: Path) -> list[str]:
    files = list(scan.files)
    if len(files) > 1:
        files += {file.parent for file in files} if len({file.parent for file in files}) == 1 else set()
    names = []
    for file in files:
        names += [file.as_posix(), f"{scan.root.name}/{_below(file, scan.root)}", _below(file, scan.root)]
        names.append(Path(os.path.relpath(file, beside)).as_posix())
    return names


def _below(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix()


def _by_id(role: str) -> Callable[[Labels, Sequence[Named]], list[int | None]]:
    def find(labels: Labels, scans: Sequence[Named]) -> list[int | None]:
        rows = _rows_of_one_name(labels.column(role), str)
        return [next((rows[key] for key in _ids(scan, role) if key in rows), None) for scan in scans]

    return find


def _ids(scan: Named, role: str) -> list[str]:
    known = getattr(scan, role)
    if role == "scan_id":
        return [known]
    if known:
        return [known, keyed_hash(known, PREFIXES[role])]
    return list(scan.files[0].relative_to(scan.root).parts[:-1])


def _refuse_two_labels(labels: Labels, role: str, rows: set[int]) -> None:
    """The same name may stand in several rows if they agree on the label."""
    seen: dict[str, str] = {}
    keys = [_clean(key) for key in labels.column(role)]
    used = {keys[row] for row in rows}
    for key, cell in zip(keys, labels.column("label"), strict=True):
        label = label_of(cell)
        if key in used and seen.setdefault(key, label) != label:
            better = "" if role == "file" else "; name each scan in a column `file`, or its `series`"
            raise InputError(
                f"{labels.path}: {role} {key} has the labels {seen[key] or 'none'!r} and {label or 'none'!r}; keep one"
                f"{better}"
            )


def _nothing_matches(labels: Labels, scans: Sequence[Named]) -> str:
    role = next(role for role in NAMES if role in labels.roles)
    theirs = list(dict.fromkeys(cell for cell in labels.column(role) if cell))[:3]
    if role == "file":
        ours = [_below(scan.files[0], scan.root) for scan in scans]
    else:
        ours = [getattr(scan, role) or _below(scan.files[0], scan.root) for scan in scans]
    here = ", ".join(list(dict.fromkeys(ours))[:3]) or "no scans"
    roots = " and ".join(sorted({str(scan.root) for scan in scans})[:2])
    return (
        f"{labels.path} matches no scan: its column {labels.roles[role]} has {', '.join(theirs) or 'nothing'}, where "
        f"{roots} has {here}; make the names alike, or give the folder that they belong to"
    )
