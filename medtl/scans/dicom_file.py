"""A DICOM file, opened wherever it lies: its header, its pixel data as they are stored, and whether it is cut off."""

from __future__ import annotations

import zlib
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from medtl.errors import ScanError
from medtl.scans.dicom_elements import NO_PIXELS, Elements
from medtl.scans.dicom_walk import CUT_OFF, DAMAGED, DEFLATED, Layout, Layouts, begins_at, layout_of, past
from medtl.scans.sniff import is_dicom
from medtl.scans.source import GZIP, LARGE, RATIO, open_scan

FIRST = 1 << 16  # bytes read at first; the header of a CT, an MR or a radiograph has 2,000 to 20,000
LONGEST = 1 << 26  # bytes read at most in search of the pixels; an enhanced CT of 10,000 frames has 20 million
UNREADABLE = "the file cannot be read: ask for permission to read it"

_layouts = Layouts()


def read_elements(path: str | Path, pixels: bool = False) -> Elements:
    """Read a DICOM file's header, and with `pixels` its pixel data as they are stored.

    Raises:
        ScanError: it is no DICOM; it is not there, or cannot be read; with `pixels`, it is cut off.
    """
    file, start = open_dicom(path)
    with file:
        try:
            elements = parse(file, start)
            if pixels:
                elements._pixels = _pixels(elements, file)
        except OSError as error:
            raise ScanError(UNREADABLE) from error
        return elements


def open_dicom(path: str | Path) -> tuple[BinaryIO, bytes]:
    """Open a file, unpacked where it lies in an archive or is packed itself, and read its first bytes."""
    file: Any
    try:
        file = FileIO(path)
        start = file.read(FIRST)
        if start[:2] != GZIP:
            return file, start
        file.close()
    except (OSError, ValueError):
        pass  # it may lie in an archive; or else what is wrong is said there
    file = open_scan(path)
    try:
        return file, file.read(FIRST)
    except OSError as error:
        file.close()
        raise ScanError(UNREADABLE) from error


def parse(file: BinaryIO, start: bytes) -> Elements:
    """The header of an open file that begins with `start`; little more is read of it than that.

    Raises:
        ScanError: it is no DICOM, or makes no sense.
    """
    if start[128:132] != b"DICM" and not is_dicom(start):
        raise ScanError("not a DICOM file")
    size = file.seek(0, 2)
    data, layout = start, _layouts.find(start, size)
    if layout is None:
        layout = layout_of(data, size)
        if layout is not None:
            _layouts.keep(data, size, layout)
    while layout is None:
        file.seek(0)
        data = file.read(len(data) * 4)
        layout = layout_of(data, size if len(data) < LONGEST else len(data))
    if layout.syntax == DEFLATED:
        data, layout = _inflated(file, data)
        size = len(data)
    return Elements(data, layout.where, layout.order, layout.implicit, layout=layout, size=size)


def _inflated(file: BinaryIO, data: bytes) -> tuple[bytes, Layout]:
    """The header of a deflated file, and as much of its inflated data as it takes."""
    begin, most = begins_at(data), FIRST
    file.seek(begin)
    packed = file.read()
    while True:
        inflated = _inflate(packed, most)
        whole = data[:begin] + inflated
        more = len(inflated) == most and most < LONGEST
        layout = layout_of(whole, len(whole) + more, begin)
        if layout is not None:
            return whole, layout
        most *= 4


def _inflate(packed: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    except zlib.error as error:
        raise ScanError(DAMAGED) from error


def _pixels(elements: Elements, file: BinaryIO) -> bytes | None:
    """The pixel data of an open file whose header was read; None where it is no picture."""
    place = elements.pixels_at
    if place is None:
        return None
    start, length, _ = place
    data, layout = elements._data, elements._layout
    assert layout is not None
    if layout.syntax == DEFLATED:
        begin = begins_at(data)
        packed_size = file.seek(0, 2) - begin
        most = max(LARGE, RATIO * packed_size) if length is None else start + length - begin
        if most > max(LARGE, RATIO * packed_size):
            raise ScanError(CUT_OFF)
        file.seek(begin)
        rest = _inflate(file.read(), max(1, most))[start - begin :]
    elif elements.size <= len(data):
        rest = data[start:] if length is None else data[start : start + length]
    elif length is not None and start + length > elements.size:
        raise ScanError(CUT_OFF)
    else:
        file.seek(start)
        rest = file.read(elements.size - start if length is None else length)
    if length is not None:
        if len(rest) < length:
            raise ScanError(CUT_OFF)
        return rest
    end = past(rest, 0, len(rest), layout.order, layout.implicit, 1)
    if end > len(rest) or layout.order.bare(rest, 0)[0] not in (layout.order.item, layout.order.sequence_end):
        raise ScanError(CUT_OFF)
    return rest[: end - 8]


def refuse_cut_off(elements: Elements, file: BinaryIO) -> None:
    """Follow the pixel data to its end, without reading it.

    Raises:
        ScanError: the file ends before its pixels do.
    """
    place = elements.pixels_at
    if place is None:
        raise ScanError(NO_PIXELS)
    at, length, _ = place
    if elements.syntax == DEFLATED:
        return  # its pixels are inside a compressed stream: reading them tells
    if length is not None:
        if at + length > elements.size:
            raise ScanError(CUT_OFF)
        return
    order = elements._order
    while True:  # fragments, up to the delimiter
        if at + 8 <= len(elements._data):
            item = elements._data[at : at + 8]
        else:
            file.seek(at)
            item = file.read(8)
        if len(item) < 8:
            raise ScanError(CUT_OFF)
        key, length = order.bare(item, 0)
        if key == order.sequence_end:
            return
        if key != order.item:
            raise ScanError(CUT_OFF)
        at += 8 + length
