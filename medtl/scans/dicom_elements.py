"""One DICOM file's header: found by `dicom_walk`, decoded field by field when asked for, as pydicom decodes it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from struct import Struct, unpack
from typing import Any, BinaryIO

from medtl.errors import ScanError
from medtl.scans.dicom_walk import (
    BIG,
    BIG_ENDIAN,
    DAMAGED,
    DEEPEST,
    DEFLATED,
    IMPLICIT,
    LITTLE,
    LONG,
    SHORT,
    UNDEFINED,
    Layout,
    Layouts,
    Order,
    begins_at,
    is_vr,
    layout_of,
    past,
    walk,
)
from medtl.scans.quiet import without_warnings
from medtl.scans.sniff import is_dicom
from medtl.scans.source import GZIP, LARGE, RATIO, open_scan

FIRST = 1 << 16  # bytes read at first; the header of a CT, an MR or a radiograph has 2,000 to 20,000
LONGEST = 1 << 26  # bytes read at most in search of the pixels; an enhanced CT of 10,000 frames has 20 million
PADDING = " \0"
EXPLICIT = "1.2.840.10008.1.2.1"
CUT_OFF = "the file is cut off: its pixels end before they should, copy or export it again"
UNREADABLE = "the file cannot be read: ask for permission to read it"
NO_PIXELS = "the file ends before its pixels begin: it is cut off, copy or export it again"

_layouts = Layouts()


class Elements:
    """The fields of a DICOM header, or of one item of a sequence in it; `get` and `in` as pydicom's Dataset has them.

    Attributes:
        implicit: the VRs are left out in the file.
        size: bytes of the file, unpacked; of its inflated part, where it is deflated, only as far as it was read.
    """

    __slots__ = (
        "_cached", "_data", "_decoders", "_depth", "_keys", "_layout", "_order", "_parent", "_pixels", "_simple",
        "_where", "implicit", "size",
    )  # fmt: skip

    def __init__(
        self,
        data: bytes,
        where: dict[int, int],
        order: Order,
        implicit: bool,
        parent: Elements | None = None,
        layout: Layout | None = None,
        size: int = 0,
    ) -> None:
        """`where`: key -> offset in `data`, as `dicom_walk.walk` notes it."""
        self._data, self._where, self._order, self.implicit = data, where, order, implicit
        self._parent, self._layout, self.size = parent, layout, size
        self._keys, self._decoders = _KEYS[order.little], _DECODERS[order.little]
        self._simple: dict[int, Any] = {} if layout is None else layout.simple
        self._depth: int = parent._depth + 1 if parent else 0
        self._cached: dict[int, list[Elements]] | None = None
        self._pixels: bytes | None = None

    def get(self, name: str | tuple[int, int], default: Any = None) -> Any:
        """The value of a field, by its keyword or its (group, element).

        Returns:
            float for DS, FD and FL; int for IS, US, SS, UL, SL and AT (the tag as one number); str, stripped of its
            padding; list[Elements] for a sequence; bytes for OB, OW, OF and what is not known. A list where there are
            several values. nan where a number is none. `default` where the field is absent, empty or cannot be read.
        """
        key = self._keys[name]
        simple = self._simple.get(key)
        if simple is not None:
            decode, start, end = simple
            try:
                value = decode(self._data[start:end])
            except UnicodeError:  # beyond ASCII
                value = _parts(self._text(self._data[start:end]), decode is _names)
            return default if value is None else value
        at = self._where.get(key)
        if at is None:
            return default
        vr, start, length = self._span(at, key)
        if vr == "SQ":
            value = self._sequence(key, start, length)
        elif not length:
            return default
        else:
            value = self._decode(vr, key, self._raw(start, length))
            decode = self._decoders.get(vr)
            if decode and length != UNDEFINED and vr.encode() == self._data[at + 4 : at + 6] and vr != "SS":
                self._simple[key] = decode, start, start + length
        return default if value is None else value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | tuple) and self._keys[name] in self._where

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The (group, element) of each field, as they stand in the file."""
        for key in self._where:
            tag = self._order.key(key)
            yield tag >> 16, tag & 0xFFFF

    @property
    def little(self) -> bool:
        """Whether numbers are little endian."""
        return self._order.little

    @property
    def file_meta(self) -> Elements:
        """The fields of the file meta group."""
        return Elements(self._data, self._layout.meta if self._layout else {}, LITTLE, False)

    @property
    def transfer_syntax(self) -> Any:
        """The transfer syntax, a pydicom UID; where the file names none, the one in which it is written."""
        from pydicom.config import IGNORE
        from pydicom.uid import UID

        return UID(self.syntax, IGNORE)

    @property
    def syntax(self) -> str:
        """As `transfer_syntax`, in plain text."""
        named = self._layout.syntax if self._layout else ""
        return named or (IMPLICIT if self.implicit else EXPLICIT if self.little else BIG)

    @property
    def whole(self) -> bool:
        """Whether the header is there to its end."""
        return self._layout is None or self._layout.whole

    @property
    def pixels_at(self) -> tuple[int, int | None, str] | None:
        """Where the pixels lie in the file (with its data set inflated, if it is deflated): offset, bytes, keyword.

        The bytes are None for encapsulated pixels, of undefined length. None where there are no pixels, or the header
        is cut off.
        """
        at = self._layout.pixels if self._layout else None
        if at is None:
            return None
        key, vr, length = self._order.head(self._data, at)
        # as found, whatever the transfer syntax says
        four = self.implicit or not is_vr(vr)
        start = at + 8 if four or vr not in LONG else at + 12
        if four or vr in LONG:
            if len(self._data) < start:
                return None
            (length,) = self._order.word(self._data, start - 4)
        return start, None if length == UNDEFINED else length, self._order.pixels[key]

    def pixel_bytes(self) -> bytes:
        """The pixel data as stored: of encapsulated pixels, the items without the delimiter after them.

        Raises:
            ScanError: they were not read (`read_elements(path, pixels=True)`).
        """
        if self._pixels is None:
            raise ScanError(NO_PIXELS)
        return self._pixels

    def to_pydicom(self, *keywords: str | tuple[int, int], pixels: bool = False) -> Any:
        """A pydicom Dataset with these fields, or with all; `pixels`: the pixel data too, where they were read."""
        from pydicom.dataelem import DataElement, RawDataElement
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.sequence import Sequence
        from pydicom.tag import Tag

        keys = [self._keys[name] for name in keywords] if keywords else list(self._where)
        elements: dict[Any, Any] = {}
        for key in keys:
            at = self._where.get(key)
            if at is None:
                continue
            tag = Tag(self._order.key(key))
            vr, start, length = self._span(at, key)
            if vr == "SQ":
                items = [item.to_pydicom() for item in self._sequence(key, start, length) or []]
                elements[tag] = DataElement(tag, vr, Sequence(items), start, length == UNDEFINED)
            else:
                if vr == "US or SS":
                    vr = "SS" if self._signed() else "US"
                value = self._raw(start, length)
                elements[tag] = RawDataElement(tag, vr, len(value), value, start, self.implicit, self.little)
        dataset = Dataset(elements)
        dataset.set_original_encoding(self.implicit, self.little, self._encodings())
        if self._layout:
            dataset.file_meta = FileMetaDataset()
            with without_warnings:
                dataset.file_meta.TransferSyntaxUID = self.transfer_syntax
        if pixels and self._pixels is not None and self.pixels_at:
            _, known, keyword = self.pixels_at
            vr = {"PixelData": "OB" if known is None else "OW", "FloatPixelData": "OF"}.get(keyword, "OD")
            tag = Tag(keyword)
            dataset[tag] = DataElement(tag, vr, self._pixels, is_undefined_length=known is None, already_converted=True)
        return dataset

    def _span(self, at: int, key: int) -> tuple[str, int, int]:
        """The VR in force, the offset of the value, and its length, of the element at an offset."""
        _, vr, length = self._order.head(self._data, at)
        if not self.implicit and vr in SHORT:
            return vr.decode(), at + 8, length
        if not self.implicit and vr in LONG:
            (length,) = self._order.word(self._data, at + 8)
            start = at + 12
            if vr != b"UN":
                return vr.decode(), start, length
            return self._vr_of(key, start, length, unknown=True), start, length
        if not self.implicit and is_vr(vr):
            return vr.decode("latin-1"), at + 8, length
        (length,) = self._order.word(self._data, at + 4)
        return self._vr_of(key, at + 8, length), at + 8, length

    def _vr_of(self, key: int, start: int, length: int, unknown: bool = False) -> str:
        """The VR that the standard gives a field, where the file gives none or "UN"."""
        if length == UNDEFINED:
            if unknown:
                return "SQ"
        elif unknown and length >= 0xFFFF:
            return "UN"
        tag = self._order.key(key)
        group, element = tag >> 16, tag & 0xFFFF
        vr = "" if group % 2 else _VRS[tag]
        if vr:
            return vr
        if length == UNDEFINED:
            return "SQ" if self._order.bare(self._data, start)[0] == self._order.item else "UN"
        if element == 0:
            return "UL"
        if group % 2 == 0:
            return "UN"
        if 0x10 <= element <= 0xFF:
            return "LO"
        return _private_vr(tag, self.get((group, element >> 8)))

    def _raw(self, start: int, length: int) -> bytes:
        if length == UNDEFINED:
            end = past(self._data, start, len(self._data), self._order, self.implicit, self._depth + 1)
            return self._data[start : end - 8]
        return self._data[start : start + length]

    def _decode(self, vr: str, key: int, value: bytes) -> Any:
        if vr == "US or SS":
            vr = "SS" if self._signed() else "US"
        elif vr == "US or OW":  # a table of one entry is a number
            table = self.get("LUTDescriptor")
            vr = "US" if isinstance(table, list) and table[0] == 1 else "OW"
        decode = self._decoders.get(vr)
        if decode is None:
            return self._text(value).rstrip(PADDING) or None if vr in ("LT", "ST", "UT") else value
        try:
            found = decode(value)
        except UnicodeError:
            return _parts(self._text(value), decode is _names)
        if vr == "SS" and isinstance(found, list) and found[0] < 0 and self._order.key(key) in _TABLES:
            found[0] += 65536  # how many entries there are has no sign
        return found

    def _text(self, value: bytes) -> str:
        """Text that may be in the file's own character set."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        return _in_character_set(value, self._encodings())

    def _signed(self) -> bool:
        """Whether the pixels are, as this item says, or else what it lies in."""
        level: Elements | None = self
        while level is not None:
            signed = level.get("PixelRepresentation")
            if isinstance(signed, int):
                return signed != 0
            level = level._parent
        return False

    def _encodings(self) -> list[str]:
        """Python's names of the character sets in force here."""
        level: Elements | None = self
        while level is not None:
            if "SpecificCharacterSet" in level:
                return _python_encodings(level.get("SpecificCharacterSet"))
            level = level._parent
        return ["iso8859"]

    def _sequence(self, key: int, start: int, length: int) -> list[Elements] | None:
        if self._cached is None:
            self._cached = {}
        found = self._cached.get(key)
        if found is None:
            found = self._cached[key] = list(self._items(start, length))
        return found or None

    def _items(self, at: int, length: int) -> Iterator[Elements]:
        if self._depth > DEEPEST:
            raise ScanError(DAMAGED)
        data, order = self._data, self._order
        end = len(data) if length == UNDEFINED else min(at + length, len(data))
        while at + 8 <= end:
            key, size = order.bare(data, at)
            at += 8
            if key != order.item:
                return
            stop = end if size == UNDEFINED else min(at + size, end)
            where: dict[int, int] = {}
            implicit = self.implicit or not is_vr(data[at + 4 : at + 6])
            reached, _ = walk(data, at, stop, order, implicit, where, self._depth + 1)
            at = reached + 8 if size == UNDEFINED else stop
            yield Elements(data, where, order, implicit, self)


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


