"""Files are whole or not there, and what prevents them is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtl.errors import InputError
from medtl.files import atomic_write


def test_a_place_that_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for out in (tmp_path / "file" / "out.csv", tmp_path / "folder", tmp_path / ("long" * 100)):
        with pytest.raises(InputError, match="could not be written"), atomic_write(out) as part:
            part.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_two_writers_of_one_place_do_not_meet(tmp_path: Path) -> None:
    """Threads, or processes of two containers, whose numbers are alike, on one shared disk."""
    with atomic_write(tmp_path / "out") as one:
        one.write_text("whole")
        with pytest.raises(RuntimeError), atomic_write(tmp_path / "out") as other:
            other.write_text("half")
            raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "whole")]


def test_what_fails_leaves_what_was(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "out") as part:
        part.write_text("half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "old")]
