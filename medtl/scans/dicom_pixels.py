"""The values of a DICOM picture: decoded, in real units, red-green-blue where it has colour.

Uncompressed pixels are taken as they lie, compressed ones go to imagecodecs (see `dicom_codecs` for why). Processor
time for a file, header and pixels, in ms, on the files of `dcm_qa_ts` and of pydicom's wheel; all give equal pixels:

    ======================  ========  =================  ==============================
    transfer syntax         here      SimpleITK (GDCM)   pydicom (its fastest plug-in)
    ======================  ========  =================  ==============================
    uncompressed              0.2       1.8                0.8
    RLE                       0.9      15.2                3.6
    JPEG lossless             1.2       4.1                4.2
    JPEG-LS                   3.8       6.2                5.7
    JPEG 2000, 512x512        1.2       3.7                5.3
    JPEG 2000, 384x384       18.6      21.2               21.7
    JPEG, 30 in colour        8.2      45.8               82.6
    JPEG, 12 bits             0.6       2.8                cannot
    palette                   0.9       1.7                0.6 (colours not looked up)
    ======================  ========  =================  ==============================
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.dicom_codecs import decoded
from medtl.scans.dicom_native import native, to_rgb, without_unused_bits
from medtl.scans.dicom_pixel_format import (
    PALETTE,
    YBR,
    PixelFormat,
    photometric,
    pixel_format_of,
    refuse_impossible,
)
from medtl.scans.dicom_tables import look_up, palette, table_of
from medtl.scans.source import open_scan

__all__ = ["photometric", "real_values", "rounding", "slope_of", "stored_range"]

PLAIN = ("1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{number}" for number in ("1", "1.99", "2")))  # not compressed
EXACT = 2**24  # whole numbers up to here are whole numbers in float32
BEYOND = "its values are larger than 32-bit floating point holds: export it with other units"


def real_values(elements: Any, path: str | Path, out: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Decode a picture into the values that its header says they stand for.

    Args:
        elements: the header and pixels of a file: `read_elements(path, pixels=True)`, or `some_frames` of it.
        path: where it came from.
        out: float32 (frames, rows, columns[, 3]) to write into; where it has another shape, a new array is made.

    Returns:
        values: float32 (frames, rows, columns), or (frames, rows, columns, 3) for colour (RGB), after the modality
            LUT or rescale (HU for CT); MONOCHROME1 is not yet turned.
        turn: the lowest plus the highest value that the header allows: `turn - values` is the picture turned.
            nan for colour.

    Raises:
        ScanError: the pixels are cut off, damaged, or of a kind that is not read.
    """
    values, form = _stored(elements, path)
    if form.photometric in YBR:
        return _into(out, to_rgb(values, form)), float("nan")
    if form.photometric == PALETTE:
        first, colours = palette(elements)
        return _into(out, look_up(values, first, colours.astype(np.float32))), float("nan")
    if form.samples == 3:
        if form.photometric != "RGB":  # a transform of JPEG 2000 that no JPEG 2000 decoder has turned back
            raise ScanError(f"its colours are stored as {form.photometric}, which is not read: export it as RGB")
        return _into(out, values), float("nan")
    return _rescaled(values, form, elements, out)


