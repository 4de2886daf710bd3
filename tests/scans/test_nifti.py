"""NIfTI against nibabel: the same value at the same place, whatever the axes."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans.nifti import read_nifti


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
