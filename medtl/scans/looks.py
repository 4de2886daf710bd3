"""What indexing learns from a file: what it is, whose it is, and whether its pixels can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medtl.errors import ScanError

if TYPE_CHECKING:
    from medtl.scans.dicom_header import Header
    from medtl.scans.dicom_place import Plane
    from medtl.scans.scan import Scan

STACKED = {"CT", "MR", "PT", "NM", "OPT"}  # a series of these is one volume; of all others each file is a picture
SCREENSHOT = "a secondary capture, not the scan itself"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Look:
    """One file, or later one scan, as it stands on disk.

    Identifiers are as `look_at` found them in the file, in clear, until `index` hashes them: they go no further.

    Attributes:
        files: absolute paths, in slice order; one for a picture.
        root: the indexed folder that they lie in.
        kind: as `sniff` has it.
        status: "ok", "set aside" or "unreadable", and its `reason`.
        content: what makes it the same scan wherever it lies: a DICOM UID, or the hash of the file.
        whole: likewise of the series that it belongs to.
        planes: where the slices lie, of a file whose slices make volumes.
        slices: how many the scan has.
        volume: which volume of its files, "" where they hold one.
        size: "rows x columns" or "slices x rows x columns".
        spacing: "between slices x between rows x between columns", in mm.
        on_gap: what is done about a gap that it has, "" where it has none.
        notes: "word: detail", joined by "; ".
        label, split: of a file that brings its own.
        passing: whether the fault may be gone next time (a disk that did not answer, too little memory).
    """

    files: tuple[str, ...]
    root: str
    kind: str = ""
    status: str = "ok"
    reason: str = ""
    content: str = ""
    whole: str = ""
    patient: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    manufacturer: str = ""
    planes: tuple[Plane, ...] = ()
    slices: int = 1
    volume: str = ""
    size: str = ""
    spacing: str = ""
    on_gap: str = ""
    notes: str = ""
    fingerprint: str = ""
    phash: str = ""
    label: str = ""
    split: str = ""
    passing: bool = False

    def noting(self, *notes: str) -> Look:
        """The same with more notes."""
        return replace(self, notes="; ".join(dict.fromkeys(note for note in (self.notes, *notes) if note)))


def look_at(file: str, root: str) -> list[Look]:
    """Read what a file is, without its pixels: one look, or several where it holds several scans.

    Never raises for what a file may hold.
    """
    try:
        file.encode()
    except UnicodeEncodeError:
        reason = "the file's name is not UTF-8: rename it"
        return [Look((file,), root, status="unreadable", reason=reason, content=repr(file))]
    from medtl.scans.dicom_header import header_of_part_10

    try:
        header = header_of_part_10(file)
        if header is not None:
            return [_of_header(header, file, root)]
        return list(_looks_at(Look((file,), root), Path(file)))
    except ScanError as error:
        unread = Look((file,), root, status="unreadable", reason=str(error), content=_hash(file))
        return [replace(unread, passing=_is_passing(error))]


def _is_passing(error: ScanError) -> bool:
    return isinstance(error.__cause__, OSError | MemoryError)


def _looks_at(look: Look, file: Path) -> Iterator[Look]:
    from medtl.scans.sniff import sniff

    kind, words = sniff(file)
    look = replace(look, kind=kind)
    if kind == "archive":
        yield from _look_into(look, file)
    elif kind == "dicom":
        from medtl.scans.dicom_header import read_header

        yield _of_header(read_header(file), str(file), look.root)
    elif kind == "arrays":
        from medtl.scans.arrays import array_rows

        content = _hash(str(file))
        for number, (path, volume, label, split) in enumerate(array_rows(file)):
            of_array = replace(look, files=(str(path),), volume=str(volume), label=label, split=split)
            yield replace(of_array, content=f"{content} {number}")
    elif kind == "other":
        yield replace(look, status="set aside", reason=words, content=_hash(str(file), most=CHUNK))
    elif kind == "picture":
        yield replace(look, content=_hash(str(file)))
    else:
        yield from _look_at_volumes(replace(look, content=_hash(str(file))), file)


def _look_into(look: Look, archive: Path) -> Iterator[Look]:
    from medtl.scans.source import members

    empty = True
    for member in members(archive):
        empty = False
        yield from look_at(str(member), look.root)
    if empty:
        yield replace(look, status="set aside", reason="a zip archive without files", content=_hash(str(archive)))


def _look_at_volumes(look: Look, file: Path) -> Iterator[Look]:
    from medtl.scans.read import volumes_in
    from medtl.scans.volume import data_beside

    number = volumes_in(file)
    if look.kind == "volume" and (voxels := data_beside(file)):
        look = replace(look, content=f"{look.content} {_hash(str(voxels))}")
    if number == 1:
        yield look
    for volume in range(number if number > 1 else 0):
        part = replace(look, volume=str(volume), content=f"{look.content} {volume}")
        yield part.noting(f"volume {volume + 1} of {number} in its file")


def _of_header(header: Header, file: str, root: str) -> Look:
    status, reason, notes, planes = "ok", "", "", header.planes
    if header.kind != "image":
        article = "" if header.kind.startswith(("fiducials", "raw", "real-world")) else "a "
        status, reason = "set aside", f"{article}{header.kind}, not an image"
    elif header.burned_in:
        notes = "burned in: the header says so"
    if status == "ok" and "Secondary Capture" in header.sop_class:
        reason = SCREENSHOT  # set aside where there are scans beside it
    return Look(
        files=(file,),
        root=root,
        kind="dicom",
        status=status,
        reason=reason,
        content=header.sop_uid or _hash(file),
        patient=header.patient_id,
        study=header.study_uid,
        series=header.series_uid,
        modality=header.modality,
        manufacturer=header.manufacturer,
        planes=planes if status == "ok" and _makes_volumes(header) else (),
        notes=notes,
    )


def _makes_volumes(header: Header) -> bool:
    """Whether the file's slices belong to volumes, with those of its series or by themselves."""
    placed = any(plane.placed for plane in header.planes)
    if "Secondary Capture" in header.sop_class:
        return placed
    return header.modality in STACKED or (placed and (header.modality in ("", "OT") or len(header.planes) > 1))


