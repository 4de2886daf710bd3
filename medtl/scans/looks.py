"""What indexing learns from a file: what it is, whose it is, and whether its pixels can be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from medtl.errors import ScanError

STACKED = {"CT", "MR", "PT", "NM", "OPT"}  # a series of these is one volume; of all others each file is a picture
CHUNK = 1 << 20


@dataclass(frozen=True)
class Look:
    """One file, or later one scan, as it stands on disk: identifiers are in clear and go no further than the index.

    Attributes:
        files: in slice order; one for a picture.
        root: the indexed folder that they lie in.
        status: "ok", "set aside" or "unreadable", and its `reason`.
        content: what makes it the same scan wherever it lies: a DICOM UID, or the hash of the file.
        stack: "" for a picture, else what the slices of one volume have in common.
        slices: how many places the files of one volume have.
        position: mm along the slice normal, None where the file does not know.
        instance: InstanceNumber, to tell time points apart.
        size: "rows x columns" or "slices x rows x columns".
    """

    files: tuple[Path, ...]
    root: Path
    status: str = "ok"
    reason: str = ""
    content: str = ""
    stack: str = ""
    slices: int = 1
    position: float | None = None
    instance: int = 0
    patient: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    manufacturer: str = ""
    size: str = ""
    fingerprint: str = ""
    phash: str = ""


def look_at(file: Path, root: Path) -> Look:
    """Read what a file is, without its pixels. Never raises for what a file may hold."""
    from medtl.scans.sniff import sniff

    look = Look((file,), root)
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return replace(look, status="unreadable", reason="the file's name is not UTF-8: rename it", content=repr(file))
    try:
        kind, words = sniff(file)
        if kind == "dicom":
            return _look_at_dicom(look)
        if kind == "other":
            look = replace(look, status="set aside", reason=words)
    except ScanError as error:
        look = replace(look, status="unreadable", reason=str(error))
    return replace(look, content=_hash(file))


def _look_at_dicom(look: Look) -> Look:
    from medtl.scans.dicom import read_header

    header = read_header(look.files[0])
    look = replace(
        look,
        content=header.sop_uid or _hash(look.files[0]),
        patient=header.patient_id,
        study=header.study_uid,
        series=header.series_uid,
        modality=header.modality,
        manufacturer=header.manufacturer,
    )
    if header.kind != "image":
        article = "" if header.kind.startswith(("fiducials", "raw", "real-world")) else "a "
        return replace(look, status="set aside", reason=f"{article}{header.kind}, not an image")
    stacked = header.modality in STACKED or (header.modality in ("", "OT") and header.position is not None)
    if not stacked or not header.series_uid:
        return look
    # A scout with three planes is three stacks of one series.
    direction = [f"{value + 0.0:.2f}" for value in header.orientation or ()]
    # Some anonymisers give two patients' series one UID.
    who = (header.patient_id, header.study_uid)
    stack = "|".join([header.series_uid, str(header.rows), str(header.columns), *direction, *who])
    return replace(look, stack=stack, position=header.position, instance=header.instance or 0)


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return str(file)
    return digest.hexdigest()


def check_pixels(look: Look) -> Look:
    """Decode the scan once: its size, its hashes, and whether it can be read at all.

    Of a series of many files the middle one is decoded, so that an archive of CTs is indexed in minutes; a damaged
    slice elsewhere is found when the series is read.
    """
    from medtl.scans.duplicates import fingerprint, perceptual_hash
    from medtl.scans.read import read_scan

    many = len(look.files) > 1
    try:
        scan = read_scan([look.files[len(look.files) // 2]] if many else look.files)
    except ScanError as error:
        return replace(look, status="unreadable", reason=str(error))
    depth, rows, columns = scan.pixels.shape[:3]
    depth *= look.slices
    size = f"{rows} x {columns}" if depth == 1 else f"{depth} x {rows} x {columns}"
    mark = fingerprint(scan)
    return replace(
        look,
        modality=look.modality or scan.modality,
        size=size,
        fingerprint=f"{mark}-{len(look.files)}" if many and mark else mark,
        phash=perceptual_hash(scan),
    )
