"""DICOM against other readers: dcm2niix's volumes, SimpleITK, and pydicom's own test files."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medtl.errors import ScanError
from medtl.scans.dicom import read_dicom, read_header
from medtl.scans.dicom_place import renumber
from medtl.scans.dicom_stacks import split_stacks
from medtl.scans.scan import Scan

FILES = Path(pydicom.data.__file__).parent / "test_files"
CT = sorted((FILES / "dicomdirtests" / "98892001" / "CT5N").iterdir())
READ_BY_BOTH = [
    "693_J2KI.dcm",
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "image_dfl.dcm",
    "examples_overlay.dcm",
    "examples_rgb_color.dcm",
    "examples_jpeg2k.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "ExplVR_BigEnd.dcm",
    "GDCMJ2K_TextGBR.dcm",
]
SYNTAXES = ["1", "2", "3", "4", "5", "6", "7", "8", "9"]
SERIES = {
    "20180918GE/mr_0004": "DCM2NIIX_regression_test_4.nii",
    "20180918GE/mr_0006": "DCM2NIIX_regression_test_6.nii",
    "20180918Si/mr_0003": "EPI_PE=AP_3.nii",
    "20180918Si/mr_0004": "EPI_PE=PA_4.nii",
    "20180918Si/mr_0005": "EPI_PE=RL_5.nii",
    "20180918Si/mr_0006": "EPI_PE=LR_6.nii",
}


def assert_same_volume(scan: Scan, reference: Path, volume: int = 0) -> None:
    """The same value at the same place in the patient, voxel by voxel; a place is right within 1e-3 mm."""
    image = nibabel.load(reference)
    expected = np.asarray(image.dataobj)
    expected = expected[..., volume] if expected.ndim == 4 else expected
    voxels = np.stack(np.meshgrid(*map(np.arange, expected.shape), indexing="ij"), -1).reshape(-1, 3)
    places = nibabel.affines.apply_affine(image.affine, voxels)
    index = nibabel.affines.apply_affine(np.linalg.inv(scan.affine), places)
    nearest = np.rint(index).astype(int)
    assert np.abs(nibabel.affines.apply_affine(scan.affine, nearest) - places).max() < 1e-3
    np.testing.assert_array_equal(scan.pixels[tuple(nearest.T)].reshape(expected.shape), expected)
    assert scan.pixels.size == expected.size


def itk(path: Path) -> np.ndarray:
    """SimpleITK's reading of one file, (slices, rows, columns[, 3]), slope and intercept applied."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return sitk.GetArrayFromImage(reader.Execute())


@pytest.mark.parametrize("name", SYNTAXES)
def test_nine_transfer_syntaxes_give_the_volume_of_dcm2niix(shared_data: Path, name: str) -> None:
    folder = shared_data / "dicom" / "dcm_qa_ts"
    assert_same_volume(read_dicom([folder / "In" / f"{name}.dcm"]), folder / "Ref" / f"{name}.nii")


@pytest.mark.parametrize("series", SERIES)
def test_series_give_all_volumes_of_dcm2niix_in_any_file_order(shared_data: Path, series: str) -> None:
    folder = shared_data / "dicom" / "dcm_qa_nih"
    files = sorted(file for file in (folder / "In" / series).iterdir() if file.suffix != ".txt")
    np.random.default_rng(0).shuffle(files)  # type: ignore[arg-type]
    volumes = nibabel.load(folder / "Ref" / SERIES[series]).shape[3]
    stacks = split_stacks(renumber([read_header(file).planes for file in files]))
    assert [stack.name for stack in stacks] == [f"time {number} of {volumes}" for number in range(1, volumes + 1)]
    for volume, stack in enumerate(stacks):
        scan = read_dicom(files, volume=volume)
        assert_same_volume(scan, folder / "Ref" / SERIES[series], volume)
        np.testing.assert_array_equal(scan.affine, stack.affine)
        assert (scan.pixels.shape, scan.spacing, scan.modality) == (stack.size, stack.spacing, "MR")
    first = read_dicom(files)
    np.testing.assert_array_equal(first.pixels, read_dicom(files, volume=0).pixels)
    assert first.header["volumes"] == volumes


