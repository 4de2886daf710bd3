"""Everything known about one file, and what was decided about it: `medtl index FOLDER --explain FILE`."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from medtl.errors import InputError, ScanError
from medtl.scans import Manifest, Scan
from medtl.scans.manifest import Row
from medtl.verbs._dicom_words import Line, cut_in_words, kind_lines, pixel_lines, place_lines

KINDS = {
    "dicom": "a DICOM file",
    "nifti": "a NIfTI volume",
    "volume": "a volume (NRRD, MetaImage, Analyze or a NIfTI pair)",
    "picture": "a picture (PNG, JPEG, TIFF or BMP)",
    "arrays": "arrays of pictures (.npz as MedMNIST has them)",
    "archive": "a zip archive",
}
WIDTH = 100
MOST_ROWS = 5
HIDDEN = "hidden; --keep-identifiers shows it"


def explain(file: str | Path, manifest: Manifest, keep_identifiers: bool = False) -> str:
    """Say what a file is, where it lies, what its pixels are, which scan of the manifest it belongs to, and what next.

    Args:
        file: any file, also one in a zip archive; it need not be a scan.
        manifest: of the folder that it lies in.
        keep_identifiers: show patient, study, series and date as the file has them, not hashed.

    Returns:
        Paragraphs with a heading each, to be printed.

    Raises:
        InputError: the file is not there.
    """
    path = Path(os.path.abspath(Path(file).expanduser()))  # noqa: PTH100 - as the index names it: links keep their name
    rows = _rows_of(path, manifest)
    kind, words, fault = _sniff(path)
    scan, unread = _read(path, kind, rows)
    parts = [
        ("What it is", _what(path, kind, words, fault)),
        ("Whose it is", _whose(path, keep_identifiers) if kind == "dicom" else ()),
        ("Where it lies in the patient", _where(path, kind, scan)),
        ("Its pixels", _pixels(path, kind, scan, unread)),
        ("In the manifest", _listed(path, rows, manifest)),
        ("How it would be prepared", _recipe(scan)),
        ("What next", _next(kind, rows, unread or fault)),
    ]
    return "\n\n".join([str(path), *(text for title, lines in parts if (text := _paragraph(title, lines)))])


def _paragraph(title: str, lines: Iterable[Line]) -> str:
    lines = list(lines)
    if not lines:
        return ""
    longest = max(len(name) for name, _ in lines)
    wide = longest + 2 if longest else 0
    indent = " " * (2 + wide)
    text = [title]
    for name, words in lines:
        first = f"  {name:<{wide}}"
        text += textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=indent) or [first.rstrip()]
    return "\n".join(text)


# --- the file ------------------------------------------------------------------------------------------------------


def _sniff(path: Path) -> tuple[str, str, str]:
    """Its kind, the words for what is none of ours, and why it cannot be opened.

    Raises:
        InputError: it is not there.
    """
    from medtl.scans.sniff import sniff

    if path.is_dir():
        raise InputError(f"{path} is a folder: name one file in it, or index it without --explain")
    if not path.exists() and not any(parent.is_file() for parent in path.parents):
        raise InputError(f"{path} is not there: check its name")
    try:
        return (*sniff(path), "")
    except ScanError as error:
        return "other", "", str(error)


def _read(path: Path, kind: str, rows: list[Row]) -> tuple[Scan | None, str]:
    """Its pixels as the manifest reads them (of a series of many files, this file's), or why they cannot be read."""
    from medtl.scans.read import how_to_read, read_scan

    if kind in ("other", "archive"):
        return None, ""
    try:
        if rows and len(rows[0].files) == 1 and rows[0].path == str(path):
            return read_scan(rows[0].files, *how_to_read(rows[0])), ""
        return read_scan([path], on_gap="keep"), ""
    except ScanError as error:
        return None, str(error)


def _what(path: Path, kind: str, words: str, fault: str) -> Iterator[Line]:
    yield "by its content", KINDS.get(kind) or words or "not told: it cannot be opened"
    if fault:
        yield "fault", fault
        return
    yield "size", _size(path)
    if kind == "dicom":
        from medtl.scans.dicom_header import read_header

        try:
            yield from kind_lines(read_header(path))
        except ScanError as error:
            yield "fault", str(error)


def _size(path: Path) -> str:
    from medtl.scans.source import size_of

    if path.is_file():
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return f"{path.stat().st_size:,} bytes" + (", packed by gzip" if packed else "")
    return f"{size_of(path):,} bytes, unpacked from a zip archive"


def _whose(path: Path, keep_identifiers: bool) -> Iterator[Line]:
    from medtl.scans.dicom_header import read_elements
    from medtl.scans.labels import PREFIXES
    from medtl.scans.privacy import keyed_hash

    try:
        elements = read_elements(path)
    except ScanError:
        return
    fields = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
    for name, keyword in fields.items():
        value = str(elements.get(keyword) or "")
        shown = value if keep_identifiers else keyed_hash(value, PREFIXES[name], from_header=True)
        yield name, shown or "not said"
    date = str(elements.get("StudyDate") or "")
    yield "date", (date or "not said") if keep_identifiers or not date else HIDDEN
    instance = elements.get("InstanceNumber")
    if isinstance(instance, int):
        yield "number", f"{instance} in its series (InstanceNumber), which the order of slices does not hang on"


def _where(path: Path, kind: str, scan: Scan | None) -> Iterator[Line]:
    if kind == "dicom":
        from medtl.scans.dicom_header import read_header

        try:
            yield from place_lines(read_header(path))
        except ScanError:
            return
    elif scan is not None and kind in ("nifti", "volume"):
        if scan.affine is None:
            yield "place", "not said: its axes are taken as they are stored"
        else:
            # RAS and LPS differ in sign only, which a cut's name does not hang on
            yield "cut", f"{cut_in_words(scan.affine[:3, 0])}, as its slices are stored"
            corner = scan.affine[:3, 3]
            yield "position", f"{', '.join(f'{v:.1f}' for v in corner)} mm (right, front, head) of the first voxel"
        yield "spacing", f"{_spacing(scan) or 'not said'} (between slices x rows x columns)"
    elif kind == "picture" or kind == "arrays":
        yield "place", "a picture has none"


def _spacing(scan: Scan) -> str:
    return " x ".join(f"{value:.4g}" for value in scan.spacing if value == value)


def _pixels(path: Path, kind: str, scan: Scan | None, unread: str) -> Iterator[Line]:
    if kind == "dicom":
        from medtl.scans.dicom_header import read_elements

        with suppress(ScanError):
            yield from pixel_lines(read_elements(path))
    if unread:
        yield "not read", unread
    if scan is None:
        return
    if kind != "dicom":
        depth, rows, columns = scan.pixels.shape[:3]
        slices = f"{depth} slices of " if depth > 1 else ""
        colour = ", in colour" if scan.colour else ""
        yield "matrix", f"{slices}{rows} rows x {columns} columns, {scan.header.get('bits', '?')} bits{colour}"
    finite = scan.pixels[np.isfinite(scan.pixels)]
    if finite.size:
        unit = " HU" if scan.modality == "CT" else ""
        yield "values", f"{finite.min():g} to {finite.max():g}{unit}, mean {finite.mean():.4g}"
    yield from _facts(scan)


def _facts(scan: Scan) -> Iterator[Line]:
    from medtl.scans.burned_in import find_overlay

    header = scan.header
    windows = header.get("windows") or ()
    if windows:
        shown = "; ".join(f"centre {centre:g}, width {width:g}" for centre, width in windows[:3])
        yield "window", f"{shown}{' and more' if len(windows) > 3 else ''}: kept as a fact, not applied"
    if header.get("voi_lut"):
        yield "window", "a table in the header (VOI LUT): kept as a fact, not applied"
    if padding := header.get("padding"):
        low, high = padding
        yield "padding", f"{low:g}" + (f" to {high:g}" if high != low else "") + " shows nothing"
    for top, left, bottom, right in (header.get("regions") or ())[:4]:
        yield "picture region", f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    if header.get("rounded"):
        yield "rounded", f"values by up to {header['rounded']:g}: float32 holds no more digits"
    if header.get("volumes"):
        yield "volumes", f"{header['volumes']}, of which the first is described here"
    overlay = find_overlay(scan)
    says = {True: "the header says so", False: "the header says no"}.get(header.get("burned_in", None), "")
    if overlay or says:
        found = f"{overlay}, by the look of the middle slice" if overlay else "nothing, by the look of the middle slice"
        yield "burned in", "; ".join(part for part in (found, says) if part)


# --- the manifest --------------------------------------------------------------------------------------------------


def _rows_of(path: Path, manifest: Manifest) -> list[Row]:
    """The rows that the file belongs to; of an archive, those of the files in it."""
    text = str(path)
    paths = manifest.frame.path
    mine = (paths == text) | paths.str.startswith(text + os.sep)
    in_series = {scan_id for scan_id, files in manifest.files.items() if path in files}
    return list(manifest.select(mine | manifest.frame.scan_id.isin(in_series)))


def _listed(path: Path, rows: list[Row], manifest: Manifest) -> Iterator[Line]:
    if not rows:
        yield "row", "none"
        return
    if len(rows) > 1:
        statuses = ", ".join(f"{sum(row.status == status for row in rows):,} {status}" for status in _statuses(rows))
        yield "rows", f"{len(rows):,} scans lie in this file ({statuses})"
    for row in rows[:MOST_ROWS]:
        yield from _one(path, row, manifest)
    if len(rows) > MOST_ROWS:
        yield "more", f"{len(rows) - MOST_ROWS:,} scans that are not shown"


def _statuses(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.status for row in rows))


