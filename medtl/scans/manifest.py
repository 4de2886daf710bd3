"""A table of scans, one row a scan, that a person can open in a spreadsheet and edit."""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from medtl.errors import InputError, nearest
from medtl.files import atomic_write, refuse_existing
from medtl.progress import say
from medtl.scans.datalist import from_datalist, is_datalist, of_medtl, to_datalist
from medtl.scans.file_lists import FileLists
from medtl.scans.label_words import SPLITS, label_of, uncertain_note
from medtl.scans.places import relative_to, seen_from
from medtl.scans.table import read_csv, read_json, to_csv

COLUMNS = ("scan_id", "patient", "study", "series", "site", "path", "label", "split", "status", "reason")
FACTS = (  # what indexing adds
    *("group", "modality", "manufacturer", "size", "spacing", "n_files"),
    *("volume", "on_gap", "notes", "fingerprint", "phash"),
)
STATUSES = ("ok", "set aside", "unreadable")
KINDS = (".csv", ".json")  # a manifest's file


@dataclass(frozen=True)
class Row:
    """One scan of a manifest. All text is "" where it is not known.

    Attributes:
        scan_id: 12 hex digits.
        patient: a keyed hash, unless identifiers were kept.
        study: likewise.
        series: likewise.
        site: the hospital's name.
        path: absolute; the first file of a series.
        label: a class name; several are joined by ";".
        split: "train", "calibrate", "test" or "".
        status: "ok", "set aside" (not an image) or "unreadable".
        reason: why it is not "ok", in one sentence without its path.
        files: the series' files in slice order; one for a picture or a volume in one file.
        extra: the other columns.
    """

    scan_id: str
    patient: str = ""
    study: str = ""
    series: str = ""
    site: str = ""
    path: str = ""
    label: str = ""
    split: str = ""
    status: str = "ok"
    reason: str = ""
    files: tuple[Path, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


class Manifest:
    """A table, one row a scan; see `Row` for its columns. Any others that the user has are kept, as text.

    Attributes:
        frame: pandas.DataFrame of str, rows 0..N-1, the columns of `COLUMNS` first. `path` is absolute.
        files: scan_id -> the scan's files in slice order. A scan that is not there has its `path` alone.
    """

    def __init__(self, frame: pd.DataFrame, files: Mapping[str, Sequence[Path]] | None = None) -> None:
        """Check the table and take a copy.

        Raises:
            InputError: a column is missing, a scan_id is empty or stands there twice, or a split or status is unknown.
        """
        _check(frame)
        others = [name for name in frame.columns if name not in COLUMNS]
        self.frame = frame[[*COLUMNS, *others]].fillna("").astype(str).reset_index(drop=True)
        self.files = FileLists(files, set(self.frame.scan_id)) if files else FileLists()

    def __len__(self) -> int:
        return len(self.frame)

    def __iter__(self) -> Iterator[Row]:
        others = list(self.frame.columns[len(COLUMNS) :])
        for cells in self.frame.itertuples(index=False, name=None):
            known = dict(zip(COLUMNS, cells, strict=False))
            files = self.files.get(known["scan_id"]) or ((Path(known["path"]),) if known["path"] else ())
            yield Row(**known, files=files, extra=dict(zip(others, cells[len(COLUMNS) :], strict=True)))

    def __repr__(self) -> str:
        return f"<Manifest: {len(self)} scans, sites {self.sites}, classes {self.classes}>"

    # --- parts of it ---

    def select(self, which: Sequence[str] | np.ndarray | pd.Series) -> Manifest:
        """Some of the scans: a mask (N,) of bool keeps the order, a list of scan_ids gives it.

        Raises:
            KeyError: a scan_id is not in the manifest.
        """
        mask = np.asarray(which)
        if mask.dtype == bool:
            return Manifest(self.frame[mask], self.files)
        return Manifest(self.frame.set_index("scan_id", drop=False).loc[list(which)], self.files)

    @property
    def usable(self) -> Manifest:
        """The scans whose status is "ok"."""
        return self.select(self.frame.status == "ok")

    @property
    def labelled(self) -> Manifest:
        """The usable scans that have a label."""
        return self.select((self.frame.status == "ok") & (self.frame.label != ""))

    def split(self, name: str) -> Manifest:
        """The scans of one split: "train", "calibrate" or "test"."""
        if name not in SPLITS:
            raise ValueError(f"{name!r} is not one of {', '.join(SPLITS)}")
        return self.select(self.frame.split == name)

    def without_labels(self) -> Manifest:
        """The same scans with no label, and without the user's own columns, which may tell it (a BI-RADS score)."""
        kept = [*COLUMNS, *(name for name in FACTS if name in self.frame)]
        return Manifest(self.frame[kept].assign(label=""), self.files)

    # --- what it holds ---

    @property
    def sites(self) -> list[str]:
        """The names of the sites, sorted."""
        return sorted(set(self.frame.site))

    @property
    def classes(self) -> list[str]:
        """The label names of usable scans, sorted."""
        return sorted({name for label in self.labelled.frame.label for name in label.split(";")})

    @property
    def patients(self) -> np.ndarray:
        """Whose scans they are, as str (N,): the patient, else the picture itself, whatever file it lies in.

        A scan whose pixels were not looked at is known by its scan_id.
        """
        names = self.frame.patient
        for column in ("fingerprint", "scan_id"):
            if column in self.frame:
                names = names.where(names != "", self.frame[column])
        return names.to_numpy(str)

    @property
    def groups(self) -> np.ndarray:
        """Who must stay in one split, as str (N,).

        The group of near-duplicates, else the patient, else the file of several volumes, else the scan.
        """
        group = self.frame.group if "group" in self.frame else pd.Series("", index=self.frame.index)
        for names in (self.frame.patient, self.shared_files, self.frame.scan_id):
            group = group.where(group != "", names)
        return group.to_numpy(str)

    @property
    def shared_files(self) -> pd.Series:
        """The file that a scan shares with other volumes of one examination, as text, "" where it has its own.

        The thousands of pictures in one .npz are each their own.
        """
        if "volume" not in self.frame:
            return pd.Series("", index=self.frame.index)
        path = self.frame.path
        return path.where((self.frame.volume != "") & ~path.str.contains(".npz/", regex=False), "")

    def digest(self) -> str:
        """SHA-256 of the contract's columns, whatever the order of the rows and wherever the files lie."""
        columns = [name for name in COLUMNS if name != "path"]
        table = self.frame[columns].sort_values("scan_id")
        return hashlib.sha256(to_csv(columns, table.itertuples(index=False, name=None)).encode(*_BYTES)).hexdigest()

    @staticmethod
    def concat(manifests: Iterable[Manifest]) -> Manifest:
        """One table of all; a scan that stands in several under the same path is kept once, from the first.

        A scan under another path (a copy) stays, and gets an id of its own.
        """
        manifests = list(manifests)
        paths: dict[str, str] = {}
        frames, files = [], FileLists()
        for manifest in manifests:
            ids: list[str] = []
            for row in manifest:
                scan_id = row.scan_id
                while paths.get(scan_id, row.path) != row.path:
                    scan_id = next_id(scan_id)
                ids.append("" if scan_id in paths else scan_id)
                if scan_id not in paths and len(row.files) > 1:
                    files[scan_id] = row.files
                paths[scan_id] = row.path
            frame = manifest.frame.assign(scan_id=ids)
            frames.append(frame[frame.scan_id != ""])
        if not frames:
            return Manifest(pd.DataFrame(columns=list(COLUMNS)))
        return Manifest(pd.concat(frames, ignore_index=True), files)

    # --- on disk ---

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest that `save` wrote, and perhaps a person edited: a CSV, or a MONAI datalist (.json).

        A label that a person wrote is read as in a labels file: "unknown" and the like are none.

        Raises:
            InputError: it is not there, is not a manifest, a cell holds an unknown word, or its Parquet is missing.
        """
        path = Path(path)
        folder = path.parent.resolve()
        if path.suffix.lower() == ".json":
            frame, files = _load_datalist(path, folder)
            return cls(_with_certain_labels(frame, path), files)
        frame = read_csv(path)
        if "file" in frame and not {"scan_id", "path"} & set(frame):
            raise InputError(_labels_and_no_manifest(path, "a labels file"))
        _check_file(frame, path)
        frame["path"] = list(map(seen_from(folder), frame.path))
        return cls(_with_certain_labels(frame, path), _load_files(frame, path, folder))

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Write the table as CSV, whole or not at all, and the files of series that have many as Parquet beside it.

        Paths are relative to the manifest's folder where the two share one, so that both can move together. Cells that
        a spreadsheet would run (`= + - @`) get an apostrophe, which `load` takes away. A name that ends in .json gets a
        MONAI datalist instead, which holds all of it; see `datalist.to_datalist`.

        Args:
            path: such as `manifest.csv`; the Parquet is then `manifest.files.parquet`.
            force: replace what is there.

        Raises:
            InputError: it exists and `force` was not given, or it cannot be written.
        """
        path = place_to_save(path, force)
        folder = path.parent.resolve()
        if path.suffix.lower() == ".json":
            with atomic_write(path) as part:
                part.write_text(to_datalist(self.frame, self.files, folder), "utf-8")
            return path
        relative = relative_to(folder)
        many = {scan_id: texts for scan_id in self.files if len(texts := self.files.texts(scan_id)) > 1}
        beside = _files_table(path)
        if many:
            ids = [scan_id for scan_id, texts in many.items() for _ in texts]
            table = pd.DataFrame(
                {"scan_id": ids, "file": [relative(file) for texts in many.values() for file in texts]}
            )
            with atomic_write(beside) as part:
                table.to_parquet(part, index=False)
        frame = self.frame.assign(path=list(map(relative, self.frame.path)))
        with atomic_write(path) as part:
            part.write_bytes(to_csv([*frame.columns], frame.itertuples(index=False, name=None)).encode(*_BYTES))
        if not many:
            beside.unlink(missing_ok=True)
        return path


def place_to_save(path: str | Path, force: bool) -> Path:
    """Return `path`, where a manifest may be saved; to be asked before the work of making one.

    Raises:
        InputError: its name ends neither in .csv nor in .json, or it exists and `force` was not given.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS:
        raise InputError(
            f"{path}: a manifest is saved as CSV, or as a MONAI datalist: give a name that ends in .csv or .json"
        )
    return refuse_existing(path, force)


_BYTES = ("utf-8", "backslashreplace")


def next_id(scan_id: str) -> str:
    """The scan_id of one more copy of the same scan."""
    return hashlib.sha256(f"{scan_id} once more".encode()).hexdigest()[:12]


def _check(frame: pd.DataFrame) -> None:
    for name in COLUMNS:
        if name not in frame:
            near = difflib.get_close_matches(name, [str(c) for c in frame if c not in COLUMNS], n=1)
            hint = f'"{near[0]}" stands there instead, rename it' if near else "add it, or index the folder again"
            raise InputError(f'a manifest needs the column "{name}"; {hint}')
    ids = frame.scan_id
    if (ids == "").any() or ids.isna().any():
        raise InputError("a row has no scan_id; give it one, or remove the row")
    if ids.duplicated().any():
        raise InputError(f"the scan_id {ids[ids.duplicated()].iloc[0]} stands there twice; remove one of its rows")
    for column, allowed in (("status", STATUSES), ("split", ("", *SPLITS))):
        for word in frame[column].dropna().unique():
            if word not in allowed:
                one_of = f"it is one of {', '.join(a or 'empty' for a in allowed)}"
                hint = nearest(word, [a for a in allowed if a], one_of)
                raise InputError(f"the {column} {str(word)!r} is not known; {hint}")


def _files_table(path: Path) -> Path:
    return path.with_suffix(".files.parquet")


def _check_file(frame: pd.DataFrame, path: Path) -> None:
    try:
        _check(frame)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _with_certain_labels(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Labels as `label_of` has them, and in `notes` what was uncertain."""
    words = {cell: (label_of(cell), uncertain_note(cell)) for cell in frame.label.unique()}
    uncertain = frame.label.map({cell: note for cell, (_, note) in words.items() if note})
    frame = frame.assign(label=frame.label.map({cell: label for cell, (label, _) in words.items()}))
    if not uncertain.notna().any():
        return frame
    say(f"{path.name}: {uncertain.notna().sum():,} uncertain labels: those scans stay unlabelled")
    notes = frame["notes"] if "notes" in frame else pd.Series("", index=frame.index)
    both = notes.str.cat(uncertain, sep="; ").str.removeprefix("; ")
    return frame.assign(notes=both.where(uncertain.notna(), notes))


def _labels_and_no_manifest(path: Path, what: str) -> str:
    return (
        f"{path} is {what} and not a manifest: give the folder of its scans, or make a manifest with "
        f"`medtl index FOLDER --labels {path.name} -o manifest.csv`"
    )


def _load_datalist(path: Path, folder: Path) -> tuple[pd.DataFrame, FileLists]:
    content = read_json(path)
    if not is_datalist(content):
        raise InputError(_labels_and_no_manifest(path, "a JSON file"))
    if not of_medtl(content):
        raise InputError(_labels_and_no_manifest(path, "a datalist without scan_id"))
    try:
        frame, files = from_datalist(content, folder, COLUMNS)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    _check_file(frame, path)
    return frame, files


def _load_files(frame: pd.DataFrame, path: Path, folder: Path) -> FileLists:
    files = FileLists()
    beside = _files_table(path)
    if beside.is_file():
        try:
            table = pd.read_parquet(beside, columns=["scan_id", "file"])
            pairs = zip(table.scan_id.tolist(), table.file.tolist(), strict=True)
        except Exception as error:  # pyarrow has many
            raise InputError(f"{beside} is damaged or of another program; index the folder again") from error
        absolute = seen_from(folder)
        for scan_id, mine in itertools.groupby(pairs, key=lambda pair: pair[0]):
            files[str(scan_id)] = [absolute(name) for _, name in mine]
    if "n_files" in frame:
        for scan_id, number in zip(frame.scan_id, frame.n_files, strict=True):
            if number not in ("", "1") and scan_id not in files:
                raise InputError(
                    f"{path}: scan {scan_id} has {number} files, and {beside.name} that lists them is missing or old; "
                    "put it beside the manifest, or index the folder again"
                )
    return files
