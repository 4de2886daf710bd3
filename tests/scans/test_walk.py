"""Every file is found once, in one order."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medtl.errors import InputError
from medtl.scans import index_folders, read
from medtl.scans.walk import walk


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 40), dtype=np.uint8)).save(path)
    return path


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png", 1)
    (before,) = walk(tmp_path)
    assert before.path == str(file)
    assert list(walk(tmp_path)) == [before]
    file.write_bytes(file.read_bytes())
    (after,) = walk(tmp_path)
    assert after.stamp != before.stamp


def test_folders_inside_each_other_list_a_file_once(tmp_path: Path) -> None:
    picture(tmp_path / "all" / "a.png", 1)
    picture(tmp_path / "all" / "north" / "b.png", 2)
    m = index_folders([tmp_path / "all" / "north", tmp_path / "all"])
    assert [(row.site, Path(row.path).name) for row in m] == [("north", "b.png"), ("all", "a.png")]
    m = index_folders([tmp_path / "all", tmp_path / "all" / "north"])
    assert [(row.site, Path(row.path).name) for row in m] == [("all", "a.png"), ("all", "b.png")]


def test_a_zip_archive_is_a_folder(tmp_path: Path) -> None:
    inside = [picture(tmp_path / "made" / f"{i}.png", i) for i in range(3)]
    (tmp_path / "scans").mkdir()
    with zipfile.ZipFile(tmp_path / "scans" / "sent.zip", "w") as archive:
        for number, file in enumerate(inside):
            archive.write(file, f"patient {number}/{file.name}")
        archive.writestr("patient 0/notes.txt", "none")
    (tmp_path / "scans" / "labels.csv").write_text(
        "file,label\nsent.zip/patient 0/0.png,a\nsent.zip/patient 1/1.png,b\nsent.zip/patient 2/2.png,a\n"
    )
    m = index_folders(tmp_path / "scans")
    assert list(m.usable.frame.label) == ["a", "b", "a"]
    assert (m.frame.status == "set aside").sum() == 1
    m = m.load(m.save(tmp_path / "m.csv"))
    for row, file in zip(m.usable, inside, strict=True):
        np.testing.assert_array_equal(read(row).pixels, read(file).pixels)


def test_an_archive_without_scans(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    with pytest.raises(InputError, match="a zip archive without files"):
        index_folders(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may enter every folder")
def test_a_closed_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", 1)
    picture(tmp_path / "closed" / "b.png", 2)
    (tmp_path / "closed").chmod(0)
    try:
        index_folders(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert "closed cannot be entered (Permission denied)" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_to_nowhere_has_its_row(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (_, gone) = index_folders(tmp_path)
    assert gone.status == "unreadable" and "not there" in gone.reason


def test_a_folder_without_scans_beside_one_with_scans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "north" / "a.png", 1)
    (tmp_path / "south").mkdir()
    (tmp_path / "south" / "notes.txt").write_text("none")
    m = index_folders([tmp_path / "north", tmp_path / "south"])
    assert list(m.frame.status) == ["ok", "set aside"]
    assert "south holds no scans" in capsys.readouterr().err
