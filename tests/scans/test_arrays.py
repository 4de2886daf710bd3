"""MedMNIST's .npz: every picture a row, read without unpacking the whole each time."""

from __future__ import annotations

import pickle
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans import arrays
from medtl.scans.arrays import array_rows, picture_of, read_array
from medtl.scans.read import read

RANDOM = np.random.default_rng(0)


def saved(path: Path, shape: tuple[int, ...] = (28, 28), labels: int = 1, packed: bool = True, **changes) -> Path:
    """Seven pictures: four to train with, two of val, one of test."""
    content = {}
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        content[f"{split}_images"] = RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)
        content[f"{split}_labels"] = RANDOM.integers(0, 2, (count, labels))
    content.update(changes)
    with path.open("wb") as file:
        (np.savez_compressed if packed else np.savez)(file, **content)
    return path


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (28, 28, 28), (64, 64), (5, 7, 7)])
def test_rows_and_pictures_are_those_of_numpy(tmp_path: Path, shape: tuple[int, ...], packed: bool) -> None:
    path = saved(tmp_path / "x.npz", shape, packed=packed)
    rows = array_rows(path)
    content = np.load(path)
    assert [(row[0], row[1], row[3]) for row in rows] == [
        (path / f"{split}_images.npy", number, as_ours)
        for split, as_ours, count in (("train", "train", 4), ("val", "calibrate", 2), ("test", "test", 1))
        for number in range(count)
    ]
    for images, number, label, _ in rows:
        split = images.name.split("_")[0]
        assert label == str(content[f"{split}_labels"][number, 0])
        scan = read(images, number)
        expected = content[f"{split}_images"][number]
        assert scan.colour == (shape[-1] == 3)
        assert scan.pixels.shape == ((1, *shape) if len(shape) == 2 or scan.colour else shape)
        np.testing.assert_array_equal(scan.pixels.reshape(shape), expected)
        assert (scan.affine, scan.header["bits"], scan.pixels.dtype) == (None, 8, np.float32)


def test_several_findings_are_joined_and_none_is_not_unknown(tmp_path: Path) -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    path = saved(tmp_path / "x.npz", labels=3, train_labels=labels)
    assert [label for _, _, label, _ in array_rows(path)[:4]] == ["0;2", "none", "1", "0;1;2"]
    flat = saved(tmp_path / "y.npz", train_labels=np.array([3, 0, 2, 9]))
    assert [label for _, _, label, _ in array_rows(flat)[:4]] == ["3", "0", "2", "9"]


def test_a_split_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, test_images=np.zeros((2, 28, 28), np.uint8), test_labels=np.zeros((2, 1)))
    assert [row[1:] for row in array_rows(path)] == [(0, "0", "test"), (1, "0", "test")]


def test_the_array_is_unpacked_once_for_all_its_pictures_in_all_threads(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path / "x.npz")
    opened = []
    plain = arrays.open_scan
    monkeypatch.setattr(arrays, "open_scan", lambda path: opened.append(path) or plain(path))
    started = threading.Barrier(8)

    def pictures(_: int) -> list[int]:
        started.wait()
        return [int(picture_of(path / "train_images.npy", number).sum()) for number in range(4)]

    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(pictures, range(8)))
    assert len(opened) == 1
    assert sums == [np.load(path)["train_images"].sum(axis=(1, 2)).tolist()] * 8
    saved(path)  # others, in place: noticed
    assert pictures_of(path) == np.load(path)["train_images"].sum(axis=(1, 2)).tolist()


def pictures_of(path: Path) -> list[int]:
    return [int(picture_of(path / "train_images.npy", number).sum()) for number in range(4)]


