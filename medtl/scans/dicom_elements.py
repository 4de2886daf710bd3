"""One DICOM header: found by `dicom_walk`, decoded field by field when asked for, as pydicom decodes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medtl.errors import ScanError
from medtl.scans.dicom_values import (
    DECODERS,
    KEYS,
    PADDING,
    TABLES,
    VRS,
    in_character_set,
    names,
    parts,
    private_vr,
    python_encodings,
)
from medtl.scans.dicom_walk import (
    BIG,
    DAMAGED,
    DEEPEST,
    IMPLICIT,
    LITTLE,
    LONG,
    SHORT,
    UNDEFINED,
    Layout,
    Order,
    is_vr,
    past,
    walk,
)

EXPLICIT = "1.2.840.10008.1.2.1"
NO_PIXELS = "the file ends before its pixels begin: it is cut off, copy or export it again"


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
        self._keys, self._decoders = KEYS[order.little], DECODERS[order.little]
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
                value = parts(self._text(self._data[start:end]), decode is names)
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
        vr = "" if group % 2 else VRS[tag]
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
        return private_vr(tag, self.get((group, element >> 8)))

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
            return parts(self._text(value), decode is names)
        if vr == "SS" and isinstance(found, list) and found[0] < 0 and self._order.key(key) in TABLES:
            found[0] += 65536  # how many entries there are has no sign
        return found

    def _text(self, value: bytes) -> str:
        """Text that may be in the file's own character set."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        return in_character_set(value, self._encodings())

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
                return python_encodings(level.get("SpecificCharacterSet"))
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
