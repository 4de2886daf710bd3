"""Faults that other readers have or had, with the report that tells of each: ours must not have them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedCTImageStorage

from medtl.errors import ScanError
from medtl.scans.dicom import read_dicom
from medtl.scans.read import read

Phantom = Any  # of conftest.py
Save = Callable[..., list[Path]]
FILES = Path(pydicom.data.__file__).parent / "test_files"


def _group(**fields: Any) -> Dataset:
    result = Dataset()
    for keyword, value in fields.items():
        setattr(result, keyword, value)
    return result


def _enhanced(slices: list[Dataset], placed: bool = True) -> Dataset:
    """One file of many frames, as an enhanced CT has it: places in functional groups, none in the file itself."""
    result = slices[0]
    own = []
    for slice_ in slices:
        group = Dataset()
        if placed:
            group.PlanePositionSequence = Items([_group(ImagePositionPatient=slice_.ImagePositionPatient)])
        own.append(group)
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([_group(ImageOrientationPatient=result.ImageOrientationPatient)])
    shared.PixelMeasuresSequence = Items([_group(PixelSpacing=result.PixelSpacing, SliceThickness=3.0)])
    result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    result.NumberOfFrames, result.PixelData = len(slices), b"".join(slice_.PixelData for slice_ in slices)
    result.PerFrameFunctionalGroupsSequence, result.SharedFunctionalGroupsSequence = Items(own), Items([shared])
    del result.ImagePositionPatient, result.ImageOrientationPatient, result.PixelSpacing
    return result


def test_monai_8468_position_in_functional_groups(phantom: Phantom, save: Save) -> None:
    """MONAI #8468: of an enhanced CT, PydicomReader made an affine up (the identity) without a word.

    Here it comes from the functional groups: every voxel lies where the phantom's value says.
    """
    scan = read_dicom(save([_enhanced(phantom.stack(5))]))
    phantom.assert_true(scan)
    assert scan.spacing == (3, 2, 1)


def test_monai_8468_no_position_at_all(phantom: Phantom, save: Save) -> None:
    """MONAI #8468: and where neither the file nor its groups say where it lies, no affine is made up."""
    (file,) = save([_enhanced(phantom.stack(5), placed=False)])
    assert read_dicom([file]).affine is None
    slices = save(phantom.stack(5, position=(0, 0, 0)))
    for slice_ in slices:
        dataset = pydicom.dcmread(slice_)
        del dataset.ImagePositionPatient
        dataset.save_as(slice_)
    with pytest.raises(ScanError, match="do not say where they lie"):
        read_dicom(slices)


@pytest.mark.parametrize("step", [(0, 0, -257.5), (0, 0, 257.5)])
def test_simpleitk_2292_direction_of_the_third_axis(phantom: Phantom, save: Save, step: Any) -> None:
    """SimpleITK #2292: ImageSeriesReader gave a direction matrix that hung on the order of the files.

    The positions are those of the report (70, -187.5, -445 mm): whatever the order, the same array and affine, and the
    third axis runs along the slice normal.
    """
    start = (-8.0, -6.0, 70.0 if step[2] < 0 else -445.0)
    files = save(phantom.stack(3, step, position=start))
    scans = [read_dicom(order) for order in itertools.permutations(files)]
    for scan in scans:
        phantom.assert_true(scan)
        np.testing.assert_array_equal(scan.affine, scans[0].affine)
        np.testing.assert_array_equal(scan.pixels, scans[0].pixels)
        np.testing.assert_allclose(scan.affine[:3, 0], (0, 0, 257.5))


def test_med_imagetools_296_negative_spacing_between_slices(phantom: Phantom, save: Save) -> None:
    """med-imagetools #296: series flipped along z, by the order of file names and a negative SpacingBetweenSlices."""
    for sign in (-1, 1):
        for step in ((0, 0, 3), (0, 0, -3)):
            phantom.assert_true(read_dicom(save(phantom.stack(4, step, SpacingBetweenSlices=3 * sign))))
    single = read_dicom(save([phantom.dataset(SpacingBetweenSlices=-3)]))
    phantom.assert_true(single)


