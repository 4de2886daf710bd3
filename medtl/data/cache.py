"""Prepared pixels on disk: one .npy file a scan, whole or not used."""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from platformdirs import user_cache_dir

from medtl.files import atomic_write
from medtl.scans.arrays import picture_of
from medtl.scans.source import open_scan, stamp
from medtl.scans.volume import data_beside

#: Rises whenever reading a file, or an entry's form, changes what comes out: older entries are then left unused.
FORMAT = 3

_HEAD = 128  # bytes of a .npy header for four axes
_CHECK = 16
_LENGTH = 4
_CHUNK_BYTES = 1 << 20
#: Use is noted by an entry's date, and no more often than this, in seconds: the date is for finding what is old.
_NOTED = 600.0


class Entry(NamedTuple):
    """What stands in an entry.

    Attributes:
        pixels: float32 (instances, C, H, W), mapped from disk and private to the process.
        told: what was noted about the scan, such as the JSON of its print.
    """

    pixels: np.ndarray
    told: str


def default_folder() -> Path:
    """Where entries lie: MEDTL_CACHE, or the user's cache folder."""
    return Path(os.environ.get("MEDTL_CACHE") or user_cache_dir("medtl"))


def content_key(files: Sequence[Path], volume: int | None = None, on_gap: str = "error") -> str:
    """32 hexadecimal digits of what stands in the files, in their order: BLAKE2b of their bytes, about 1 GB/s.

    The bytes, not their date or path: a file changed in place is noticed, and one moved is still known. Of a header
    with its voxels in a second file both count; of a picture in an array of many, the picture alone.

    Args:
        files: of one scan, also in a zip archive.
        volume: which of several volumes in them is meant, as `medtl.scans.read` takes it.
        on_gap: what is done with a gap, likewise.

    Raises:
        ScanError: a file is not there, or cannot be opened.
    """
    key = hashlib.blake2b(digest_size=16)
    for file in map(Path, files):
        if volume is not None and file.suffix == ".npy":
            picture = picture_of(file, volume)
            key.update(b"%s%s|" % (picture.dtype.str.encode(), repr(picture.shape).encode()) + picture.tobytes())
            return key.hexdigest()
        for part in (file, data_beside(file)):
            if part and volume is None:
                _add_bytes(key, part)
            elif part:  # of a time series every volume asks for the same file
                key.update(_digest(part, *stamp(part)))
    if volume is not None or on_gap != "error":
        key.update(b"|volume %d, %s|" % (-1 if volume is None else volume, on_gap.encode()))
    return key.hexdigest()


def _add_bytes(key: hashlib.blake2b, file: Path) -> None:
    n_bytes = 0
    with open_scan(file, unpack=False) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            key.update(chunk)
            n_bytes += len(chunk)
    key.update(b"|%d|" % n_bytes)  # so that bytes cannot move from one file to the next unseen


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, modified: int) -> bytes:
    key = hashlib.blake2b(digest_size=16)
    _add_bytes(key, file)
    return key.digest()


def entry_path(folder: Path, content: str, recipe_digest: str) -> Path:
    """The entry's place: the first two digits make a folder, so that no folder grows too large to list."""
    return Path(folder) / f"v{FORMAT}" / content[:2] / f"{content}-{recipe_digest[:16]}.npy"


def content_of(entry: Path) -> str:
    """The `content_key` in an entry's name."""
    return entry.name.partition("-")[0]


def store(path: Path, pixels: np.ndarray, told: str = "") -> None:
    """Write an entry: the array as .npy, then what is told of the scan, its length, and a checksum of all before it.

    Args:
        path: from `entry_path`.
        pixels: float32 (instances, C, H, W).
        told: anything.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    pixels = np.ascontiguousarray(pixels, dtype="<f4")
    text = told.encode()
    body = memoryview(pixels.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # mypy knows no array as a buffer
    parts = (_head(pixels.shape), body, text, len(text).to_bytes(_LENGTH, "little"))
    check = hashlib.blake2b(digest_size=_CHECK)
    with atomic_write(path) as part, part.open("wb") as file:
        for each in parts:
            check.update(each)
            file.write(each)
        file.write(check.digest())


def load(path: Path) -> Entry | None:
    """The entry, or None where there is none or it is damaged.

    All of it is read and compared with its checksum, as must be done once, and its use is noted.
    """
    try:
        content = memoryview(Path(path).read_bytes())
    except OSError:
        return None
    body, check = content[:-_CHECK], content[-_CHECK:]
    if len(body) < _HEAD + _LENGTH or hashlib.blake2b(body, digest_size=_CHECK).digest() != check:
        return None
    pixels = mapped(path)
    if pixels is None:
        return None
    _note_use(path)
    length = int.from_bytes(body[-_LENGTH:], "little")
    return Entry(pixels, bytes(body[len(body) - _LENGTH - length : -_LENGTH]).decode())


def mapped(path: str | Path) -> np.ndarray | None:
    """The entry's pixels, float32 (instances, C, H, W), mapped from disk; None where there is none, or another file.

    Nothing is read but what is looked at. The map is private: what is written to the array stays in this process (and
    torch takes it without a warning). It holds a file open as long as the array lives.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            shape = _shape(file.read(_HEAD))
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(whole, "<f4", int(np.prod(shape)), _HEAD).reshape(shape)
    except (OSError, ValueError):
        return None


def read_into(path: str | bytes | Path, out: np.ndarray) -> bool:
    """Copy the entry's pixels into `out`, float32 (instances, C, H, W) and contiguous, in one go.

    For batches, where a map would be opened, copied from and closed: half the time. The system is asked for no more
    than it must be, since that is what a small entry takes.

    Returns:
        whether it was there and of this shape; else `out` holds anything.
    """
    try:
        with io.FileIO(os.fspath(path)) as file:
            if file.read(_HEAD) != _head(out.shape):
                return False
            left = memoryview(out).cast("B")  # type: ignore[arg-type]
            while left and (n_bytes := file.readinto(left)):  # one read gives 2 GB at most
                left = left[n_bytes:]
            return not left
    except OSError:
        return False


@lru_cache(maxsize=64)
def _head(shape: tuple[int, ...]) -> bytes:
    """The .npy header of float32 pixels of this shape."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    if len(head.getvalue()) != _HEAD:
        raise ValueError(f"pixels of shape {shape} are no network input (instances, C, H, W)")
    return head.getvalue()


@lru_cache(maxsize=64)
def _shape(head: bytes) -> tuple[int, ...]:
    """Of a .npy header.

    Raises:
        ValueError: it is not ours.
    """
    stream = io.BytesIO(head)
    np.lib.format.read_magic(stream)
    shape, _, _ = np.lib.format.read_array_header_1_0(stream)
    if len(shape) != 4 or _head(shape) != head:
        raise ValueError("not an entry of the cache")
    return shape


def _note_use(path: Path) -> None:
    with suppress(OSError):  # a folder that may only be read serves as well
        if time.time() - path.stat().st_mtime > _NOTED:
            os.utime(path)