def rounding(elements: Any, path: str | Path = "") -> float:
    """By how much float32 changes a value of this picture, at most, where its whole numbers are too large for it.

    0.0 where all whole numbers, as stored and after the rescale, are within ± 2**24. Decodes only where the header
    allows larger ones.
    """
    form = pixel_format_of(elements)
    if form.real or form.samples == 3 or elements.get("ModalityLUTSequence"):
        return 0.0
    by_frame = _slopes(elements, form.frames)
    low, high = stored_range(form)
    reach = max(abs(value) for value in (low, high))
    if reach <= EXACT and all(abs(s) * reach + abs(i) <= EXACT for s, i in by_frame):
        return 0.0
    values, _ = _stored(elements, path)
    largest = 0.0
    for frame, (slope, intercept) in zip(values, by_frame * (len(values) // len(by_frame)), strict=True):
        exact = frame.astype(np.float64) * slope + intercept
        large = (np.abs(frame.astype(np.float64)) > EXACT) | (np.abs(exact) > EXACT)
        if large.any():
            largest = max(largest, float(np.abs(exact - exact.astype(np.float32))[large].max()))
    return largest


def slope_of(elements: Any, frame: int = 0) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept, of the file or of one frame's functional group; (1, 0) where not said.

    Raises:
        ScanError: they are no numbers, or the slope is 0.
    """
    group: Any = elements
    for where in _functional_groups(elements, frame):
        if items := where.get("PixelValueTransformationSequence"):
            group = items[0]
            break
    slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
    try:
        slope = 1.0 if slope is None else float(slope)
        intercept = 0.0 if intercept is None else float(intercept)
    except (TypeError, ValueError):
        slope = float("nan")
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise ScanError("RescaleSlope or RescaleIntercept in the header makes no sense: the values are not known")
    return slope, intercept


def stored_range(form: PixelFormat) -> tuple[float, float]:
    """The lowest and highest value that the bits allow, as modality and maker meant MONOCHROME1 to be turned."""
    if form.signed:
        return -float(2 ** (form.stored - 1)), float(2 ** (form.stored - 1) - 1)
    return 0.0, float(2**form.stored - 1)


def _functional_groups(elements: Any, frame: int) -> list[Any]:
    """Where an enhanced multi-frame file keeps what belongs to one frame: the frame's own group, then the shared."""
    own = elements.get("PerFrameFunctionalGroupsSequence") or []
    shared = elements.get("SharedFunctionalGroupsSequence") or []
    return [*own[frame : frame + 1], *shared[:1]]


def _stored(elements: Any, path: str | Path) -> tuple[np.ndarray, PixelFormat]:
    """The values as stored, without the bits that they do not use; the header's form, with the colours as decoded."""
    form = pixel_format_of(elements)
    data = elements.pixel_bytes()
    refuse_impossible(form, len(data))
    if elements.syntax not in PLAIN:
        values, made = decoded(data, form, elements.syntax, elements.get("ExtendedOffsetTable"))
    elif elements.pixels_at[1] is None:  # the pixels lie as compressed ones do
        raise ScanError("the header does not say how its pixels are compressed: export the picture uncompressed")
    else:
        swapped = not elements.little and form.allocated <= 8 and _is_word(elements, path)
        values, made = native(data, form, elements.little, swapped)
    return without_unused_bits(values, made), replace(form, photometric=made.photometric)


def _is_word(elements: Any, path: str | Path) -> bool:
    """Whether pixels of 8 bits in a big-endian file are stored in words of 16 bits ("OW")."""
    with open_scan(path) as file:
        file.seek(elements.pixels_at[0] - 8)
        return file.read(2) == b"OW"


def _into(out: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """The values as float32, in `out` where it fits."""
    if out is None or out.shape != values.shape:
        return values.astype(np.float32, copy=not values.flags.writeable)
    np.copyto(out, values, casting="unsafe")
    return out


def _rescaled(values: np.ndarray, form: PixelFormat, elements: Any, out: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Apply the modality LUT or the slope and intercept, each frame its own where the header has them by frame."""
    if form.real:
        low, high = _finite_range(values)
    else:
        low, high = stored_range(form)
        if modality := elements.get("ModalityLUTSequence"):
            first, table = table_of(modality[0])
            allowed = look_up(np.array([low, high]), first, np.arange(len(table)))
            within = table[int(allowed[0]) : int(allowed[1]) + 1]
            return _into(out, look_up(values, first, table)), float(within.min()) + float(within.max())
    by_frame = _slopes(elements, form.frames)
    turn = max(slope * (low + high) + 2 * intercept for slope, intercept in by_frame)
    if set(by_frame) == {(1.0, 0.0)} and not (form.real and values.itemsize == 8):
        return _into(out, values), turn
    if out is None or out.shape != values.shape:
        out = np.empty(values.shape, np.float32)
    for frame, (slope, intercept) in enumerate(by_frame * (len(values) // len(by_frame))):
        largest = max(abs(low), abs(high)) * abs(slope) + abs(intercept)
        if slope.is_integer() and intercept.is_integer() and largest <= EXACT and not form.real:
            np.multiply(values[frame], np.float32(slope), out=out[frame], dtype=np.float32, casting="unsafe")
            out[frame] += np.float32(intercept)
        else:
            if largest > float(np.finfo(np.float32).max):
                raise ScanError(BEYOND)
            out[frame] = values[frame] * np.float64(slope) + intercept
    return out, turn


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ScanError("no pixel has a finite value: export the picture again")
    return float(finite.min()), float(finite.max())


def _slopes(elements: Any, frames: int) -> list[tuple[float, float]]:
    """Slope and intercept of each frame; one pair where all have the same, as a header without frames' own has."""
    if not elements.get("PerFrameFunctionalGroupsSequence"):
        return [slope_of(elements)]
    return [slope_of(elements, frame) for frame in range(frames)]
