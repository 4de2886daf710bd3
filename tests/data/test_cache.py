"""An entry is whole or not used."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.data import cache
from medtl.errors import InputError

PIXELS = np.random.default_rng(0).normal(size=(3, 1, 16, 16)).astype(np.float32)
TOLD = "what was told"
SIZE = 128 + PIXELS.nbytes + len(TOLD) + 4 + 16


def test_what_is_stored_is_loaded_mapped_and_private(tmp_path: Path) -> None:
    path = cache.entry_path(tmp_path, "ab" * 16, "f" * 64)
    assert cache.load(path) is None
    assert cache.mapped(path) is None
    cache.store(path, PIXELS, "told: ä")
    assert path.is_relative_to(tmp_path / f"v{cache.FORMAT}" / "ab")
    assert cache.content_of(path) == "ab" * 16
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    loaded, told = cache.load(path) or (None, "")
    assert told == "told: ä"
    assert loaded is not None
    np.testing.assert_array_equal(loaded, PIXELS)
    np.testing.assert_array_equal(np.load(path), PIXELS)  # any program reads it
    loaded[0] = 7  # torch must be able to take it as it is ...
    again = cache.mapped(path)
    assert again is not None
    np.testing.assert_array_equal(again, PIXELS)  # ... and the disk stays as it was


@settings(max_examples=50, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 12)] * 4), told=st.text(max_size=300), seed=st.integers(0, 99))
def test_any_bag_and_any_text_come_back(tmp_path_factory, shape, told: str, seed: int) -> None:
    path = tmp_path_factory.mktemp("any") / "entry.npy"
    pixels = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    told = told.encode("utf-8", "ignore").decode()
    cache.store(path, pixels[::-1], told)  # not contiguous
    entry = cache.load(path)
    assert entry is not None and entry.told == told
    np.testing.assert_array_equal(entry.pixels, pixels[::-1])
    out = np.empty_like(pixels)
    assert cache.read_into(path, out)
    np.testing.assert_array_equal(out, pixels[::-1])
    assert not cache.read_into(path, np.empty((*shape[:3], shape[3] + 1), np.float32))


def test_maps_that_are_let_go_leave_no_file_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("/proc/self/fd tells, which is Linux")
    path = tmp_path / "entry.npy"
    cache.store(path, PIXELS)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        cache.mapped(path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, SIZE - 1), change=st.integers(1, 255), cut=st.booleans())
def test_an_entry_cut_off_or_changed_anywhere_is_not_used(tmp_path_factory, place: int, change: int, cut: bool) -> None:
    path = tmp_path_factory.mktemp("damaged") / "entry.npy"
    cache.store(path, PIXELS, TOLD)
    damaged = bytearray(path.read_bytes())
    assert len(damaged) == SIZE
    damaged[place] ^= change
    path.write_bytes(damaged[:place] if cut else damaged)
    assert cache.load(path) is None


@pytest.mark.parametrize("content", [b"", b"\x00" * 4000, b"hello", b"\x93NUMPY", b"\x80\x04K\x01."])
def test_a_foreign_file_is_not_used(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "entry.npy"
    path.write_bytes(content)
    assert cache.load(path) is None
    assert cache.mapped(path) is None
    assert not cache.read_into(path, np.empty_like(PIXELS))


def test_arrays_of_another_program_are_not_used(tmp_path: Path) -> None:
    for number, array in enumerate((PIXELS.astype(np.float64), PIXELS[0, 0], np.asfortranarray(PIXELS))):
        np.save(tmp_path / f"{number}.npy", array)
        assert cache.mapped(tmp_path / f"{number}.npy") is None


def test_use_is_noted_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "entry.npy"
    cache.store(path, PIXELS)
    for age, noted in ((5000, True), (60, False)):
        then = time.time() - age
        os.utime(path, (then, then))
        assert cache.load(path) is not None
        assert (path.stat().st_mtime > then + 1) == noted


def test_the_key_follows_the_bytes_and_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.dcm"
    first.write_bytes(b"one" * 100)
    second.write_bytes(b"two" * 100)
    key = cache.content_key([first])
    assert len(key) == 32 and int(key, 16) >= 0
    first.touch()
    moved = first.rename(tmp_path / "c.png")
    assert cache.content_key([moved]) == key
    keys = {cache.content_key(files) for files in ([moved], [second], [moved, second], [second, moved])}
    assert len(keys) == 4
    moved.write_bytes(b"one" * 99 + b"onE")  # as long as before
    assert cache.content_key([moved]) != key


def test_the_key_follows_the_volume_and_what_is_done_with_a_gap(tmp_path: Path) -> None:
    file = tmp_path / "a.nii"
    file.write_bytes(b"one" * 100)
    asked: list[dict[str, Any]] = [
        {},
        {"volume": 0},
        {"volume": 1},
        {"on_gap": "keep"},
        {"volume": 1, "on_gap": "keep"},
    ]
    keys = [cache.content_key([file], **how) for how in asked]
    assert len(set(keys)) == len(keys)
    assert keys == [cache.content_key([file], **how) for how in asked]
    file.write_bytes(b"two" * 101)
    assert not set(keys) & {cache.content_key([file], **how) for how in asked}


def test_voxels_beside_their_header_are_part_of_the_key(tmp_path: Path) -> None:
    for name in ("pair.img", "analyze.img"):
        kind = nibabel.Nifti1Pair if name == "pair.img" else nibabel.AnalyzeImage
        keys = []
        for value in (1, 2, 1):
            nibabel.save(kind(np.full((3, 4, 5), value, np.int16), np.eye(4)), tmp_path / name)
            keys.append(cache.content_key([(tmp_path / name).with_suffix(".hdr")]))
        assert keys[0] == keys[2] != keys[1]


def test_a_picture_in_an_archive_or_an_array_has_a_key(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"one" * 100)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "plain", "in/plain")
    assert cache.content_key([tmp_path / "a.zip/in/plain"]) == cache.content_key([tmp_path / "plain"])
    images = np.random.default_rng(0).integers(0, 9, (3, 28, 28), dtype=np.uint8)
    images[2] = images[0]
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=np.zeros((3, 1), int))
    keys = [cache.content_key([tmp_path / "x.npz/train_images.npy"], volume) for volume in range(3)]
    assert keys[0] == keys[2] != keys[1]


WHOLE = st.binary(max_size=6).filter(lambda content: not content.startswith(b"\x1f\x8b"))  # of gzip: it is cut off


@given(parts=st.lists(WHOLE, min_size=2, max_size=4))
def test_bytes_cannot_move_between_files_unseen(parts: list[bytes], tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("parts")
    files = [folder / str(number) for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        file.write_bytes(part)
    whole = folder / "whole"
    whole.write_bytes(b"".join(parts))
    assert cache.content_key(files) != cache.content_key([whole])


def test_the_folder_is_the_variables_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDTL_CACHE", str(tmp_path))
    assert cache.default_folder() == tmp_path
    monkeypatch.delenv("MEDTL_CACHE")
    assert cache.default_folder().name == "medtl"


def test_a_full_disk_is_said_in_one_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, mode: str = "r", **how):
        if mode == "wb":
            path.touch()
            raise OSError(28, "No space left on device")
        raise AssertionError

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="the disk is full"):
        cache.store(tmp_path / "entry.npy", PIXELS)
    assert list(tmp_path.iterdir()) == []
