"""What a DICOM header says, in the words of a person who takes scans."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from medtl.scans.dicom_header import Header
from medtl.scans.dicom_place import Plane, normal

Line = tuple[str, str]

MODALITIES = {
    "CR": "radiograph from an imaging plate",
    "CT": "computed tomography",
    "DX": "digital radiograph",
    "ES": "endoscopy",
    "GM": "microscopy",
    "IO": "dental radiograph",
    "IVUS": "ultrasound from inside a vessel",
    "MG": "mammogram",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OP": "photograph of the eye",
    "OPT": "optical coherence tomography",
    "OT": "of no named kind",
    "PT": "positron emission tomography",
    "PX": "panoramic dental radiograph",
    "RF": "fluoroscopy",
    "RG": "radiograph on film",
    "SM": "slide microscopy",
    "US": "ultrasound",
    "XA": "angiography",
    "XC": "photograph",
}
SYNTAXES = (  # a part of its name in the standard, and how the pixels lie in the file; the first that fits
    ("JPIP", "kept elsewhere, on a server (JPIP)"),
    ("Deflated", "zipped whole (deflated)"),
    ("Big Endian", "not compressed (big endian)"),
    ("Implicit VR", "not compressed (implicit little endian)"),
    ("Explicit VR", "not compressed"),
    ("Encapsulated Uncompressed", "not compressed, in fragments"),
    ("RLE", "run lengths (RLE), no loss"),
    ("JPEG-LS Lossless", "JPEG-LS, no loss"),
    ("JPEG-LS", "JPEG-LS, with a small loss"),
    ("High-Throughput JPEG 2000 Image Compression (Lossless", "high-throughput JPEG 2000, no loss"),
    ("High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless", "high-throughput JPEG 2000, no loss"),
    ("High-Throughput", "high-throughput JPEG 2000, perhaps with loss"),
    ("JPEG 2000 Image Compression (Lossless", "JPEG 2000, no loss"),
    ("JPEG 2000 Part 2 Multi-component Image Compression (Lossless", "JPEG 2000, no loss"),
    ("JPEG 2000", "JPEG 2000, perhaps with loss"),
    ("JPEG Lossless", "JPEG, no loss"),
    ("JPEG Extended", "JPEG of up to 12 bits, with loss"),
    ("JPEG Baseline", "JPEG, with loss"),
    ("MPEG", "video (MPEG), with loss"),
    ("HEVC", "video (HEVC), with loss"),
)
PHOTOMETRIC = {
    "MONOCHROME1": "grey, low values bright (MONOCHROME1); turned when it is read",
    "MONOCHROME2": "grey, high values bright (MONOCHROME2)",
    "PALETTE COLOR": "colours from a table in the header (PALETTE COLOR)",
    "RGB": "red, green and blue",
}
SIDES = (("left", "right"), ("back", "front"), ("head", "feet"))  # where x, y, z of a DICOM file grow and fall
CUTS = ("sagittal", "coronal", "axial")
STRAIGHT = 5.0  # degrees off an axis that count as none


def kind_lines(header: Header) -> Iterator[Line]:
    """What it is, and of which machine."""
    yield "DICOM", f"{header.kind} ({header.sop_class})" if header.sop_class else header.kind
    if header.modality:
        words = MODALITIES.get(header.modality)
        yield "modality", f"{header.modality}, {words}" if words else header.modality
    machine = " ".join(part for part in (header.manufacturer, header.model) if part)
    if machine:
        yield "machine", machine
    if header.transfer_syntax:
        words = next((words for part, words in SYNTAXES if part in header.transfer_syntax), "")
        yield "stored", f"{words}: {header.transfer_syntax}" if words else header.transfer_syntax


def place_lines(header: Header) -> Iterator[Line]:
    """Where its slices lie in the patient."""
    placed = [plane for plane in header.planes if plane.placed]
    if not placed:
        if header.kind == "image":
            yield "place", "not said: no position, orientation or pixel spacing in the header"
        return
    first = placed[0]
    assert first.position is not None and first.orientation is not None
    yield "cut", cut_in_words(normal(first.orientation))
    across, down = (_towards(first.orientation[at : at + 3]) for at in (0, 3))
    yield "directions", f"a row runs to the {across}, a column to the {down}"
    yield "position", f"{_numbers(first.position)} mm (to the left, back and head), the centre of the first pixel"
    if len(placed) > 1:
        yield "slices in it", f"{len(placed)}, the last at {_numbers(placed[-1].position or ())} mm"
    yield "pixels", f"{first.spacing[0]:.4g} x {first.spacing[1]:.4g} mm (between rows x between columns)"
    yield from _thickness(first)


def _thickness(plane: Plane) -> Iterator[Line]:
    if math.isfinite(plane.thickness):
        yield "thickness", f"{plane.thickness:.4g} mm"
    if math.isfinite(plane.between):
        yield "from slice to slice", f"{plane.between:.4g} mm, as the header says; the positions decide"


def pixel_lines(elements: Any) -> Iterator[Line]:
    """How pixels are stored, from the header's fields (`Elements`)."""
    rows, columns = elements.get("Rows"), elements.get("Columns")
    frames = elements.get("NumberOfFrames") or 1
    if rows and columns:
        yield "matrix", f"{rows} rows x {columns} columns" + (f", {frames} frames" if frames != 1 else "")
    stored, allocated = elements.get("BitsStored"), elements.get("BitsAllocated")
    if stored or allocated:
        signed = "signed" if elements.get("PixelRepresentation") == 1 else "unsigned"
        room = f" in {allocated}" if allocated and allocated != stored else ""
        yield "bits", f"{stored or allocated}{room}, {signed}"
    photometric = str(elements.get("PhotometricInterpretation") or "").upper()
    if photometric:
        fallback = f"brightness and colour apart ({photometric})" if photometric.startswith("YBR") else photometric
        yield "colours", PHOTOMETRIC.get(photometric, fallback)
    slope, intercept = elements.get("RescaleSlope"), elements.get("RescaleIntercept")
    if slope is not None or intercept is not None:
        unit = str(elements.get("RescaleType") or "").strip()
        in_unit = f", in {unit}" if unit and unit != "US" else ""
        yield "rescale", f"value = {1 if slope is None else slope:g} x stored + {intercept or 0:g}{in_unit}"
    elif elements.get("ModalityLUTSequence"):
        yield "rescale", "by a table in the header (modality LUT)"
    if str(elements.get("LossyImageCompression") or "") == "01":
        ratio = elements.get("LossyImageCompressionRatio")
        ratio = ratio[-1] if isinstance(ratio, list) and ratio else ratio
        by = f", {ratio:g} to 1" if isinstance(ratio, int | float) else ""
        yield "lost", f"the header says that a lossy compression was once applied{by}"


def cut_in_words(across: Any) -> str:
    """Name the cut whose slice normal is `across`, (3,) in any length: "axial", "oblique, 23 degrees off coronal"."""
    parts = [abs(float(part)) for part in across]
    largest = max(range(3), key=lambda axis: parts[axis])
    angle = math.degrees(math.acos(min(1.0, parts[largest] / math.hypot(*parts))))
    if angle <= STRAIGHT:
        return CUTS[largest]
    return f"oblique, {angle:.0f} degrees off {CUTS[largest]}"


def _towards(direction: Any) -> str:
    """Where a unit vector (LPS) points, by its largest part."""
    axis = max(range(3), key=lambda at: abs(direction[at]))
    return SIDES[axis][0 if direction[axis] > 0 else 1]


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
