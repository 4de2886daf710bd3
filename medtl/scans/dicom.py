"""DICOM: what a file is, from its header alone; and one series' files as a `Scan`.

Headers and pixels are read by pydicom (see `dicom_pixels` for the measurement behind that), places by `dicom_place`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pydicom
from pydicom import config as pydicom_config
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from medtl.errors import ScanError
from medtl.scans.dicom_mosaic import is_mosaic, mosaic_planes, mosaic_slices
from medtl.scans.dicom_pixels import bits, photometric, real_values, refuse_impossible_size, syntax_of
from medtl.scans.dicom_place import Plane, affine_and_spacing, in_order, normal, numbers, planes
from medtl.scans.quiet import Together, without_warnings
from medtl.scans.scan import Scan
from medtl.scans.sniff import is_dicom

CUT_OFF = "the file is cut off: its pixels end before they should, copy or export it again"

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
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "Manufacturer", "ManufacturerModelName", "BurnedInAnnotation",
]  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What one DICOM file says of itself; identifiers are as they stand in the file, so they go no further than here.

    Attributes:
        kind: "image", or what else it is: "structured report", "DICOMDIR", "presentation state", "segmentation" ...
        position: mm along the slice normal (LPS), None where the file does not know.
        orientation: the six numbers of ImageOrientationPatient, None where the file does not know.
        frames: number of frames; 1 for a plain picture.
        transfer_syntax: its name in the standard.
    """

    kind: str
    modality: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    sop_class: str = ""
    instance: int | None = None
    position: float | None = None
    orientation: tuple[float, ...] | None = None
    rows: int = 0
    columns: int = 0
    frames: int = 1
    manufacturer: str = ""
    model: str = ""
    photometric: str = ""
    transfer_syntax: str = ""
    burned_in: bool | None = None


def read_header(path: str | Path) -> Header:
    """Read what a DICOM file is, without its pixels.

    Raises:
        ScanError: it is not DICOM, or it is cut off (in the header, or the pixels are fewer than it promises).
    """
    with without_warnings, _unchecked, _in_plain_words(), Path(path).open("rb") as file:
        if not is_dicom(file.read(132)):
            raise ScanError("not a DICOM file")
        file.seek(0)
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(TAGS))
        header = _header(dataset)
        if not header.rows and (
            not header.sop_class or header.sop_class.startswith("1.2.840.10008.")
        ):  # cut in the UID
            raise ScanError("the header ends before it says what the file is: the file is cut off")
        if header.kind == "image":
            if header.rows < 1 or header.columns < 1:
                raise ScanError("the header ends before it says how large the picture is: the file is cut off")
            _refuse_cut_off(file, dataset, header)
    return header


