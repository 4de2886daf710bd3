"""What is kept between two runs: only what has changed is read again, and nothing is ever believed that is stale."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from medtl.scans import folder as folder_module
from medtl.scans import index_folders, looks
from medtl.scans.index_cache import IndexCache

TESTS = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A series, an ultrasound loop, a zip archive, pictures, and what is none."""
    scans = tmp_path / "scans"
    shutil.copytree(TESTS / "dicomdirtests" / "98892001" / "CT5N", scans / "ct")
    shutil.copy(TESTS / "examples_ybr_color.dcm", scans)
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(scans / f"{i}.png")
    with zipfile.ZipFile(scans / "more.zip", "w") as archive:
        archive.write(TESTS / "MR_small.dcm", "one/MR_small")
        archive.write(scans / "0.png", "two/0.png")
    (scans / "notes.txt").write_text("none")
    return scans


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are looked at, and those whose pixels are checked."""
    read: list[str] = []
    for name in ("look_at", "check_pixels"):
        real = getattr(looks, name)

        def counted(what: Any, *more: Any, real: Any = real) -> Any:
            read.append(Path(what if isinstance(what, str) else what.files[0]).name)
            return real(what, *more)

        monkeypatch.setattr(folder_module, name, counted)
    return read


def test_the_second_time_nothing_is_read_and_all_is_the_same(folder: Path, read_files: list[str]) -> None:
    first = index_folders(folder)
    assert "0.png" in read_files
    read_files.clear()
    second = index_folders(folder)
    assert read_files == []
    assert second.frame.equals(first.frame) and second.files == first.files
    assert index_folders(folder, use_cache=False).frame.equals(first.frame)


def test_only_what_has_changed_is_read(folder: Path, read_files: list[str]) -> None:
    index_folders(folder)
    read_files.clear()
    pixels = np.random.default_rng(9).integers(0, 255, (32, 40), dtype=np.uint8)
    before = (folder / "1.png").stat()
    Image.fromarray(pixels).save(folder / "1.png")
    os.utime(folder / "1.png", ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy tool may leave it
    shutil.copy(folder / "2.png", folder / "new.png")
    (folder / "0.png").unlink()
    second = index_folders(folder)
    assert sorted(set(read_files)) == ["1.png", "new.png"]
    assert second.frame.equals(index_folders(folder, use_cache=False).frame)


def test_a_slice_that_comes_later_is_seen(folder: Path, tmp_path: Path) -> None:
    late = sorted((folder / "ct").iterdir())[-1]
    shutil.move(late, tmp_path / "late")
    assert "4" in index_folders(folder).frame.n_files.tolist()
    shutil.move(tmp_path / "late", late)
    assert "5" in index_folders(folder).frame.n_files.tolist()


def test_it_holds_no_identifier_and_only_the_user_reads_it(folder: Path) -> None:
    index_folders(folder)
    path = IndexCache(folder).path
    content = path.read_bytes()
    dataset = pydicom.dcmread(TESTS / "MR_small.dcm")
    for identifier in (dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID):
        assert str(identifier).encode() not in content
    assert path.stat().st_mode & 0o077 == 0


def test_another_key_and_another_choice_do_not_find_it(
    folder: Path, read_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = index_folders(folder)
    kept = index_folders(folder, keep_identifiers=True)
    assert "4MR1" in kept.frame.patient.tolist() and "4MR1" not in hidden.frame.patient.tolist()
    read_files.clear()
    monkeypatch.setenv("MEDTL_KEY", "another key")
    other = index_folders(folder)
    assert "0.png" in read_files
    assert not set(other.frame.patient[other.frame.patient != ""]) & set(hidden.frame.patient)


@pytest.mark.parametrize("harm", ["cut", "other", "folder"])
def test_a_cache_that_is_damaged_is_made_anew(folder: Path, harm: str) -> None:
    first = index_folders(folder)
    path = IndexCache(folder).path
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif harm == "other":
        path.write_bytes(b"this is no database" * 100)
    else:
        path.unlink()
        path.mkdir()
    assert index_folders(folder).frame.equals(first.frame)
    assert index_folders(folder).frame.equals(first.frame)
    if harm == "folder":
        path.rmdir()


def test_what_lies_no_more_is_forgotten(folder: Path) -> None:
    index_folders(folder)
    path = IndexCache(folder).path
    before = sqlite3.connect(path).execute("SELECT count(*) FROM looks").fetchone()[0]
    shutil.rmtree(folder / "ct")
    index_folders(folder)
    after = sqlite3.connect(path).execute("SELECT count(*) FROM looks").fetchone()[0]
    assert after == before - 6  # five slices, and their stack


def test_a_run_that_was_killed_left_what_it_had(
    folder: Path, read_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from medtl.scans import index_cache

    monkeypatch.setattr(index_cache, "AT_ONCE", 1)
    real = looks.check_pixels

    def killed(look: Any) -> Any:
        if look.files[0].endswith("2.png"):
            raise KeyboardInterrupt
        return real(look)

    monkeypatch.setattr(folder_module, "check_pixels", killed)
    with pytest.raises(KeyboardInterrupt):
        index_folders(folder)
    monkeypatch.setattr(folder_module, "check_pixels", real)
    read_files.clear()
    index_folders(folder)
    assert read_files == []  # every header was there already


def test_a_fault_that_passes_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that did not answer once must not leave a gap in a series for ever."""
    from medtl.errors import ScanError
    from medtl.scans import dicom_header

    real = dicom_header.header_of_part_10
    asked: list[str] = []

    def fails_once(path: str) -> Any:
        asked.append(path)
        if Path(path).parent.name == "ct" and sum("ct" in each for each in asked) == 3:
            raise ScanError("the file cannot be read: ask for permission to read it") from OSError(5, "I/O error")
        return real(path)

    monkeypatch.setattr(dicom_header, "header_of_part_10", fails_once)
    assert "unreadable" in set(index_folders(folder).frame.status)
    monkeypatch.setattr(dicom_header, "header_of_part_10", real)
    assert index_folders(folder).frame.equals(index_folders(folder, use_cache=False).frame)
    assert "unreadable" not in set(index_folders(folder).frame.status)


def test_a_damaged_cell_of_a_sound_database(folder: Path) -> None:
    first = index_folders(folder)
    with sqlite3.connect(IndexCache(folder).path) as connection:
        connection.execute("UPDATE looks SET looks = substr(looks, 1, length(looks) / 2)")
    assert index_folders(folder).frame.equals(first.frame)


def test_voxels_in_a_hidden_file_are_looked_at_again(tmp_path: Path) -> None:
    voxels = np.arange(60, dtype="<i2")
    header = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = .y.raw\n"
    (tmp_path / "y.mhd").write_text(header)
    (tmp_path / ".y.raw").write_bytes(voxels.tobytes())
    before = index_folders(tmp_path).frame.fingerprint.item()
    (tmp_path / ".y.raw").write_bytes(voxels[::-1].tobytes())
    after = index_folders(tmp_path).frame.fingerprint.item()
    assert before and after and before != after
