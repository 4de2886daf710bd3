"""One scan, from its files to an entry of the cache. Imports little: fresh processes do it too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from medtl.data import cache
from medtl.errors import InputError, ScanError
from medtl.intensity.prints import Print, from_json, print_of, to_json
from medtl.scans.read import how_to_read, read

if TYPE_CHECKING:
    from medtl.intensity import Recipe
    from medtl.scans import Row


class Prepared(NamedTuple):
    """What became of a scan.

    Attributes:
        entry: the path of its cache entry, "" where it could not be prepared.
        instances: how many it has.
        print: what it was like as it was read.
        written: whether the entry is new.
        reason: why it could not be prepared, one sentence without a path.
    """

    entry: str
    instances: int = 0
    print: Print | None = None
    written: bool = False
    reason: str = ""


def prepare(row: Row, recipe: Recipe, digest: str, folder: Path) -> Prepared:
    """Find the scan's entry, or make it where it is missing or damaged.

    Args:
        row: of a manifest.
        recipe: how pixels become network input.
        digest: the recipe's.
        folder: the cache.

    Raises:
        InputError: the disk is full or the cache cannot be written.
    """
    try:
        path = cache.entry_path(folder, cache.content_key(row.files, *how_to_read(row)), digest)
        if (entry := cache.load(path)) and (known := _print(entry.told)):
            return Prepared(str(path), len(entry.pixels), known)
        scan = read(row)
        known, pixels = print_of(scan), recipe(scan)
    except ScanError as error:
        return Prepared("", reason=str(error))
    except OSError as error:
        return Prepared("", reason=f"the file cannot be read ({error.strerror}): see whether its disk is well")
    cache.store(path, pixels, to_json(known))
    return Prepared(str(path), len(pixels), known, written=True)


def remake(row: Row, recipe: Recipe, path: Path) -> np.ndarray:
    """The pixels of an entry that was lost while in use, from the scan's files again; the entry is written too.

    Raises:
        InputError: the files changed since, or cannot be read any more.
    """
    try:
        if cache.content_key(row.files, *how_to_read(row)) != cache.content_of(path):
            raise ScanError("its file has changed since")
        scan = read(row)
        pixels = recipe(scan)
    except (ScanError, OSError) as error:
        why = str(error) if isinstance(error, ScanError) else f"its file cannot be read ({error.strerror})"
        raise InputError(
            f"scan {row.scan_id} was lost from the cache while in use and cannot be prepared again: {why.rstrip('.')}"
        ) from error
    cache.store(path, pixels, to_json(print_of(scan)))
    return pixels


def _print(told: str) -> Print | None:
    """None where another medtl noted other things."""
    try:
        return from_json(told)
    except ValueError:
        return None
