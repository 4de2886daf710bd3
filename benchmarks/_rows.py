"""Rows of a benchmark, each computed once: a JSON lines file that a run that was cut goes on from."""

from __future__ import annotations

import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


class Rows:
    """What was measured, a line each, found again by its key.

    The key holds everything that decides the result (the pair, the method, the seed, the settings), so a row measured
    with other settings is not taken for this one. A line that a cut left half written is dropped.

    Args:
        path: the JSON lines file; made when the first row is done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    self._found[_name(row["key"])] = row
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._found.values())

    def get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row of this key, or None where it is not measured yet."""
        return self._found.get(_name(key))

    def row(self, key: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The row of this key, measured by `work` where it is not there yet.

        Returns:
            {"key", "result", "seconds", "date", "machine"}.
        """
        if _name(key) not in self._found:
            began = time.perf_counter()
            result = dict(work())
            self.put(key, result, time.perf_counter() - began)
        return self._found[_name(key)]

    def put(self, key: Mapping[str, Any], result: Mapping[str, Any], seconds: float, where: str = "") -> None:
        """Keep what was measured elsewhere, in another process say; it takes the place of an earlier row of the key.

        Args:
            key: all that decides the result.
            result: what was measured.
            seconds: how long it took.
            where: the machine; this one by default.
        """
        row = {
            "key": dict(key),
            "result": dict(result),
            "seconds": round(seconds, 1),
            "date": datetime.date.today().isoformat(),
            "machine": where or machine(),
        }
        self._append(json.dumps(row))
        self._found[_name(key)] = json.loads(json.dumps(row))

    def _append(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # what a cut left
                    file.write(b"\n")
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def machine() -> str:
    """What the numbers were measured on, such as "AMD EPYC, 2 cores"."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *lines])


def _name(key: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(json.dumps(dict(key))), sort_keys=True)
