"""What a DICOM file is, from its header alone: an image or what else, whose, of what, and whether it is cut off.

The header's fields are read by `dicom_elements`; indexing reads ten thousands of files, so pydicom, which takes ten
times as long, only lends its dictionary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from medtl.errors import ScanError
from medtl.scans.dicom_elements import NO_PIXELS, Elements
from medtl.scans.dicom_file import CUT_OFF, UNREADABLE, open_dicom, parse, read_elements, refuse_cut_off
from medtl.scans.dicom_place import Plane, planes_of

__all__ = ["CUT_OFF", "KINDS", "NO_PIXELS", "Elements", "Header", "kind_of", "read_elements", "read_header"]

# What a SOP class is called in words, by a part of its name in the standard; the first that fits.
KINDS = (
    ("Media Storage Directory", "DICOMDIR"),
    ("SR Storage", "structured report"),
    ("SR for", "structured report"),
    ("Structured Report", "structured report"),
    ("Radiation Dose SR", "structured report"),
    ("Key Object", "key object selection"),
    ("Presentation State", "presentation state"),
    ("Waveform", "waveform"),
    ("ECG", "waveform"),
    ("Encapsulated", "encapsulated document"),
    ("Surface Segmentation", "segmentation"),
    ("Segmentation", "segmentation"),
    ("RT Image", "image"),
    ("RT ", "radiotherapy object"),
    ("Whole Slide", "whole-slide microscopy"),
    ("Color Palette", "colour palette"),
    ("Registration", "registration"),
    ("Fiducials", "fiducials"),
    ("Raw Data", "raw data"),
    ("Real World Value", "real-world values"),
    ("Spectroscopy", "spectroscopy"),
    ("Video", "video"),
)
WITHOUT_PICTURE = "DICOM file without a picture"


@dataclass(frozen=True, slots=True)
class Header:
    """What one DICOM file says of itself; identifiers are as they stand in the file, so they go no further than here.

    Attributes:
        kind: "image", or what else it is: "structured report", "DICOMDIR", "presentation state", "segmentation" ...
        sop_class: its name in the standard.
        transfer_syntax: its name in the standard.
        planes: where each frame lies in the patient; none where it is no image.
    """

    kind: str
    modality: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    sop_class: str = ""
    manufacturer: str = ""
    model: str = ""
    photometric: str = ""
    transfer_syntax: str = ""
    burned_in: bool | None = None
    planes: tuple[Plane, ...] = ()


def read_header(path: str | Path) -> Header:
    """Read what a DICOM file is, without its pixels.

    Raises:
        ScanError: it is not DICOM, or it is cut off (in the header, or the pixels are fewer than it promises).
    """
    file, start = open_dicom(path)
    with file:
        return _read(file, start)


def _read(file: BinaryIO, start: bytes) -> Header:
    try:
        elements = parse(file, start)
        header = _header(elements)
        if header.kind == "image":
            refuse_cut_off(elements, file)
    except OSError as error:
        raise ScanError(UNREADABLE) from error
    return header


def header_of_part_10(path: str | Path) -> Header | None:
    """The header of a file that begins as DICOM files do (preamble and DICM); None where it begins otherwise.

    `sniff` knows the others too; this saves an index one opening of each file.

    Raises:
        ScanError: as `read_header`.
    """
    try:
        file, start = open_dicom(path)
    except ScanError:
        return None
    with file:
        return _read(file, start) if start[128:132] == b"DICM" else None


def kind_of(elements: Any) -> str:
    """What a file is in words, "image" or another, from its `Elements` (or a pydicom Dataset with its file meta)."""
    name, rows = _uid_name(_sop_class(elements)), elements.get("Rows")
    kind = _kind(name, bool(rows and elements.get("Columns")))
    return WITHOUT_PICTURE if kind == "image" and not rows and _is_empty_capture(elements, name) else kind


def _is_empty_capture(elements: Any, name: str) -> bool:
    """Whether a header without rows is that of a secondary capture of no picture, and not one that was cut off."""
    return "Secondary Capture" in name and isinstance(elements, Elements) and elements.whole and not elements.pixels_at


def _header(elements: Elements) -> Header:
    get = elements.get
    rows, columns = _whole_number(get("Rows")) or 0, _whole_number(get("Columns")) or 0
    name, kind = _uid_name(_sop_class(elements)), kind_of(elements)
    if not rows and (not name or name.startswith("1.2.840.10008.")):  # cut in the UID
        raise ScanError("the header ends before it says what the file is: the file is cut off")
    if kind == "image" and (rows < 1 or columns < 1):
        raise ScanError("the header ends before it says how large the picture is: the file is cut off")
    return Header(
        kind,
        _text(get("Modality")).upper(),
        _text(get("PatientID")),
        _text(get("StudyInstanceUID")),
        _text(get("SeriesInstanceUID")),
        _text(get("SOPInstanceUID")),
        name,
        _text(get("Manufacturer")),
        _text(get("ManufacturerModelName")),
        _text(get("PhotometricInterpretation")).upper(),
        _uid_name(elements.syntax),
        {"YES": True, "NO": False}.get(_text(get("BurnedInAnnotation")).upper()),
        tuple(planes_of(elements, 0)) if kind == "image" else (),
    )


def _sop_class(elements: Any) -> str:
    named = elements.get("SOPClassUID")
    if not named:
        named = (getattr(elements, "file_meta", None) or {}).get("MediaStorageSOPClassUID")
    return _text(named)


@lru_cache(maxsize=1024)
def _uid_name(uid: str) -> str:
    from pydicom.config import IGNORE
    from pydicom.uid import UID

    return UID(uid, IGNORE).name if uid else ""


@lru_cache(maxsize=1024)
def _kind(name: str, has_size: bool) -> str:
    for part, kind in KINDS:
        if part in name:
            return kind
    return "image" if "Image" in name or has_size else WITHOUT_PICTURE


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, list) else str(value)


def _whole_number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None
