"""Facts in the pixels' own units: what they say of a value must hold for the pixels that are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_voi
from pydicom.uid import ExplicitVRLittleEndian

from medtl.scans.dicom import read_dicom
from medtl.scans.dicom_facts import _text, facts
from medtl.scans.dicom_header import read_elements
from medtl.scans.dicom_pixels import real_values
from medtl.scans.read import read_scan
from medtl.scans.scan import Scan

WHEEL = Path(pydicom.data.__file__).parent / "test_files"


def a_picture(**fields: object) -> Dataset:
    """A grey picture of 2 x 3, 12 bits, with these fields."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.3"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.Rows, dataset.Columns = "MONOCHROME2", 1, 2, 3
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = np.array([0, 5, 100, 101, 2000, 4095], np.uint16).tobytes()
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = "1.2", "1.2"
    return dataset


def facts_of(dataset: Dataset, folder: Path, turned: bool = False) -> dict:
    file = folder / "picture.dcm"
    dataset.save_as(file, enforce_file_format=True)
    elements = read_elements(file, pixels=True)
    return facts(elements, real_values(elements, file)[1] if turned else None)


def test_all_windows_and_the_first_of_them(tmp_path: Path) -> None:
    found = facts_of(a_picture(WindowCenter=[40, 600], WindowWidth=[400, 1600], VOILUTFunction="SIGMOID"), tmp_path)
    assert found["windows"] == [(40, 400), (600, 1600)]
    assert (found["window_center"], found["window_width"]) == (40, 400)
    assert found["window_function"] == "SIGMOID"


@pytest.mark.parametrize(("centre", "width"), [("40", "0"), ("x", "5"), ("", ""), ("nan", "3"), ("5", "")])
def test_a_window_that_is_none_is_left_out(tmp_path: Path, centre: str, width: str) -> None:
    picture = a_picture()
    for keyword, text in (("WindowCenter", centre), ("WindowWidth", width)):
        picture.add(pydicom.DataElement(keyword, "DS", text.encode(), already_converted=True))
    assert "window_center" not in facts_of(picture, tmp_path)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_the_voi_table_shows_what_pydicom_shows(tmp_path: Path, photometric: str) -> None:
    item, entries = Dataset(), (np.linspace(0, 1, 3000) ** 2 * 1023).astype(np.uint16)
    item.LUTDescriptor = [3000, 50, 10]
    item.add_new("LUTData", "US", entries.tolist())
    picture = a_picture(VOILUTSequence=[item], PhotometricInterpretation=photometric)
    found = facts_of(picture, tmp_path, turned=photometric == "MONOCHROME1")
    first, table = found["voi_lut"]
    pixels = read_scan([tmp_path / "picture.dcm"]).pixels[0]
    shown = np.array(table)[np.clip(pixels - first, 0, len(table) - 1).astype(int)]
    by_pydicom = apply_voi(picture.pixel_array, picture)
    expected = by_pydicom if photometric == "MONOCHROME2" else 1023 - by_pydicom.astype(int)
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ("fields", "empty"),
    [
        ({"PixelPaddingValue": 0}, [True, False, False, False, False, False]),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 100}, [True, True, True, False, False, False]),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 2000}, [False] * 4 + [True, True]),
        ({"PixelPaddingValue": 5, "RescaleSlope": "0.5", "RescaleIntercept": "-7"}, [False, True] + [False] * 4),
        ({"PixelPaddingValue": 5, "PhotometricInterpretation": "MONOCHROME1"}, [False, True] + [False] * 4),
    ],
)
def test_padding_names_the_pixels_that_show_nothing(tmp_path: Path, fields: dict, empty: list[bool]) -> None:
    a_picture(**fields).save_as(tmp_path / "picture.dcm", enforce_file_format=True)
    scan = read_scan([tmp_path / "picture.dcm"])
    low, high = scan.header["padding"]
    assert ((scan.pixels.ravel() >= low) & (scan.pixels.ravel() <= high)).tolist() == empty