def test_every_real_series_has_a_reference(shared_data: Path) -> None:
    """So that all of them are compared, not most."""
    folders = {file.parent for file in (shared_data / "dicom" / "dcm_qa_nih" / "In").rglob("*.dcm")}
    assert {str(folder.relative_to(folder.parents[1])) for folder in folders} == set(SERIES)
    references = {file.name for file in (shared_data / "dicom").rglob("*.nii")}
    assert references == set(SERIES.values()) | {f"{name}.nii" for name in SYNTAXES}


@pytest.mark.parametrize("name", READ_BY_BOTH)
def test_same_pixels_as_simpleitk(name: str) -> None:
    scan, expected = read_dicom([FILES / name]), itk(FILES / name)
    assert scan.pixels.dtype == np.float32
    assert scan.pixels.shape == expected.reshape(scan.pixels.shape).shape
    np.testing.assert_array_equal(scan.pixels.ravel(), expected.astype(np.float32).ravel())


def test_every_file_of_pydicom_is_read_or_refused_with_a_reason() -> None:
    kinds = {}
    for path in sorted(file for file in FILES.rglob("*") if file.is_file()):
        try:
            kinds[path.name] = read_header(path).kind
            scan = read_dicom([path])
            assert scan.pixels.dtype == np.float32 and scan.pixels.ndim == 3 + scan.colour, path.name
            assert np.isfinite(scan.pixels).all(), path.name
        except ScanError as error:
            assert str(path) not in str(error) and "\n" not in str(error) and str(error), path.name
    assert kinds["DICOMDIR"] == "DICOMDIR"
    assert kinds["test-SR.dcm"] == "structured report"
    assert kinds["waveform_ecg.dcm"] == "waveform"
    assert kinds["liver_1frame.dcm"] == "segmentation"
    assert kinds["rtplan.dcm"] == "radiotherapy object"


def test_place_and_spacing_as_simpleitk_has_them() -> None:
    scan = read_dicom(CT)
    series = sitk.ImageSeriesReader()
    series.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(CT[0].parent)))
    image = series.Execute()
    lps = np.array(image.TransformIndexToPhysicalPoint((3, 5, 2)))
    ours = np.linalg.inv(scan.affine) @ np.append(lps * [-1, -1, 1], 1)
    slice_, row, column = np.rint(ours[:3]).astype(int)
    np.testing.assert_allclose(ours[:3], [slice_, row, column], atol=1e-3)
    assert scan.pixels[slice_, row, column] == image.GetPixel(3, 5, 2)
    np.testing.assert_allclose(sorted(scan.spacing), sorted(image.GetSpacing()), rtol=1e-4)


