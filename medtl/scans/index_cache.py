"""What indexing learned, kept for the next time: only what has changed is read again."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from medtl.scans.dicom_place import Kind, Plane
from medtl.scans.looks import Look
from medtl.scans.privacy import keyed_hash

WHOLE = "the whole folder"  # the key of its scans, whose stamp is made of all its files
LIBRARIES = ("imagecodecs", "nibabel", "numpy", "pillow", "pydicom", "scipy", "tifffile")
AT_ONCE = 500  # entries written in one transaction: what a run that is killed loses


class IndexCache:
    """Looks by file and its stamp (size and times), and checked scans by the stamps of all their files.

    One SQLite file a folder, in the user's cache folder, readable by that user only; identifiers are hashed as in the
    manifest, paths are as they are. It is made anew when medtl's readers or the key that hides identifiers change.
    Where it cannot be used (a disk that is full or read-only, a damaged file) everything is read again.
    """

    def __init__(self, root: Path) -> None:
        """Open the cache of one folder."""
        about = f"{root}\n{_readers()}\n{keyed_hash('index')}"
        name = hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self.path = Path(os.environ.get("MEDTL_CACHE") or user_cache_dir("medtl")) / "index" / f"{name}.sqlite"
        self._waiting: list[tuple[str, str, str]] = []
        self._used: set[str] = {WHOLE}
        self._unchanged = False
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> IndexCache:
        with suppress(OSError, sqlite3.Error):
            self._open = self._connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what waits; after a run that ended well, forget what it had no use for."""
        self._write()
        if self._open is None:
            return
        with suppress(sqlite3.Error), self._open:
            if kind is None and not self._unchanged:
                gone = [row for row in self._open.execute("SELECT key FROM looks") if row[0] not in self._used]
                self._open.executemany("DELETE FROM looks WHERE key = ?", gone)
        self._open.close()

    def get(self, key: str, stamp: str, root: str) -> list[Look] | None:
        """The looks kept under a key, None where there are none or their stamp is another."""
        self._used.add(key)
        if self._open is None or not _is_text(key):
            return None
        try:
            found = self._open.execute("SELECT looks FROM looks WHERE key = ? AND stamp = ?", (key, stamp)).fetchone()
            return None if found is None else [_look(cells, root) for cells in json.loads(found[0])]
        except (sqlite3.Error, ValueError, TypeError, KeyError):  # a damaged database, or a damaged cell of a sound one
            return None

    def whole(self, stamp: str, root: str) -> list[Look] | None:
        """All scans of a folder in which nothing has changed, None where something has."""
        known = self.get(WHOLE, stamp, root)
        self._unchanged = known is not None
        return known

    def put(self, key: str, stamp: str, looks: Iterable[Look]) -> None:
        """Keep looks under a key; they are on the disk after 500 more, or at the end."""
        if self._open is not None and _is_text(key):
            self._waiting.append((key, stamp, json.dumps([_cells(look) for look in looks], separators=(",", ":"))))
        if len(self._waiting) >= AT_ONCE:
            self._write()

    def _write(self) -> None:
        if self._open is not None and self._waiting:
            with suppress(sqlite3.Error), self._open:
                self._open.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", self._waiting)
        self._waiting.clear()

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut damages is read again
            connection.execute("CREATE TABLE IF NOT EXISTS looks (key TEXT PRIMARY KEY, stamp TEXT, looks TEXT)")
            self.path.chmod(0o600)
        except sqlite3.DatabaseError as error:
            connection.close()
            if "locked" not in str(error) and "readonly" not in str(error):
                self.path.unlink(missing_ok=True)  # no database: it was damaged
            raise
        return connection


def _readers() -> str:
    """A digest of the code that reads, the libraries' versions included: what others found is not taken over."""
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # the name of a file, in bytes that are no UTF-8
        return False
    return True


def _cells(look: Look) -> list[Any]:
    planes = [[getattr(plane, name) for name in _PLANE] for plane in look.planes]
    return [list(look.files), *(getattr(look, name) for name in _PLAIN), planes]


def _look(cells: list[Any], root: str) -> Look:
    files, *plain, planes = cells
    made = tuple(_plane(*map(_tuples, plane)) for plane in planes)
    return Look(tuple(files), root, planes=made, **dict(zip(_PLAIN, plain, strict=True)))


def _plane(*cells: Any) -> Plane:
    by_name = dict(zip(_PLANE, cells, strict=True))
    return Plane(**by_name | {"kind": Kind(*by_name["kind"])})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


_PLAIN = [each.name for each in fields(Look) if each.name not in ("files", "root", "planes")]
_PLANE = [each.name for each in fields(Plane)]