def test_padding_through_a_modality_table(tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
    item.add_new("LUTData", "US", [7 * value for value in range(4096)])
    picture = a_picture(PixelPaddingValue=5, ModalityLUTSequence=[item])
    picture.save_as(tmp_path / "picture.dcm", enforce_file_format=True)
    assert read_scan([tmp_path / "picture.dcm"]).header["padding"] == (35, 35)


def test_padding_of_a_signed_ct_is_below_air() -> None:
    assert read_scan([WHEEL / "CT_small.dcm"]).header["padding"] == (-2000 - 1024, -2000 - 1024)


def test_padding_of_a_turned_picture_holds_to_the_last_bit(tmp_path: Path) -> None:
    """What was stored as padding is found by the fact, and nothing else, whatever float32 rounds."""
    stored = np.random.default_rng(0).permutation(4096)[:600].astype(np.uint16)
    for slope, intercept in (("0.1", "-3.3"), ("0.37", "1000.7"), ("-0.0123", "0.456")):
        picture = a_picture(
            PhotometricInterpretation="MONOCHROME1", Rows=20, Columns=30, PixelData=stored.tobytes(),
            RescaleSlope=slope, RescaleIntercept=intercept,
        )  # fmt: skip
        for low in (int(stored[0]), int(stored[1])):
            picture.PixelPaddingValue, picture.PixelPaddingRangeLimit = low, min(low + 50, 4095)
            picture.save_as(tmp_path / "picture.dcm", enforce_file_format=True)
            scan = read_scan([tmp_path / "picture.dcm"])
            expected = (stored >= low) & (stored <= low + 50)
            np.testing.assert_array_equal(padded(scan).ravel(), expected)


def test_a_palette_has_no_padding(tmp_path: Path) -> None:
    """PixelPaddingValue is a number of the palette there, and what is read are colours."""
    picture = pydicom.dcmread(WHEEL / "examples_palette.dcm")
    picture.add_new("PixelPaddingValue", "US", 0)
    picture.save_as(tmp_path / "picture.dcm")
    assert "padding" not in read_scan([tmp_path / "picture.dcm"]).header


def padded(scan: Scan) -> np.ndarray:
    """Which voxels are padding, by the scan's own account."""
    low, high = scan.header["padding"]
    return (scan.pixels >= low) & (scan.pixels <= high)


SLOPES = [(1, 0), (2, -10), (3, -20)]  # 0 as stored is 0, -10 and -20


def slices_with_padding(phantom: Any, photometric: str = "MONOCHROME2") -> tuple[list[Dataset], np.ndarray, np.ndarray]:
    """Three slices, each with its own rescale, whose left half is padding (0 as stored); values, and which are padding.

    5, 10 and so on of the others have values that are padding in another slice.
    """
    stored = np.broadcast_to(np.arange(1, 49, dtype=np.int16).reshape(6, 8), (3, 6, 8)).copy()
    stored[:, :, :4] = 0
    datasets = phantom.stack(3, modality="PT", PhotometricInterpretation=photometric)
    for values, dataset, (slope, intercept) in zip(stored, datasets, SLOPES, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelData = slope, intercept, values.tobytes()
        dataset.add_new("PixelPaddingValue", "SS", 0)
    real = np.stack([values * slope + intercept for values, (slope, intercept) in zip(stored, SLOPES, strict=True)])
    return datasets, real, stored == 0


def test_padding_of_slices_that_differ_in_slope_is_known_in_each(phantom: Any, save: Any) -> None:
    datasets, real, empty = slices_with_padding(phantom)
    assert (real[~empty] == 0).any()  # what is padding in the first slice is shown in another
    scan = read_dicom(save(datasets))
    np.testing.assert_array_equal(padded(scan), empty)
    np.testing.assert_array_equal(scan.pixels[~empty], real[~empty])


def test_padding_of_turned_slices_that_differ_in_slope(phantom: Any, save: Any) -> None:
    datasets, real, empty = slices_with_padding(phantom, "MONOCHROME1")
    scan = read_dicom(save(datasets))
    np.testing.assert_array_equal(padded(scan), empty)
    assert len(np.unique(scan.pixels[~empty] + real[~empty])) == 1  # turned about one value


def test_padding_of_frames_that_differ_in_slope(tmp_path: Path) -> None:
    groups = []
    for slope, intercept in SLOPES:
        group, rescale = Dataset(), Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept = slope, intercept
        group.PixelValueTransformationSequence = [rescale]
        groups.append(group)
    stored = np.array([[0, 5, 10, 3, 7, 20]] * 3, np.uint16).reshape(3, 2, 3)
    a_picture(
        NumberOfFrames=3, PixelData=stored.tobytes(), PixelPaddingValue=0, PerFrameFunctionalGroupsSequence=groups
    ).save_as(tmp_path / "picture.dcm", enforce_file_format=True)
    scan = read_scan([tmp_path / "picture.dcm"])
    np.testing.assert_array_equal(padded(scan), stored == 0)
    np.testing.assert_array_equal(scan.pixels[2, 0, 1:], [-5, 10])


def test_one_slice_without_padding_among_others(phantom: Any, save: Any) -> None:
    datasets, _, empty = slices_with_padding(phantom)
    for dataset in datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    del datasets[1].PixelPaddingValue
    scan = read_dicom(save(datasets))
    empty[1] = False
    np.testing.assert_array_equal(padded(scan), empty)
    assert (scan.pixels[1, :, :4] == 0).all()


@pytest.mark.parametrize("padding", [-2000, 150])
def test_padding_is_not_mixed_into_what_is_shown_when_resampled(phantom: Any, save: Any, padding: int) -> None:
    """Slices at 0, 1 and 3 mm: at 2 mm half of each neighbour, and only what is shown of them."""
    values = np.array([[100, 100, 100, 100], [200, 200, padding, padding], [100, 300, 300, padding]], np.int16)
    datasets = phantom.stack(3, position=(0.0, 0.0, 0.0), size=(3, 4), RescaleSlope=1)
    for dataset, height, row in zip(datasets, (0.0, 1.0, 3.0), values, strict=True):
        dataset.ImagePositionPatient = [0.0, 0.0, height]
        dataset.PixelData = np.tile(row, (3, 1)).tobytes()
        dataset.add_new("PixelPaddingValue", "SS", padding)
    scan = read_dicom(save(datasets), on_gap="resample")
    assert len(scan.pixels) == 4
    expected = [[100, 100, 100, 100], [200, 200, None, None], [150, 250, 300, None], [100, 300, 300, None]]
    found = np.where(padded(scan), np.nan, scan.pixels)[:, 0]
    np.testing.assert_allclose(found, np.array(expected, float), rtol=1e-6)


def a_region(top: int, left: int, bottom: int, right: int, form: int = 1, data: int = 1) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = form, data
    region.RegionLocationMinY0, region.RegionLocationMinX0 = top, left
    region.RegionLocationMaxY1, region.RegionLocationMaxX1 = bottom, right
    return region


def test_ultrasound_regions_of_tissue_in_two_dimensions(tmp_path: Path) -> None:
    tissue, doppler, outside = a_region(0, 1, 0, 2), a_region(1, 0, 1, 2, 3, 3), a_region(0, 0, 500, 500)
    found = facts_of(a_picture(SequenceOfUltrasoundRegions=[doppler, tissue]), tmp_path)
    assert found["regions"] == [(0, 1, 1, 3)]
    assert facts_of(a_picture(SequenceOfUltrasoundRegions=[doppler]), tmp_path)["regions"] == [(1, 0, 2, 3)]
    assert facts_of(a_picture(SequenceOfUltrasoundRegions=[outside]), tmp_path)["regions"] == [(0, 0, 2, 3)]
    assert "regions" not in facts_of(a_picture(SequenceOfUltrasoundRegions=[a_region(9, 9, 12, 12)]), tmp_path)
    assert "regions" not in facts_of(a_picture(SequenceOfUltrasoundRegions=[Dataset()]), tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_the_loop_of_a_real_machine_crops_to_its_fan() -> None:
    from medtl.intensity.steps import crop_to_region

    loop = read_scan([WHEEL / "examples_ybr_color.dcm"])
    assert loop.pixels.shape == (30, 240, 320, 3)  # frames, rows, columns
    ((top, left, bottom, right),) = loop.header["regions"]
    fan = crop_to_region(loop)
    assert fan.pixels.shape == (30, bottom - top, right - left, 3)
    assert fan.header["regions"] == [(0, 0, bottom - top, right - left)]
    np.testing.assert_array_equal(fan.pixels, loop.pixels[:, top:bottom, left:right])


def test_rounding_is_said_and_only_where_it_happens(tmp_path: Path) -> None:
    large = np.array([0, 1, 2, 3, 4, 2**24 + 1], np.uint32)
    wide = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}
    assert facts_of(a_picture(PixelData=large.tobytes(), **wide), tmp_path)["rounded"] == 1
    assert "rounded" not in facts_of(a_picture(PixelData=(large // 2).tobytes(), **wide), tmp_path)
    assert "rounded" not in facts_of(a_picture(), tmp_path)


def test_no_identifier_and_no_free_text(tmp_path: Path) -> None:
    secret = "Jane Doe"
    picture = a_picture(
        PatientName=secret, PatientID=secret, StudyDescription=secret, InstitutionName=secret, WindowCenter=1,
        WindowWidth=2, WindowCenterWidthExplanation=secret, ImageComments=secret, BurnedInAnnotation="YES",
        Manufacturer="Maker", ManufacturerModelName="Model",
    )  # fmt: skip
    found = facts_of(picture, tmp_path)
    assert secret not in repr(found)
    assert (found["burned_in"], found["manufacturer"], found["model"], found["bits"]) == (True, "Maker", "Model", 12)


def test_several_makers_are_the_first_and_none_is_none() -> None:
    assert [_text({"Manufacturer": names}, "Manufacturer") for names in (["A", "B"], [], None)] == ["A", "", ""]


def test_rounding_in_any_slice_of_a_series_is_said(phantom: Any, save: Any) -> None:
    datasets = phantom.stack(3)
    for number, dataset in enumerate(datasets):
        values = np.full((6, 8), 2**24 + 1 if number == 2 else 5, np.int32)
        dataset.BitsAllocated = dataset.BitsStored = 32
        dataset.HighBit, dataset.RescaleSlope, dataset.PixelData = 31, 1, values.tobytes()
    scan = read_dicom(save(datasets))
    assert scan.header["rounded"] == 1.0
    assert scan.pixels[2, 0, 0] == 2.0**24
