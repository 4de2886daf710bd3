"""The files of many series, in little memory: 300,000 `Path` objects would take 100 MiB."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path

SEPARATOR = "\0"  # no file's name has it


class FileLists(MutableMapping[str, tuple[Path, ...]]):
    """A dictionary of scan_id -> the scan's files, in which each series is two strings."""

    def __init__(self, files: Mapping[str, Sequence[Path]] | None = None, only: Container[str] | None = None) -> None:
        """Take a copy of `files`, of the scans in `only` where that is given."""
        self._lists: dict[str, tuple[str, str]] = {}
        if isinstance(files, FileLists):
            self._lists = {k: v for k, v in files._lists.items() if only is None or k in only}
            return
        for scan_id, paths in (files or {}).items():
            if only is None or scan_id in only:
                self[scan_id] = tuple(paths)

    def texts(self, scan_id: str) -> list[str]:
        """The files of a scan as text; none where it is not there."""
        folder, names = self._lists.get(scan_id, ("", ""))
        return [os.path.join(folder, name) for name in names.split(SEPARATOR)] if names else []  # noqa: PTH118

    def __getitem__(self, scan_id: str) -> tuple[Path, ...]:
        folder, names = self._lists[scan_id]
        return tuple(Path(folder, name) for name in names.split(SEPARATOR)) if names else ()

    def __setitem__(self, scan_id: str, files: Sequence[str | Path]) -> None:
        parts = [os.path.split(file) for file in files]
        folder = parts[0][0] if parts else ""
        if all(place == folder for place, _ in parts):
            self._lists[scan_id] = folder, SEPARATOR.join(name for _, name in parts)
        else:
            self._lists[scan_id] = "", SEPARATOR.join(map(str, files))

    def __delitem__(self, scan_id: str) -> None:
        del self._lists[scan_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __repr__(self) -> str:
        return f"<FileLists: {len(self)} scans>"