def test_one_channel_is_grey(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", (28, 30, 1))
    assert len(array_rows(path)) == 7
    scan = read(path / "train_images.npy", 2)
    np.testing.assert_array_equal(scan.pixels, np.load(path)["train_images"][2, None, ..., 0])
    assert not scan.colour and scan.header["photometric"] == "MONOCHROME2"


@pytest.mark.parametrize("last", [2, 4, 5, 29])
def test_a_last_axis_that_is_neither_colours_nor_columns_is_refused(tmp_path: Path, last: int) -> None:
    path = saved(tmp_path / "x.npz", (28, 28, last))
    for reads in (lambda: array_rows(path), lambda: read(path / "train_images.npy", 0)):
        with pytest.raises(ScanError, match="shapes of MedMNIST"):
            reads()


@pytest.mark.parametrize(("label", "expected"), [(True, "1"), (np.float32(2), "2"), (np.uint64(2**63), str(2**63))])
def test_labels_of_any_kind_of_number(tmp_path: Path, label: object, expected: str) -> None:
    path = saved(tmp_path / "x.npz", train_labels=np.array([[label]] * 4))
    assert array_rows(path)[0][2] == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_labels": np.array([[np.inf]] * 4)}, "shapes of MedMNIST"),
        ({"train_labels": np.array([[1.0], [-np.inf], [np.nan], [2.0]])}, "shapes of MedMNIST"),
        ({"train_images": np.zeros((4, 28), np.uint8)}, "shapes of MedMNIST"),
        ({"train_images": np.zeros((4, 2, 28, 28, 3), np.uint8)}, "shapes of MedMNIST"),
        ({"train_images": np.zeros((5, 28, 28), np.uint8)}, "shapes of MedMNIST"),
        ({"train_labels": np.zeros((4, 1, 1))}, "shapes of MedMNIST"),
        ({"train_labels": np.full((4, 1), 0.5)}, "shapes of MedMNIST"),
        ({"train_labels": np.full((4, 2), 7)}, "0 or 1"),
        ({"train_labels": np.array([[None]] * 4)}, "other than numbers"),
        ({"train_images": np.array([[[{}]]] * 4)}, "other than numbers"),
        ({"train_labels": np.array([["a"]] * 4)}, "other than numbers"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    with pytest.raises(ScanError, match=reason):
        array_rows(saved(tmp_path / "x.npz", **changes))


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 1), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name in ("train_images.npy", "train_labels.npy"):
            archive.writestr(name, header + pickle.dumps([Trap()]))
    for reads in (lambda: array_rows(tmp_path / "x.npz"), lambda: read(tmp_path / "x.npz/train_images.npy", 0)):
        with pytest.raises(ScanError):
            reads()
    assert not (tmp_path / "sprung").exists()


def test_which_picture_must_be_said_and_exist(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz")
    with pytest.raises(ScanError, match="many pictures: index it"):
        read(path)
    with pytest.raises(ScanError, match="holds 4 pictures"):
        read_array(path / "train_images.npy")
    with pytest.raises(ScanError, match="no picture 4"):
        read_array(path / "train_images.npy", 4)
    assert read_array(path / "test_images.npy").pixels.shape == (1, 28, 28)


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 4000, 4000), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train_images.npy", header)
        archive.writestr("train_labels.npy", header)
    with pytest.raises(ScanError, match="cut off or damaged"):
        read(tmp_path / "x.npz/train_images.npy", 0)


def test_columns_first_and_other_byte_orders(tmp_path: Path) -> None:
    images = RANDOM.normal(size=(4, 28, 28)).astype(">f4")
    path = saved(tmp_path / "x.npz", train_images=np.asfortranarray(images))
    for number in range(4):
        np.testing.assert_array_equal(read(path / "train_images.npy", number).pixels[0], images[number])


@settings(max_examples=100, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.floats(0.2, 1))
def test_damage_gives_rows_or_a_scan_error(tmp_path: Path, at: float, byte: int, cut: float) -> None:
    content = bytearray(saved(tmp_path / "x.npz", (5, 6), packed=byte % 2 == 0).read_bytes())
    content[int(at * len(content))] = byte
    (tmp_path / "y.npz").write_bytes(content[: int(len(content) * min(1, cut * 2))])
    arrays._load_once.cache_clear()
    try:
        for images, number, _, _ in array_rows(tmp_path / "y.npz"):
            assert np.isfinite(read_array(images, number).pixels).all()
    except ScanError as error:
        assert str(error)
