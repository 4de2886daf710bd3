"""The cache stays within its size, and takes nothing away that someone uses."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from medtl.data import cache, pruning
from medtl.data.pruning import in_words, prune, size_cap, size_of
from medtl.errors import InputError

PIXELS = np.zeros((1, 1, 16, 16), np.float32)
ONE = 128 + 1024 + 4 + 16


def put(folder: Path, name: str, hours: float, version: int = cache.FORMAT) -> Path:
    """An entry that was used so many hours ago."""
    path = folder / f"v{version}" / name[:2] / f"{name}.npy"
    cache.store(path, PIXELS)
    os.utime(path, (time.time() - 3600 * hours,) * 2)
    return path


@pytest.mark.parametrize(
    ("told", "size"),
    [
        (None, 20e9),
        ("20 GB", 20e9),
        ("500MB", 500e6),
        (" 1.5 tb ", 1.5e12),
        ("2 GiB", 2 * 2**30),
        ("5G", 5e9),
        ("7 kB", 7000),
        ("4096", 4096),
    ],
)
def test_sizes_are_read_as_people_write_them(monkeypatch, told: str | None, size: float) -> None:
    monkeypatch.delenv(pruning.VARIABLE, raising=False)
    if told is not None:
        monkeypatch.setenv(pruning.VARIABLE, told)
    assert size_cap() == size


@pytest.mark.parametrize("told", ["plenty", "-3 GB", "0", "5 XB", "20 GB or so"])
def test_what_is_no_size_is_refused(monkeypatch, told: str) -> None:
    monkeypatch.setenv(pruning.VARIABLE, told)
    with pytest.raises(InputError, match=r"MEDTL_CACHE_SIZE is .*: give a size, such as 20 GB or 500 MB"):
        size_cap()


def test_sizes_are_said_shortly() -> None:
    assert [in_words(size) for size in (20e9, 3.21e9, 480e6, 1.2e12, 9_000)] == [
        "20 GB", "3.2 GB", "480 MB", "1.2 TB", "9.0 kB",
    ]  # fmt: skip


def test_nothing_goes_while_there_is_room(tmp_path: Path, monkeypatch) -> None:
    put(tmp_path, "aa1", 900)
    put(tmp_path, "bb1", 900, version=1)
    monkeypatch.setenv(pruning.VARIABLE, str(2 * ONE))
    assert prune(tmp_path, lambda: pytest.fail("nobody needs to be asked")) == ""
    assert size_of(tmp_path) == 2 * ONE


def test_older_versions_go_first_then_what_was_used_longest_ago(tmp_path: Path, monkeypatch) -> None:
    entries = [put(tmp_path, f"{n}{n}x", hours=10 - n) for n in range(6)]
    old = put(tmp_path, "aax", 2, version=cache.FORMAT - 1)
    mine = put(tmp_path, "ccx", 100)
    foreign = tmp_path / "notes.txt"
    foreign.write_text("x" * 10_000)
    monkeypatch.setenv(pruning.VARIABLE, str(7 * ONE + 5))
    assert prune(tmp_path, lambda: {str(mine)}).endswith("1 old entries went, 1.2 kB")
    assert not old.exists()
    monkeypatch.setenv(pruning.VARIABLE, str(4 * ONE + 5))
    assert "(MEDTL_CACHE_SIZE): 3 old entries went" in prune(tmp_path, lambda: {str(mine)})
    assert [entry.exists() for entry in entries] == [False] * 3 + [True] * 3
    assert mine.exists() and foreign.exists()
    assert prune(tmp_path, set) == ""


def test_what_was_used_in_the_last_hour_stays_even_over_the_cap(tmp_path: Path, monkeypatch) -> None:
    recent, part = put(tmp_path, "aax", 0.9), put(tmp_path, "bbx", 5)
    part = part.rename(part.with_name(".bbx.npy.4711.part"))  # a process was killed while it wrote
    monkeypatch.setenv(pruning.VARIABLE, "1 kB")
    assert "1 old entries" in prune(tmp_path, set)
    assert recent.exists() and not part.exists()
    assert prune(tmp_path, set) == ""


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert size_of(tmp_path / "none") == 0
    assert prune(tmp_path / "none", set) == ""