def read_dicom(files: Sequence[str | Path]) -> Scan:
    """Read one series: its files in any order, or the one file of a picture or a multi-frame object.

    Slices are sorted along their normal. Of several time points at the same place the first is read, and the header
    fact "volumes" says how many there were. Frames of a cine loop, which have no place, become slices as they come.

    Raises:
        ScanError: a file is not an image, is cut off or damaged, or the files do not make one stack.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ScanError("the series has no files")
    with without_warnings, _unchecked, _in_plain_words():
        datasets = [_read_whole(path) for path in paths]
        datasets, paths = _without_copies(datasets, paths)
        slices = [plane for number, dataset in enumerate(datasets) for plane in _planes(dataset, number)]
        volume, volumes = in_order(slices)
        pixels, turn = _stack(volume, datasets, paths)
        first = datasets[volume[0].file]
        facts = _facts(first, turn)
        if volumes > 1:
            facts["volumes"] = volumes
        affine, spacing = affine_and_spacing(volume)
        return Scan(pixels, affine, str(first.get("Modality", "") or "").strip().upper(), spacing, facts)


@contextmanager
def _no_validation() -> Iterator[None]:
    before = pydicom_config.settings.reading_validation_mode
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    try:
        yield
    finally:
        pydicom_config.settings.reading_validation_mode = before


_unchecked = Together(_no_validation)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Whatever a damaged file makes a library raise is a fault of the file, said in one sentence."""
    try:
        yield
    except (ScanError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ScanError("the file is not there any more: index the folder again") from error
    except PermissionError as error:
        raise ScanError("the file may not be read: ask for permission to read it") from error
    except InvalidDicomError as error:
        raise ScanError("not a DICOM file") from error
    except Exception as error:
        raise ScanError("the DICOM file is cut off or damaged: copy or export it again") from error


def _header(dataset: pydicom.Dataset) -> Header:
    sop_class = _sop_class(dataset)
    position = numbers(dataset, "ImagePositionPatient", 3)
    orientation = numbers(dataset, "ImageOrientationPatient", 6)
    return Header(
        kind=_kind(sop_class, dataset),
        modality=_text(dataset, "Modality").upper(),
        patient_id=_text(dataset, "PatientID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        sop_uid=_text(dataset, "SOPInstanceUID"),
        sop_class=sop_class.name if sop_class else "",
        instance=_whole_number(dataset, "InstanceNumber"),
        position=None if position is None or orientation is None else float(position @ normal(orientation)),
        orientation=None if orientation is None else tuple(float(value) for value in orientation),
        rows=_whole_number(dataset, "Rows") or 0,
        columns=_whole_number(dataset, "Columns") or 0,
        frames=_whole_number(dataset, "NumberOfFrames") or 1,
        manufacturer=_text(dataset, "Manufacturer"),
        model=_text(dataset, "ManufacturerModelName"),
        photometric=photometric(dataset),
        transfer_syntax=syntax_of(dataset).name,
        burned_in=_burned_in(dataset),
    )


def _sop_class(dataset: pydicom.Dataset) -> UID:
    meta = getattr(dataset, "file_meta", None) or {}
    return UID(str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""))


def _kind(sop_class: UID, dataset: pydicom.Dataset) -> str:
    for part, kind in KINDS:
        if part in sop_class.name:
            return kind
    if "Image" in sop_class.name or (dataset.get("Rows") and dataset.get("Columns")):
        return "image"
    return "DICOM file without a picture"


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except Exception:  # a field that cannot be decoded is a field that the file does not know
        return ""
    return "" if value is None else str(value).strip().strip("\x00")


def _whole_number(dataset: pydicom.Dataset, keyword: str) -> int | None:
    value = numbers(dataset, keyword, 1)
    return None if value is None else int(value[0])


def _burned_in(dataset: pydicom.Dataset) -> bool | None:
    return {"YES": True, "NO": False}.get(_text(dataset, "BurnedInAnnotation").upper())


def _refuse_cut_off(file: BinaryIO, dataset: pydicom.Dataset, header: Header) -> None:
    """Follow the pixel data to its end; pydicom stopped just before it."""
    if syntax_of(dataset).is_deflated:
        return  # its pixels are inside a compressed stream: reading them tells
    order: Literal["little", "big"] = "little" if dataset.original_encoding[1] else "big"
    size = Path(file.name).stat().st_size
    at = file.tell()
    start = file.read(12)
    if len(start) < 8 or start[:2] != (b"\xe0\x7f" if order == "little" else b"\x7f\xe0"):
        raise ScanError("the file ends before its pixels begin: it is cut off, copy or export it again")
    implicit = start[4:6] not in (b"OB", b"OW", b"OF", b"OD", b"UN")  # as found, whatever the transfer syntax says
    length = int.from_bytes(start[4:8] if implicit else start[8:12], order)
    at += 8 if implicit else 12
    if length != 0xFFFFFFFF:
        if at + length > size:
            raise ScanError(CUT_OFF)
        return
    while True:  # fragments, up to the delimiter
        file.seek(at)
        item = file.read(8)
        if len(item) < 8 or item[:2] != b"\xfe\xff":
            raise ScanError(CUT_OFF)
        if item[2:4] == b"\xdd\xe0":
            return
        at += 8 + int.from_bytes(item[4:8], "little")


def _read_whole(path: Path) -> pydicom.Dataset:
    with path.open("rb") as file:
        if not is_dicom(file.read(132)):
            raise ScanError("not a DICOM file")
    dataset = pydicom.dcmread(path, force=True)
    complete = any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
    kind = _kind(_sop_class(dataset), dataset)
    if kind != "image" or not complete:
        read_header(path)  # which says what a file cut off lacks
        raise ScanError(f"not an image ({kind})" if kind != "image" else CUT_OFF)
    refuse_impossible_size(dataset, path)
    return dataset


def _without_copies(datasets: list[pydicom.Dataset], paths: list[Path]) -> tuple[list[pydicom.Dataset], list[Path]]:
    """The same object sent twice is one slice."""
    seen: dict[tuple[str, str, str], int] = {}
    for number, dataset in enumerate(datasets):
        uid = _text(dataset, "SOPInstanceUID") or f"without a name {number}"
        # some anonymisers give all slices one name: those that lie elsewhere are no copies
        seen.setdefault((uid, _text(dataset, "InstanceNumber"), _text(dataset, "ImagePositionPatient")), number)
    kept = sorted(seen.values())
    return [datasets[number] for number in kept], [paths[number] for number in kept]


def _planes(dataset: pydicom.Dataset, file: int) -> list[Plane]:
    if is_mosaic(dataset):
        return mosaic_planes(dataset, file)
    return planes(dataset, file, _whole_number(dataset, "NumberOfFrames") or 1)


def _stack(
    volume: Sequence[Plane], datasets: list[pydicom.Dataset], paths: list[Path]
) -> tuple[np.ndarray, float | None]:
    """Pixels of the slices in order, MONOCHROME1 turned: here and nowhere else.

    Returns:
        float32 (slices, rows, columns[, 3]); the value about which it was turned, or None.
    """
    decoded: dict[int, np.ndarray] = {}
    turns: dict[int, float] = {}
    for number in sorted({plane.file for plane in volume}):
        values, turn = real_values(datasets[number], paths[number])
        decoded[number] = mosaic_slices(datasets[number], values) if is_mosaic(datasets[number]) else values
        if photometric(datasets[number]) == "MONOCHROME1":
            turns[number] = turn
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if keyword in datasets[number]:
                del datasets[number][keyword]  # a CT of a thousand slices is not held twice
    if len({values.shape[1:] for values in decoded.values()}) > 1:
        raise ScanError("the series holds pictures of different sizes or kinds: index each by itself")
    if turns and len(turns) < len(decoded):
        raise ScanError("the series mixes MONOCHROME1 and MONOCHROME2: export it again")
    if len(decoded) == 1 and [plane.frame for plane in volume] == list(range(len(next(iter(decoded.values()))))):
        pixels = next(iter(decoded.values()))
    else:
        pixels = np.stack([decoded[plane.file][plane.frame] for plane in volume])
    if turns:
        about = max(turns.values())  # one for the series, where each file has its own slope
        return np.subtract(np.float32(about), pixels, dtype=np.float32), about
    return without_false_colour(pixels), None


def without_false_colour(pixels: np.ndarray) -> np.ndarray:
    """A grey picture stored as three equal channels is a grey picture: (..., 3) becomes (...)."""
    if pixels.ndim == 4 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _facts(dataset: pydicom.Dataset, turn: float | None) -> dict[str, Any]:
    """The header facts that later steps need; no identifier, no free text."""
    facts: dict[str, Any] = {
        "manufacturer": _text(dataset, "Manufacturer"),
        "model": _text(dataset, "ManufacturerModelName"),
        "photometric": photometric(dataset),
        "bits": bits(dataset),
    }
    burned_in = _burned_in(dataset)
    if burned_in is not None:
        facts["burned_in"] = burned_in
    centre, width = (_first_number(dataset, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width > 0:
        facts["window_center"] = centre if turn is None else turn - centre
        facts["window_width"] = width
    return facts


def _first_number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    try:
        value = dataset.get(keyword)
        number = float(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None