def test_header_says_what_pydicom_says_without_the_pixels() -> None:
    header, dataset = read_header(CT[0]), pydicom.dcmread(CT[0])
    assert (header.kind, header.modality, header.patient_id) == ("image", "CT", dataset.PatientID)
    assert (header.study_uid, header.series_uid) == (dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert header.sop_uid == dataset.SOPInstanceUID
    assert (header.manufacturer, header.model) == ("GE MEDICAL SYSTEMS", "LightSpeed Ultra")
    (plane,) = header.planes
    assert (plane.order, plane.size) == (dataset.InstanceNumber, (16, 16))
    assert plane.position == pytest.approx([float(part) for part in dataset.ImagePositionPatient])
    assert header.transfer_syntax == "Explicit VR Little Endian"


def test_one_missing_slice_is_named() -> None:
    by_height = sorted(CT, key=lambda file: pydicom.dcmread(file).ImagePositionPatient[2])
    step = 2.5
    files = []
    with pytest.raises(ScanError, match=r"slice 3 of 6 is missing \(a gap of 5\.0 mm where slices stand 2\.5 mm"):
        for number, file in enumerate(by_height):
            dataset = pydicom.dcmread(file)
            dataset.ImagePositionPatient[2] = step * (number + (number > 1))
            files.append(_saved(dataset, Path(file.name), number))
        read_dicom(files)


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _saved(dataset: Dataset, path: Path, number: int = 0) -> Path:
    path = Path(f"{number}-{path.name}")
    dataset.save_as(path)
    return path


def test_monochrome1_is_turned_to_equal_its_monochrome2_version() -> None:
    for name in ("CT_small.dcm", "MR_small.dcm", "chrGerm.dcm"):
        path = FILES / name if (FILES / name).exists() else FILES.parent / "charset_files" / name
        dataset = pydicom.dcmread(path)
        upright = read_dicom([path])
        stored = dataset.pixel_array
        low, high = (0, 255) if stored.dtype == np.uint8 else (-(2**15), 2**15 - 1)
        dataset.PixelData = (low + high - stored.astype(int)).astype(stored.dtype).tobytes()
        dataset.PhotometricInterpretation = "MONOCHROME1"
        turned = read_dicom([_saved(dataset, path)])
        np.testing.assert_array_equal(turned.pixels, upright.pixels)  # in HU, for the CT
        assert turned.header["photometric"] == "MONOCHROME1"


def test_monochrome1_in_12_bit_jpeg_is_turned_once(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FILES / "JPEG-lossy.dcm")  # decoded by GDCM, which turns it too
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(tmp_path / "inverted.dcm")
    upright, turned = read_dicom([FILES / "JPEG-lossy.dcm"]), read_dicom([tmp_path / "inverted.dcm"])
    np.testing.assert_array_equal(turned.pixels, 4095 - upright.pixels)


def test_window_is_turned_with_monochrome1() -> None:
    path = FILES / "dicomdirtests" / "77654033" / "CR1" / "6154"
    scan, dataset = read_dicom([path]), pydicom.dcmread(path)
    values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    both = 4095 * float(dataset.RescaleSlope) + 2 * float(dataset.RescaleIntercept)
    np.testing.assert_allclose(scan.pixels[0], both - values, rtol=1e-5)
    centre = float(np.atleast_1d(dataset.WindowCenter)[0])
    assert scan.header["window_center"] == pytest.approx(both - centre)


def test_each_file_has_its_own_slope() -> None:
    files = []
    for number, file in enumerate(CT):
        dataset = pydicom.dcmread(file)
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + number, 0
        files.append(_saved(dataset, file, number))
    scan = read_dicom(files)
    heights = np.argsort([float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in CT])
    if np.linalg.inv(scan.affine)[0, 2] < 0:
        heights = heights[::-1]
    for slice_, file in enumerate(heights):
        np.testing.assert_allclose(scan.pixels[slice_], pydicom.dcmread(CT[file]).pixel_array * (1.0 + file))


def test_palette_colours_as_pydicom_looks_them_up() -> None:
    path = FILES / "examples_palette.dcm"
    dataset = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)
    scan = read_dicom([path])
    np.testing.assert_array_equal(scan.pixels[0], expected)
    assert scan.header["bits"] == 16


def test_colour_of_16_bits_in_rle_where_gdcm_mixes_the_bytes_up() -> None:
    scan = read_dicom([FILES / "SC_rgb_rle_16bit_2frame.dcm"])
    assert scan.pixels.shape == (2, 100, 100, 3)
    assert scan.pixels[0, 5, 50].tolist() == [65535, 0, 0]  # as pydicom's own tests have it
    assert scan.pixels[0, 75, 50].tolist() == [16448, 16448, 16448]


def test_modality_table_is_looked_up() -> None:
    dataset = pydicom.dcmread(FILES / "MR_small.dcm")
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.arange(0, 8192, 2, dtype="<u2").tobytes()
    table.ModalityLUTType = "US"
    dataset.ModalityLUTSequence = Items([table])
    scan = read_dicom([_saved(dataset, Path("x"))])
    np.testing.assert_array_equal(scan.pixels[0], dataset.pixel_array * 2)


def test_grey_stored_as_rgb_is_grey_and_colour_stays() -> None:
    dataset = pydicom.dcmread(FILES / "examples_rgb_color.dcm")
    assert read_dicom([FILES / "examples_rgb_color.dcm"]).colour
    grey = dataset.pixel_array[..., :1].repeat(3, axis=-1)
    dataset.PixelData = grey.tobytes()
    scan = read_dicom([_saved(dataset, Path("grey"))])
    np.testing.assert_array_equal(scan.pixels[0], grey[..., 0])


def test_nothing_is_made_up_where_the_header_does_not_know() -> None:
    dataset = pydicom.dcmread(FILES / "MR_small.dcm")
    del dataset.ImageOrientationPatient
    scan = read_dicom([_saved(dataset, Path("x"))])
    assert scan.affine is None
    assert np.isnan(scan.spacing[0]) and scan.spacing[1:] == (0.3125, 0.3125)