def _hash(file: str, most: int | None = None) -> str:
    """SHA-256 of a file, or of its first bytes and its size."""
    from medtl.scans.source import open_scan

    digest = hashlib.sha256()
    try:
        path = Path(file)
        with path.open("rb") if path.is_file() else open_scan(path) as stream:
            if most is not None:
                digest.update(b"%d" % stream.seek(0, 2))
                stream.seek(0)
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                if most is not None:
                    break
    except (OSError, ScanError):
        return file
    return digest.hexdigest()


def check_pixels(look: Look) -> Look:
    """Decode the scan once: its size, its hashes, what is burned into it, and whether it can be read at all.

    Of a series of many files the middle one is decoded, so that an archive of CTs is indexed in minutes; a damaged
    slice elsewhere is found when the series is read.
    """
    from medtl.scans.burned_in import find_overlay
    from medtl.scans.duplicates import fingerprint, perceptual_hash
    from medtl.scans.read import read_scan

    part = len(look.files) == look.slices > 1 and not look.on_gap  # one slice a file, and nothing to mend
    files = [Path(look.files[len(look.files) // 2])] if part else [Path(file) for file in look.files]
    volume = int(look.volume) if look.volume and not part else None
    try:
        scan = read_scan(files, volume=volume, on_gap=look.on_gap or "error")
    except ScanError as error:
        return replace(look, status="unreadable", reason=str(error), passing=_is_passing(error))
    depth, rows, columns = scan.pixels.shape[:3]
    depth = look.slices if part else depth
    mark = fingerprint(scan)
    overlay = find_overlay(scan)
    look = look.noting(f"burned in: {overlay}" if overlay else "", _rounding(scan))
    return replace(
        look,
        modality=look.modality or scan.modality,
        size=f"{rows} x {columns}" if depth == 1 else f"{depth} x {rows} x {columns}",
        spacing=look.spacing or spacing_in_words(scan.spacing),
        fingerprint=f"{mark}-{len(look.files)}" if part and mark else mark,
        phash=perceptual_hash(scan),
    )


def spacing_in_words(spacing: tuple[float, float, float]) -> str:
    """`5 x 0.75 x 0.75` mm; what is not known is left out."""
    known = [value for value in spacing if value == value]
    return " x ".join(f"{value:.4g}" for value in known) if len(known) >= 2 else ""


def _rounding(scan: Scan) -> str:
    error = scan.header.get("rounded")
    return f"rounded: values by up to {error:g}, float32 holds no more digits" if error else ""