# --- values ---------------------------------------------------------------------------------------------------------


def _parts(text: str, names: bool = False) -> Any:
    """One value, or several, without their padding; nor the "=" for ways of writing a name that are left out."""
    found = [part.strip(PADDING) for part in text.split("\\")] if "\\" in text else text.strip(PADDING)
    if names:
        found = [part.rstrip("=") for part in found] if isinstance(found, list) else found.rstrip("=")
    return found or None


def _letters(value: bytes) -> Any:
    if b"\x1b" in value:  # what follows is in another character set
        raise UnicodeError
    return _parts(value.decode("ascii"))


def _names(value: bytes) -> Any:
    if b"\x1b" in value:
        raise UnicodeError
    return _parts(value.decode("ascii"), names=True)


def _codes(value: bytes) -> Any:
    text = value.decode("latin-1").strip(PADDING)
    if "\\" in text:
        return [part.strip(PADDING) for part in text.split("\\")]
    return text or None


def _address(value: bytes) -> str | None:
    return value.decode("latin-1").rstrip(PADDING) or None


def _decimal(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _integer(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        number = _decimal(text)
        return int(number) if number.is_integer() else math.nan


def _decimals(value: bytes) -> Any:
    try:  # nearly always
        return [float(part) for part in value.split(b"\\")] if b"\\" in value else float(value)
    except ValueError:
        found = _codes(value)
        return [_decimal(part) for part in found] if isinstance(found, list) else found and _decimal(found)


def _integers(value: bytes) -> Any:
    try:
        return int(value)
    except ValueError:
        found = _codes(value)
        return [_integer(part) for part in found] if isinstance(found, list) else found and _integer(found)


def _numbers(sign: str, kind: str) -> Callable[[bytes], Any]:
    one = Struct(sign + kind)
    size, unpack_one = one.size, one.unpack

    def decode(value: bytes) -> Any:
        if len(value) == size:
            return unpack_one(value)[0]
        count = len(value) // size
        if not count or count * size != len(value):
            return None
        return list(unpack(f"{sign}{count}{kind}", value))

    return decode


def _tags(sign: str) -> Callable[[bytes], Any]:
    numbers = _numbers(sign, "H")

    def decode(value: bytes) -> Any:
        if not value or len(value) % 4:
            return None
        halves = numbers(value)
        tags = [group << 16 | element for group, element in zip(halves[::2], halves[1::2], strict=True)]
        return tags[0] if len(tags) == 1 else tags

    return decode


def _decoders(sign: str) -> dict[str, Callable[[bytes], Any]]:
    kinds = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
    return {
        **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM", "UI"), _codes),
        **dict.fromkeys(("LO", "SH", "UC"), _letters),
        "PN": _names,
        **{vr: _numbers(sign, kind) for vr, kind in kinds.items()},
        "AT": _tags(sign),
        "DS": _decimals,
        "IS": _integers,
        "UR": _address,
    }


_DECODERS = {True: _decoders("<"), False: _decoders(">")}
_TABLES = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))  # descriptors of lookup tables


