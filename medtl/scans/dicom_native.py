"""The pixels of a DICOM file that are not compressed, and the bits of a value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medtl.errors import ScanError
from medtl.scans.dicom_pixel_format import PixelFormat
from medtl.scans.dicom_walk import CUT_OFF


def native(data: bytes, form: PixelFormat, little: bool, swapped: bool = False) -> tuple[np.ndarray, PixelFormat]:
    """Values as they lie in the file.

    Args:
        data: the pixel data.
        form: as the header has it.
        little: the byte order of the values.
        swapped: values of 8 bits lie in big-endian words of 16.

    Returns:
        values: (frames, rows, columns[, 3]), integers with all their allocated bits, or floating point.
        form: how they lie now, channels last.

    Raises:
        ScanError: there are fewer than the header says.
    """
    if swapped:
        data = np.frombuffer(data[: len(data) // 2 * 2], np.uint16).byteswap().tobytes()
    if form.allocated == 1:
        return _bits(data, form), replace(form, allocated=8)
    order, size = "<" if little else ">", form.allocated // 8
    if form.photometric == "YBR_FULL_422" and len(data) < form.size * size:
        return _shared_colour(data, form, f"{order}u{size}"), replace(form, planar=False)
    if len(data) < form.size * size:
        raise ScanError(CUT_OFF)
    values = np.frombuffer(data, f"{order}{'f' if form.real else 'u'}{size}", form.size)
    if form.planar:
        shape = (form.frames, 3, form.rows, form.columns)
        return np.moveaxis(values.reshape(shape), 1, -1), replace(form, planar=False)
    return values.reshape(form.shape), form


def without_unused_bits(values: np.ndarray, form: PixelFormat) -> np.ndarray:
    """The values of the stored bits, signed where they are; what lies in the other bits (an overlay) is left out."""
    if values.dtype.kind == "f":
        return values
    width = 8 * values.itemsize
    above, below = width - 1 - form.high_bit, form.high_bit + 1 - form.stored
    if above < 0:  # a value narrower than the header says, as a codec has it
        above, below = 0, 0
    if not form.signed:
        values = values.view(values.dtype.str.replace("i", "u"))
        if below:
            values = values >> below
        return values & ((1 << form.stored) - 1) if form.stored < width and (above or below) else values
    values = values.view(values.dtype.str.replace("u", "i"))
    if above:
        values = values << above
    return values >> (above + below) if above + below else values


def to_rgb(values: np.ndarray, form: PixelFormat) -> np.ndarray:
    """Luminance and colour (YBR_FULL) to red, green, blue, rounded to whole values (PS3.3 C.7.6.3.1.2)."""
    highest = 2**form.stored - 1
    luminance = values[..., 0].astype(np.float32)
    blue, red = (values[..., channel].astype(np.float32) - (highest + 1) / 2 for channel in (1, 2))
    colours = np.stack(
        (
            luminance + np.float32(1.402) * red,
            luminance - np.float32(0.114 * 1.772 / 0.587) * blue - np.float32(0.299 * 1.402 / 0.587) * red,
            luminance + np.float32(1.772) * blue,
        ),
        axis=-1,
    )
    return np.clip(np.floor(colours + np.float32(0.5)), 0, highest)


def _bits(data: bytes, form: PixelFormat) -> np.ndarray:
    """One bit a value, the lowest of a byte first; frames follow each other without a gap."""
    if 8 * len(data) < form.size:
        raise ScanError(CUT_OFF)
    held = np.frombuffer(data, np.uint8, -(-form.size // 8))
    return np.unpackbits(held, count=form.size, bitorder="little").reshape(form.shape)


def _shared_colour(data: bytes, form: PixelFormat, kind: str) -> np.ndarray:
    """YBR_FULL_422: two pixels, then the colour that both share."""
    pairs = form.size // 6
    if form.columns % 2 or len(data) < 4 * pairs * (form.allocated // 8):
        raise ScanError(CUT_OFF)
    lie = np.frombuffer(data, kind, 4 * pairs).reshape(-1, 4)
    return lie[:, [0, 2, 3, 1, 2, 3]].reshape(form.shape)
