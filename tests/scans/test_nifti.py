"""NIfTI against nibabel: the same value at the same place, whatever the axes."""

from __future__ import annotations

import gzip
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans import source
from medtl.scans.nifti import nifti_volumes, read_nifti

RANDOM = np.random.default_rng(0)


def volume(path: Path, shape: tuple[int, ...] = (4, 5, 6), affine: np.ndarray | None = None, kind: type = np.int16):
    """A small volume, saved; its values tell its voxels apart."""
    values = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    if affine is None:
        affine = np.array([[0, -2, 0.1, 5], [1.5, 0, 0, -7], [0, 0.2, 3, 9], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(values, affine)
    nibabel.save(image, path)
    return image


def assert_same(path: Path) -> None:
    scan, image = read_nifti(path), nibabel.load(path)
    expected = image.get_fdata(dtype=np.float32)
    assert scan.pixels.shape == expected.shape[::-1]
    for i, j, k in np.random.default_rng(0).integers(0, expected.shape, (50, 3)):
        assert scan.pixels[k, j, i] == expected[i, j, k]
        place = nibabel.affines.apply_affine(image.affine, (i, j, k))
        np.testing.assert_allclose(nibabel.affines.apply_affine(scan.affine, (k, j, i)), place, atol=1e-4)
    np.testing.assert_allclose(scan.spacing, nibabel.affines.voxel_sizes(image.affine)[::-1], rtol=1e-6)


def test_brains_equal_nibabel(shared_data: Path) -> None:
    for path in sorted((shared_data / "brain-mr").glob("*.nii.gz"))[:3]:
        assert_same(path)


def test_volumes_of_dcm2niix_equal_nibabel(shared_data: Path) -> None:
    assert_same(shared_data / "dicom" / "dcm_qa_ts" / "Ref" / "1.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_sheared_affine_and_kinds_equal_nibabel(tmp_path: Path, name: str, kind: type) -> None:
    volume(tmp_path / name, kind=kind)
    assert_same(tmp_path / name)


def test_nifti_2_and_a_name_that_lies(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(np.ones((2, 3, 4), np.int16), np.eye(4)), tmp_path / "a.nii")
    lying = (tmp_path / "a.nii").rename(tmp_path / "scan.jpg")
    assert read_nifti(lying).pixels.shape == (4, 3, 2)


def test_no_place_is_no_affine(tmp_path: Path) -> None:
    image = volume(tmp_path / "a.nii")
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "b.nii")
    scan = read_nifti(tmp_path / "b.nii")
    assert scan.affine is None
    np.testing.assert_allclose(scan.spacing, image.header.get_zooms()[::-1])


def test_first_volume_of_a_time_series(tmp_path: Path) -> None:
    volume(tmp_path / "a.nii", (3, 4, 5, 7))
    scan = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.pixels.T, nibabel.load(tmp_path / "a.nii").get_fdata()[..., 0])
    assert scan.header["volumes"] == 7


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    image = volume(tmp_path / "a.nii", affine=np.diag([200.0, 300, 400, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    scan = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(scan.spacing, (0.4, 0.3, 0.2))
    np.testing.assert_allclose(scan.affine @ [1, 0, 0, 1], [0, 0, 0.4, 1])


def test_not_a_number_is_nothing_and_colour_is_colour(tmp_path: Path) -> None:
    values = np.ones((2, 3, 4), np.float32)
    values[1, 2, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").pixels.sum() == 23
    colour = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["G"] = 7
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "b.nii")
    scan = read_nifti(tmp_path / "b.nii")
    assert scan.pixels.shape == (4, 3, 2, 3) and scan.pixels[0, 0, 0].tolist() == [0, 7, 0]


def test_a_flat_picture_in_colour_is_one_slice_in_colour(tmp_path: Path) -> None:
    colour = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    stored = colour.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii")
    scan = read_nifti(tmp_path / "a.nii")
    assert scan.colour
    np.testing.assert_array_equal(scan.pixels, colour.swapaxes(0, 1)[None])
    nibabel.save(nibabel.Nifti1Image(stored.reshape(1, 1, 30), np.eye(4)), tmp_path / "b.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "b.nii").pixels, colour.reshape(30, 1, 1, 3))
    volume(tmp_path / "c.nii", (4, 5))
    assert read_nifti(tmp_path / "c.nii").pixels.shape == (1, 5, 4)


def test_a_packed_time_series_is_unpacked_once_for_all_its_volumes(tmp_path: Path, monkeypatch) -> None:
    image = volume(tmp_path / "a.nii.gz", (32, 32, 32, 40))
    unpacked = []
    whole = source._whole
    monkeypatch.setattr(source, "_whole", lambda chunks: unpacked.append(1) or whole(chunks))
    with ThreadPoolExecutor(4) as pool:
        scans = list(pool.map(lambda number: read_nifti(tmp_path / "a.nii.gz", number), range(40)))
    for number in (0, 17, 39):
        np.testing.assert_array_equal(scans[number].pixels.T, image.get_fdata()[..., number])
    assert len(unpacked) == 1


def test_every_volume_of_a_time_series_equals_nibabel(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        image = volume(tmp_path / name, (3, 4, 5, 7))
        for number in range(7):
            scan = read_nifti(tmp_path / name, number)
            np.testing.assert_array_equal(scan.pixels.T, image.get_fdata()[..., number])
            assert "volumes" not in scan.header
        assert nifti_volumes(tmp_path / name) == 7
        for number in (-1, 7):
            with pytest.raises(ScanError, match="it has 7 volumes, 0 to 6"):
                read_nifti(tmp_path / name, number)
    volume(tmp_path / "b.nii", (3, 4, 5, 7, 1))
    assert nifti_volumes(tmp_path / "b.nii") == 7
    volume(tmp_path / "c.nii", (3, 4, 5))
    np.testing.assert_array_equal(read_nifti(tmp_path / "c.nii", 0).pixels, read_nifti(tmp_path / "c.nii").pixels)
    with pytest.raises(ScanError, match="it has one volume, number 0"):
        read_nifti(tmp_path / "c.nii", 1)


def test_one_volume_of_a_large_series_is_read_alone(tmp_path: Path) -> None:
    volume(tmp_path / "a.nii", (32, 32, 32, 60))
    read_nifti(tmp_path / "a.nii", 3)
    tracemalloc.start()
    read_nifti(tmp_path / "a.nii", 59)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20  # of 3.75 MiB
    tracemalloc.stop()


def test_sform_before_qform_and_units_not_stated(tmp_path: Path) -> None:
    image = volume(tmp_path / "a.nii")
    moved = image.affine.copy()
    moved[:3, 3] += 100
    image.set_qform(np.diag([2.0, 2, 2, 1]), 1)
    for sform_code, expected in ((1, moved), (0, np.diag([2.0, 2, 2, 1]))):
        image.set_sform(moved, sform_code)
        nibabel.save(image, tmp_path / "b.nii")
        scan = read_nifti(tmp_path / "b.nii")
        assert scan.affine is not None
        np.testing.assert_allclose(scan.affine[:, [2, 1, 0, 3]], nibabel.load(tmp_path / "b.nii").affine)
        np.testing.assert_allclose(scan.affine[:, [2, 1, 0, 3]], expected, atol=1e-4)
        assert scan.header["units"] == "not stated"  # nibabel writes none
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "b.nii")
    assert "units" not in read_nifti(tmp_path / "b.nii").header
    content = bytearray((tmp_path / "b.nii").read_bytes())
    content[123] = 7  # a unit that the standard does not have
    (tmp_path / "b.nii").write_bytes(content)
    assert read_nifti(tmp_path / "b.nii").header["units"] == "not stated"


def test_a_scale_is_applied_and_rounding_is_said(tmp_path: Path) -> None:
    image = volume(tmp_path / "a.nii", kind=np.int16)
    image.header.set_slope_inter(0.25, -7)
    nibabel.save(image, tmp_path / "a.nii")
    assert_same(tmp_path / "a.nii")
    assert "rounded" not in read_nifti(tmp_path / "a.nii").header
    values = np.array([0, 2**24, 2**24 + 1, 2**30 + 63], np.int32).reshape(4, 1, 1)
    for slope in (1.0, 2.0):
        image = nibabel.Nifti1Image(values, np.eye(4))
        header = image.header
        header.set_slope_inter(slope, 0)
        image = nibabel.Nifti1Image(values * slope if slope != 1 else values, np.eye(4), header)
        nibabel.save(image, tmp_path / "b.nii")
        scan = read_nifti(tmp_path / "b.nii")
        exact = nibabel.load(tmp_path / "b.nii").get_fdata()
        assert scan.header["rounded"] == np.abs(exact.T - scan.pixels.astype(np.float64)).max() > 0
    nibabel.save(nibabel.Nifti1Image(np.full((2, 2, 2), 1e39), np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(ScanError, match="larger than"):
        read_nifti(tmp_path / "c.nii")


def test_what_nibabel_mends_is_not_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    volume(tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[252:254] = b"\xff\x7f"  # a qform code that there is not
    (tmp_path / "a.nii").write_bytes(content)
    read_nifti(tmp_path / "a.nii")
    assert not caplog.records
    nibabel.load(tmp_path / "a.nii")
    assert "qform_code" in caplog.text  # others still see it


@pytest.mark.parametrize(
    ("shape", "kind", "reason"),
    [((2, 2, 2), np.complex64, "complex"), ((2, 2, 2, 1, 3), np.float32, "vectors")],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, shape: tuple[int, ...], kind: type, reason: str) -> None:
    volume(tmp_path / "a.nii", shape, kind=kind)
    with pytest.raises(ScanError, match=reason):
        read_nifti(tmp_path / "a.nii")


@settings(max_examples=100, deadline=None)
@given(
    packed=st.booleans(),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_damage_gives_a_scan_or_a_scan_error(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, cut: float, flips: list[tuple[float, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    volume(folder / "a.nii")
    damaged = bytearray((folder / "a.nii").read_bytes())
    for where, value in flips:
        damaged[int(where * len(damaged))] = value
    content = bytes(damaged[: int(len(damaged) * (0.5 + cut))])
    (folder / "b.nii").write_bytes(gzip.compress(content)[: 20 + int(2000 * cut)] if packed else content)
    try:
        assert np.isfinite(read_nifti(folder / "b.nii").pixels).all()
    except ScanError as error:
        assert str(error)