def _in_character_set(value: bytes, encodings: list[str]) -> str:
    from pydicom.charset import decode_bytes
    from pydicom.values import TEXT_VR_DELIMS

    with without_warnings:
        try:
            return decode_bytes(value, encodings, TEXT_VR_DELIMS)
        except (LookupError, ValueError):
            return value.decode("latin-1")


def _python_encodings(named: Any) -> list[str]:
    from pydicom.charset import convert_encodings

    with without_warnings:
        try:
            return convert_encodings(named)
        except (LookupError, TypeError, ValueError):  # a field that is damaged
            return ["iso8859"]


class _Keys(dict[str | tuple[int, int], int]):
    """Keyword or (group, element) -> key, looked up in the standard once."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __missing__(self, name: str | tuple[int, int]) -> int:
        from pydicom.datadict import tag_for_keyword

        tag = tag_for_keyword(name) if isinstance(name, str) else name[0] << 16 | name[1]
        self[name] = key = -1 if tag is None else self._order.key(tag)
        return key


class _Vrs(dict[int, str]):
    """Tag -> VR of the standard, "" where it has none."""

    def __missing__(self, tag: int) -> str:
        from pydicom.datadict import dictionary_VR

        try:
            vr = dictionary_VR(tag)
        except KeyError:
            return ""
        self[tag] = str(vr)
        return self[tag]


_KEYS = {True: _Keys(LITTLE), False: _Keys(BIG_ENDIAN)}
_VRS = _Vrs()


def _private_vr(tag: int, creator: Any) -> str:
    from pydicom.datadict import private_dictionary_VR

    try:
        return str(private_dictionary_VR(tag, creator)) if isinstance(creator, str) else "UN"
    except KeyError:
        return "UN"
