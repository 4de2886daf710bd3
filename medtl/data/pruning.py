"""The cache stays within its size: what was used longest ago goes first."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from medtl.data.cache import FORMAT
from medtl.errors import InputError

VARIABLE = "MEDTL_CACHE_SIZE"
#: 400,000 pictures of 112 x 112; a tenth of a usual laptop's disk.
DEFAULT = "20 GB"
#: What anyone used in the last hour stays: another process may be training on it.
SPARED = 3600.0

_POWERS = ("", "K", "M", "G", "T")


class Found(NamedTuple):
    """A file in the cache."""

    path: str
    version: int
    used: float  # seconds since 1970
    size: int  # bytes


def size_cap() -> int:
    """Bytes that the cache may hold: MEDTL_CACHE_SIZE ("500 MB", "1.5 TB", "20 GiB", a number of bytes), or 20 GB.

    Raises:
        InputError: the variable says something else.
    """
    told = os.environ.get(VARIABLE) or DEFAULT
    size = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B)?\s*", told.upper())
    if not size or float(size[1]) == 0:
        raise InputError(f"{VARIABLE} is {told!r}: give a size, such as 20 GB or 500 MB")
    return int(float(size[1]) * (1024 if size[3] else 1000) ** _POWERS.index(size[2] or ""))


def in_words(n_bytes: float) -> str:
    """Such as "3.2 GB" or "480 MB"."""
    power = next((power for power in (4, 3, 2) if n_bytes >= 1000**power), 1)
    number = n_bytes / 1000**power
    unit = ("", "kB", "MB", "GB", "TB")[power]
    return f"{number:.1f} {unit}" if 1 <= number < 10 else f"{number:.0f} {unit}"


def size_of(folder: Path) -> int:
    """Bytes that all entries in a cache folder hold, those of older versions included."""
    return sum(file.size for file in _files(folder))


def prune(folder: Path, in_use: Callable[[], Collection[str]]) -> str:
    """Take entries away until the cache is within its size: of older versions first, then what was used longest ago.

    Entries in use and those that anyone used in the last hour stay. Other processes may do the same at the same time.

    Args:
        folder: the cache.
        in_use: gives the entries' paths; asked only where something has to go.

    Returns:
        one sentence where something went, else "".
    """
    cap = size_cap()
    now = time.time()
    over = size_of(folder) - cap
    if over <= 0:
        return ""
    spared = set(in_use())
    old = sorted(_files(folder), key=lambda file: (file.version == FORMAT, file.used))
    gone = freed = 0
    for file in old:
        if freed >= over:
            break
        if file.path not in spared and now - file.used > SPARED:
            with suppress(OSError):
                Path(file.path).unlink()
                gone, freed = gone + 1, freed + file.size
    if not gone:
        return ""
    return f"The cache was over its {in_words(cap)} ({VARIABLE}): {gone:,} old entries went, {in_words(freed)}"


def _files(folder: Path) -> Iterator[Found]:
    """Every entry, and what a process that was killed left half written."""
    for version in _folders(folder):
        if re.fullmatch(r"v\d+", version.name):
            for part in _folders(version.path):
                with suppress(OSError), os.scandir(part.path) as files:  # another process may take it away
                    yield from _stated(files, int(version.name[1:]))


def _stated(files: Iterator[os.DirEntry[str]], version: int) -> Iterator[Found]:
    for file in files:
        with suppress(OSError):
            if file.is_file(follow_symlinks=False) and file.name.endswith((".npy", ".part")):
                state = file.stat(follow_symlinks=False)
                yield Found(file.path, version, state.st_mtime, state.st_size)


def _folders(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as inside:
            return [each for each in inside if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
