"""What a file is, by its first bytes: the name and its ending are never trusted."""

from __future__ import annotations

import zlib
from pathlib import Path

from medtl.errors import ScanError

ENOUGH = 1024  # bytes; every kind is told apart by fewer, a text needs some to be sure
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
OTHER = (  # what else lies in scan folders, in the words of a `reason`
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive: unpack it"),
    (b"GIF8", "a GIF picture: save it as PNG"),
    (b"BM", "a BMP picture: save it as PNG"),
    (b"II*\x00", "a TIFF picture: save it as PNG"),
    (b"MM\x00*", "a TIFF picture: save it as PNG"),
    (b"SQLite format 3", "a database"),
)


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts with these bytes (132 or more) is DICOM, with its preamble or without."""
    if start[128:132] == b"DICM":
        return True
    little, big = start[:2] in (b"\x02\x00", b"\x08\x00"), start[:2] in (b"\x00\x02", b"\x00\x08")
    if not (little or big) or len(start) < 8:
        return False
    element = int.from_bytes(start[2:4], "little" if little else "big")
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    short = int.from_bytes(start[4:8], "little") < 2**16  # an implicit file's first element is short
    return element <= 0x0060 and (explicit or (little and short))


def is_nifti(start: bytes) -> bool:
    """Whether a file that, unpacked, starts with these bytes (348 or more) is NIfTI-1 or NIfTI-2."""
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def is_picture(start: bytes) -> bool:
    """Whether a file that starts with these bytes is PNG or JPEG."""
    return start.startswith((PNG, JPEG))


def sniff(path: str | Path) -> tuple[str, str]:
    """Tell what a file is.

    Returns:
        kind: "dicom", "nifti", "picture" (PNG or JPEG), or "other".
        words: for "other", what it is, as a `reason`: "a text file, not a scan".

    Raises:
        ScanError: the file is empty or cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(ENOUGH)
    except FileNotFoundError as error:
        raise ScanError("the file is not there: index the folder again") from error
    except IsADirectoryError as error:
        raise ScanError("a folder, not a scan: index it") from error
    except OSError as error:
        raise ScanError("the file cannot be read: ask for permission to read it") from error
    if not start:
        raise ScanError("the file is empty: copy or export it again")
    if is_picture(start):
        return "picture", ""
    if start[:2] == b"\x1f\x8b":
        return ("nifti", "") if is_nifti(_unpacked(start)) else ("other", "a compressed file, not a scan: unpack it")
    if is_dicom(start):
        return "dicom", ""
    if is_nifti(start):
        return "nifti", ""
    return "other", _words(start)


def _unpacked(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(start, ENOUGH)
    except zlib.error:
        return b""


def _words(start: bytes) -> str:
    for signature, words in OTHER:
        if start.startswith(signature):
            return words
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        text = start[: error.start].decode() if error.start > len(start) - 4 else "\x00"  # a letter cut in two
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "a text file, not a scan"
    return "not a scan: neither DICOM, NIfTI, PNG nor JPEG"
