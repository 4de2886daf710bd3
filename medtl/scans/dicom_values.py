"""What the bytes of a DICOM value stand for, by its type (VR); and the standard's dictionary, which pydicom has.

pydicom is loaded when a field, or a character set, is asked for that was not asked for before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from struct import Struct, unpack
from typing import Any

from medtl.scans.dicom_walk import BIG_ENDIAN, LITTLE, Order
from medtl.scans.quiet import without_warnings

PADDING = " \0"


def parts(text: str, names: bool = False) -> Any:
    """One value, or several, without their padding; nor the "=" for ways of writing a name that are left out."""
    found = [part.strip(PADDING) for part in text.split("\\")] if "\\" in text else text.strip(PADDING)
    if names:
        found = [part.rstrip("=") for part in found] if isinstance(found, list) else found.rstrip("=")
    return found or None


def _letters(value: bytes) -> Any:
    if b"\x1b" in value:  # what follows is in another character set
        raise UnicodeError
    return parts(value.decode("ascii"))


def names(value: bytes) -> Any:
    """Persons' names, of ASCII letters only; UnicodeError for others."""
    if b"\x1b" in value:
        raise UnicodeError
    return parts(value.decode("ascii"), names=True)


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
        "PN": names,
        **{vr: _numbers(sign, kind) for vr, kind in kinds.items()},
        "AT": _tags(sign),
        "DS": _decimals,
        "IS": _integers,
        "UR": _address,
    }


DECODERS = {True: _decoders("<"), False: _decoders(">")}
TABLES = frozenset((0x00281101, 0x00281102, 0x00281103, 0x00283002))  # descriptors of lookup tables


def in_character_set(value: bytes, encodings: list[str]) -> str:
    """Text in a file's own character sets, by Python's names for them; what does not fit is replaced."""
    from pydicom.charset import decode_bytes
    from pydicom.values import TEXT_VR_DELIMS

    with without_warnings:
        try:
            return decode_bytes(value, encodings, TEXT_VR_DELIMS)
        except (LookupError, ValueError):
            return value.decode("latin-1")


def python_encodings(named: Any) -> list[str]:
    """Python's names of the character sets that SpecificCharacterSet names."""
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


KEYS = {True: _Keys(LITTLE), False: _Keys(BIG_ENDIAN)}
VRS = _Vrs()


def private_vr(tag: int, creator: Any) -> str:
    """The VR of a maker's own field, "UN" where it is not known."""
    from pydicom.datadict import private_dictionary_VR

    try:
        return str(private_dictionary_VR(tag, creator)) if isinstance(creator, str) else "UN"
    except KeyError:
        return "UN"