def test_itk_1587_names_and_numbers_against_the_positions(phantom: Phantom, save: Save) -> None:
    """ITK #1587: some volumes were mirrored along z, slices being taken in the order of names or instance numbers."""
    for orientation, step in (
        ((1, 0, 0, 0, 1, 0), (0, 0, 3)),
        ((1, 0, 0, 0, -1, 0), (0, 0, 3)),  # its normal points down
        ((-1, 0, 0, 0, 1, 0), (0, 0, 3)),
        ((0, 1, 0, 0, 0, -1), (3, 0, 0)),
        ((0, 1, 0, 0, 0, 1), (3, 0, 0)),
        ((1, 0, 0, 0, 0, -1), (0, 3, 0)),
    ):
        slices = phantom.stack(4, step, orientation=orientation)
        for number, slice_ in zip((3, 1, 4, 2), slices, strict=True):
            slice_.InstanceNumber = number
        for files in (save(slices), save(slices[::-1])):
            scan = read_dicom(files)
            phantom.assert_true(scan)
            assert scan.affine[:3, 0] * [-1, -1, 1] @ np.cross(orientation[:3], orientation[3:]) > 0


def test_monai_6944_spacing_of_a_single_file(phantom: Phantom, save: Save) -> None:
    """MONAI #6944: of one file alone PydicomReader recorded the wrong spacing.

    PixelSpacing is (between rows, between columns), as SimpleITK has it for the same file.
    """
    (file,) = save([phantom.dataset(spacing=(0.75, 0.5), size=(4, 9), SliceThickness=4.0, SpacingBetweenSlices=5.0)])
    scan = read(file)
    assert scan.spacing == (5.0, 0.75, 0.5)
    phantom.assert_true(scan)
    image = sitk.ReadImage(str(file))
    assert image.GetSpacing()[:2] == (0.5, 0.75)
    assert image.GetSize()[:2] == (9, 4) and scan.pixels.shape == (1, 4, 9)
    (thick,) = save([phantom.dataset(SliceThickness=4.0)])
    assert read(thick).spacing[0] == 4.0
    (neither,) = save([phantom.dataset()])
    assert np.isnan(read(neither).spacing[0]) and read(neither).affine is None


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (0, -1, 0, 1, 0, 0)])
def test_monai_1357_1711_shape_and_affine_in_one_order(phantom: Phantom, save: Save, orientation: Any) -> None:
    """MONAI #1357 and #1711: the array came as (slices, rows, columns), its affine as (columns, rows, slices).

    Three sizes and three spacings that all differ: the affine's columns have the spacing of their own axis, and the
    corner voxels lie where ITK puts them.
    """
    step = 2.5 * np.cross(orientation[:3], orientation[3:])
    files = save(phantom.stack(5, step, orientation=orientation, spacing=(0.75, 0.5), size=(7, 11)))
    scan = read_dicom(files)
    assert scan.pixels.shape == (5, 7, 11)
    np.testing.assert_allclose(np.linalg.norm(scan.affine[:3, :3], axis=0), (2.5, 0.75, 0.5))
    phantom.assert_true(scan)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    image = reader.Execute()
    for corner in itertools.product((0, 4), (0, 6), (0, 10)):
        ras = scan.affine @ (*corner, 1)
        index = image.TransformPhysicalPointToIndex((ras[:3] * [-1, -1, 1]).tolist())
        assert scan.pixels[corner] == pytest.approx(image.GetPixel(index), abs=0.01)


def test_rescale_slope_of_each_slice(phantom: Phantom, save: Save) -> None:
    """PET: each slice has its own RescaleSlope; taking the first one's for all makes wrong activity of the others."""
    slices = phantom.stack(4, modality="PT")
    for number, slice_ in enumerate(slices, 1):
        stored = np.frombuffer(slice_.PixelData, "<i2") // number
        slice_.PixelData, slice_.RescaleSlope = stored.astype("<i2").tobytes(), number / 64
    phantom.assert_true(read_dicom(save(slices)), atol=0.1)
