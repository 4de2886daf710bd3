"""Where files lie, seen from a table that lists them: so that both can move together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def relative_to(folder: Path) -> Callable[[str | Path], str]:
    """A function that writes a file's path relative to `folder`, with forward slashes.

    It stays as it is where the two share no more than the root of the disk; "" stays "".
    """
    parents: dict[str, str] = {}  # 100,000 files lie in few folders

    def relative(file: str | Path) -> str:
        text = str(file)
        parent, name = os.path.split(text)
        if not name or not os.path.isabs(text):  # noqa: PTH117
            return text
        if parent not in parents:
            near = Path(text).parts[:2] == folder.parts[:2]
            parents[parent] = Path(os.path.relpath(parent, folder)).as_posix() if near else parent
        place = parents[parent]
        return name if place == "." else f"{place.rstrip('/')}/{name}"

    return relative


def seen_from(folder: Path) -> Callable[[str], str]:
    """The function that undoes `relative_to(folder)`: an absolute path, or "" of ""."""
    parents: dict[str, str] = {}

    def absolute(cell: str) -> str:
        place, _, name = cell.rpartition("/")
        if name in ("", ".", "..") or not place:
            return os.path.normpath(folder / cell) if cell else ""
        if place not in parents:
            parents[place] = os.path.normpath(folder / place)
        return os.path.join(parents[place], name)  # noqa: PTH118

    return absolute