def _one(path: Path, row: Row, manifest: Manifest) -> Iterator[Line]:
    why = f": {row.reason}" if row.reason else ""
    yield "scan", f"{row.scan_id}, {row.status}{why}"
    if len(row.files) > 1:
        at = row.files.index(path) + 1 if path in row.files else 1
        each = "slice" if row.extra.get("size", "").startswith(f"{len(row.files)} x ") else "file"
        yield each, f"{at} of {len(row.files)}, counted in the order of the slices"
    of_series = manifest.frame[(manifest.frame.series == row.series) & (manifest.frame.patient == row.patient)]
    if row.series and len(of_series) > 1:
        yield "stack", f"{list(of_series.scan_id).index(row.scan_id) + 1} of the {len(of_series)} scans of its series"
    facts = {name: row.extra.get(name, "") for name in ("modality", "size", "spacing", "volume", "on_gap")}
    if facts["size"]:
        spacing = f", {facts['spacing']} mm" if facts["spacing"] else ""
        yield "as read", f"{facts['size']}{spacing}" + (f", volume {facts['volume']}" if facts["volume"] else "")
    if facts["on_gap"]:
        yield "gap", f"closed as --on-gap {facts['on_gap']} says"
    for note in filter(None, row.extra.get("notes", "").split("; ")):
        yield "note", note
    if row.status == "ok":
        yield "site", row.site or "not said"
        yield "patient", row.patient or "not known: the scan counts as its own"
        yield "label", _label(row)
        yield "split", _split(row, manifest)


