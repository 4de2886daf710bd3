"""Prepared pixels on disk: one .npy file a scan, whole or not used."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from platformdirs import user_cache_dir

from medtl.files import atomic_write
from medtl.scans.arrays import picture_of
from medtl.scans.source import open_scan, stamp
from medtl.scans.volume import data_beside

#: Rises whenever reading a file, or an entry's form, changes what comes out: older entries are then left unused.
FORMAT = 2

_CHECK_BYTES = 16
_CHUNK_BYTES = 1 << 20


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


def store(path: Path, pixels: np.ndarray) -> None:
    """Write an entry: the array as .npy, and after it a checksum of all of it.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    entry = io.BytesIO()
    np.save(entry, pixels)
    with atomic_write(path) as part:
        part.write_bytes(entry.getvalue() + _checksum(entry.getbuffer()))


def load(path: Path, check: bool = True) -> np.ndarray | None:
    """The entry's array, mapped from disk and private to the process, or None where there is no entry or it is damaged.

    Args:
        path: from `entry_path`.
        check: whether to read all of it and compare its checksum, as must be done once.
    """
    try:
        if check:
            content = memoryview(path.read_bytes())
            if _checksum(content[:-_CHECK_BYTES]) != content[-_CHECK_BYTES:]:
                return None
        mapped = np.load(path, mmap_mode="c")  # "r" would do, but torch warns of arrays that it may not write
    except (OSError, ValueError, EOFError):  # what NumPy says of missing, short and foreign files
        return None
    return np.asarray(mapped)


def _checksum(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECK_BYTES).digest()