def test_without_preamble(tmp_path: Path) -> None:
    whole = (FILES / "MR_small.dcm").read_bytes()
    path = tmp_path / "bare"
    path.write_bytes(whole[132:])
    np.testing.assert_array_equal(read_dicom([path]).pixels, read_dicom([FILES / "MR_small.dcm"]).pixels)
    assert read_header(path).kind == "image"


def test_same_object_twice_is_one_slice(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(CT[0].read_bytes())
    scan = read_dicom([*CT, copy])
    assert len(scan.pixels) == len(CT) and "volumes" not in scan.header


def test_slices_of_two_directions_are_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CT[0])
    dataset.ImageOrientationPatient, dataset.SOPInstanceUID = [0, 1, 0, 0, 0, -1], "1.2.3"
    with pytest.raises(ScanError, match=r"2 stacks \(sagittal; axial\)"):
        read_dicom([*CT[1:], _saved(dataset, Path("x"))])


def enhanced(path: Path) -> tuple[Dataset, np.ndarray]:
    """A multi-frame object made of the CT's slices: places and slopes in functional groups, frames shuffled."""
    datasets = [pydicom.dcmread(file) for file in CT]
    result = datasets[0]
    frames = np.stack([dataset.pixel_array for dataset in datasets])
    result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    result.NumberOfFrames, result.PixelData = len(frames), frames.tobytes()
    own = []
    for dataset in datasets:
        group, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = dataset.ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept = dataset.RescaleSlope, dataset.RescaleIntercept
        group.PlanePositionSequence, group.PixelValueTransformationSequence = Items([place]), Items([values])
        own.append(group)
    shared, direction, measures = Dataset(), Dataset(), Dataset()
    direction.ImageOrientationPatient = result.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = result.PixelSpacing, 2.5
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([direction]), Items([measures])
    result.PerFrameFunctionalGroupsSequence, result.SharedFunctionalGroupsSequence = Items(own), Items([shared])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(result, keyword)
    result.save_as(path)
    return result, frames


def test_enhanced_multi_frame_equals_its_single_frames(tmp_path: Path) -> None:
    enhanced(tmp_path / "enhanced")
    one, many = read_dicom([tmp_path / "enhanced"]), read_dicom(CT)
    np.testing.assert_array_equal(one.pixels, many.pixels)
    np.testing.assert_allclose(one.affine, many.affine)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a DICOM file"),
        (b"hello" * 50, "not a DICOM file"),
        ((FILES / "MR_small.dcm").read_bytes()[:-500], "cut off"),
        ((FILES / "MR_small_jp2klossless.dcm").read_bytes()[:-500], "cut off"),
        ((FILES / "MR_small.dcm").read_bytes()[:700], "cut off"),
    ],
)
def test_bad_files_have_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "Jane Doe.dcm"
    path.write_bytes(content)
    for read in (read_header, lambda path: read_dicom([path])):
        with pytest.raises(ScanError, match=reason) as caught:
            read(path)
        assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(("rows", "frames"), [(65535, 1), (64, 10**6), (1, 10**6), (0, 1)])
def test_absurd_sizes_are_refused_at_once(tmp_path: Path, rows: int, frames: int) -> None:
    for name in ("MR_small.dcm", "MR_small_RLE.dcm"):
        dataset = pydicom.dcmread(FILES / name)
        dataset.Rows, dataset.NumberOfFrames = rows, frames
        dataset.Columns = rows or 64
        dataset.save_as(tmp_path / "x")
        with pytest.raises(ScanError):
            read_dicom([tmp_path / "x"])


SMALL = [
    (FILES / name).read_bytes() for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_small_odd.dcm")
]


@settings(max_examples=150, deadline=None)
@given(
    content=st.sampled_from(SMALL),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_damage_gives_a_scan_or_a_scan_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    damaged = bytearray(content)
    for where, value in flips:
        damaged[int(where * min(len(damaged), 2500))] = value  # mostly the header
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(damaged[: int(len(damaged) * (0.3 + cut))])
    for read in (read_header, lambda path: read_dicom([path])):
        try:
            read(path)
        except ScanError as error:
            assert str(error)