def _label(row: Row) -> str:
    if not row.label:
        return "none"
    from_folder = row.label in Path(row.path).parts[:-1]
    return f"{row.label}, " + ("as its folder is called" if from_folder else "from the labels file")


def _split(row: Row, manifest: Manifest) -> str:
    if not row.split:
        return "none"
    group = dict(zip(manifest.frame.scan_id, manifest.groups, strict=True))[row.scan_id]
    others = int((manifest.groups == group).sum()) - 1
    if not others:
        return row.split
    return f"{row.split}, with {others:,} other scan{'s' if others > 1 else ''} of the same patient or picture"


# --- what follows --------------------------------------------------------------------------------------------------


def _recipe(scan: Scan | None) -> Iterator[Line]:
    if scan is None:
        return
    from medtl.intensity.recipes import recipe_for_scans

    try:
        recipe, why = recipe_for_scans([scan])
        yield "--recipe auto", why
        yield "then", f"resized to {recipe.size} x {recipe.size}, its aspect kept, padded with black"
    except (InputError, ScanError) as error:
        yield "--recipe auto", str(error)


def _next(kind: str, rows: list[Row], fault: str) -> Iterator[Line]:
    if not rows:
        why = fault or "it lies outside the indexed folder, is hidden or unfinished (.part), or is the labels file"
        yield "", f"It is in no row: {why}."
        return
    if kind == "archive" or len(rows) > 1:
        bad = next((row for row in rows if row.status == "unreadable"), None)
        yield "", f"Mend what is unreadable: {bad.reason}." if bad else "Nothing: its scans are listed."
        return
    row = rows[0]
    if row.status == "unreadable":
        yield "", f"It cannot be used as it is: {row.reason}."
    elif row.status == "set aside":
        yield "", f"Nothing: {row.reason}. It stays in the manifest so that nothing is lost in silence."
    elif fault:
        yield "", f"The scan is listed by another of its files, but this one cannot be read: {fault}."
    else:
        burned = "burned in" in row.extra.get("notes", "")
        if burned:
            yield "", "Look whether what is burned in tells the label; if so, crop it away or leave the scan out."
        if not row.label:
            yield "", "To train on it, give it a label: a row in the labels file with its file, patient or series."
        else:
            yield "", "Else it is ready." if burned else "Nothing: it is ready."
