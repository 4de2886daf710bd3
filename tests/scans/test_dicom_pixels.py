"""Pixel values against pydicom and SimpleITK on every file that pydicom ships, and against their definition."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from medtl.errors import ScanError
from medtl.scans.dicom import read_dicom
from medtl.scans.dicom_codecs import frames_of
from medtl.scans.dicom_header import read_elements
from medtl.scans.dicom_pixels import real_values, rounding
from medtl.scans.read import read_scan

WHEEL = Path(pydicom.data.__file__).parent / "test_files"
TINY = "dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000/IM0000"

#: What becomes of every file in pydicom's wheel: "read", as pydicom or SimpleITK reads it, or the reason why not.
FILES = {
    "read": """
        693_J2KI.dcm CT_small.dcm ExplVR_BigEnd.dcm GDCMJ2K_TextGBR.dcm J2K_pixelrep_mismatch.dcm JPEG-lossy.dcm
        JPEG2000.dcm JPEGLSNearLossless_08.dcm JPEGLSNearLossless_16.dcm JPGExtended.dcm MR_small.dcm MR_small_RLE.dcm
        MR_small_bigendian.dcm MR_small_expb.dcm MR_small_implicit.dcm MR_small_jp2klossless.dcm
        MR_small_jpeg_ls_lossless.dcm MR_small_padded.dcm SC_jpeg_no_color_transform.dcm
        SC_jpeg_no_color_transform_2.dcm SC_rgb_dcmtk_+eb+cr.dcm SC_rgb_dcmtk_+eb+cy+n1.dcm SC_rgb_dcmtk_+eb+cy+n2.dcm
        SC_rgb_dcmtk_+eb+cy+np.dcm SC_rgb_dcmtk_+eb+cy+s2.dcm SC_rgb_dcmtk_+eb+cy+s4.dcm SC_rgb_gdcm_KY.dcm
        SC_rgb_jls_lossy_line.dcm SC_rgb_jls_lossy_sample.dcm SC_rgb_jpeg.dcm SC_rgb_jpeg_app14_dcmd.dcm
        SC_rgb_jpeg_dcmd.dcm SC_rgb_jpeg_dcmtk.dcm SC_rgb_jpeg_gdcm.dcm SC_rgb_jpeg_lossy_gdcm.dcm SC_rgb_rle.dcm
        SC_rgb_rle_16bit.dcm SC_rgb_rle_16bit_2frame.dcm SC_rgb_rle_2frame.dcm SC_rgb_rle_32bit.dcm
        SC_rgb_rle_32bit_2frame.dcm SC_rgb_small_odd.dcm SC_rgb_small_odd_big_endian.dcm SC_rgb_small_odd_jpeg.dcm
        SC_ybr_full_422_uncompressed.dcm examples_jpeg2k.dcm examples_overlay.dcm examples_palette.dcm
        examples_rgb_color.dcm examples_ybr_color.dcm image_dfl.dcm zipMR.gz
        dicomdirtests/77654033/CR1/6154 dicomdirtests/77654033/CR2/6247 dicomdirtests/77654033/CR3/6278
        dicomdirtests/77654033/CT2/17106 dicomdirtests/77654033/CT2/17136 dicomdirtests/77654033/CT2/17166
        dicomdirtests/77654033/CT2/17196 dicomdirtests/98892001/CT2N/6293 dicomdirtests/98892001/CT2N/6924
        dicomdirtests/98892001/CT5N/2062 dicomdirtests/98892001/CT5N/2392 dicomdirtests/98892001/CT5N/2693
        dicomdirtests/98892001/CT5N/3023 dicomdirtests/98892001/CT5N/3353 dicomdirtests/98892003/MR1/15820
        dicomdirtests/98892003/MR1/4919 dicomdirtests/98892003/MR1/5641 dicomdirtests/98892003/MR2/15970
        dicomdirtests/98892003/MR2/4950 dicomdirtests/98892003/MR2/4981 dicomdirtests/98892003/MR2/5011
        dicomdirtests/98892003/MR2/6273 dicomdirtests/98892003/MR2/6605 dicomdirtests/98892003/MR2/6935
        dicomdirtests/98892003/MR700/4467 dicomdirtests/98892003/MR700/4528 dicomdirtests/98892003/MR700/4558
        dicomdirtests/98892003/MR700/4588 dicomdirtests/98892003/MR700/4618 dicomdirtests/98892003/MR700/4648
        dicomdirtests/98892003/MR700/4678""",
    "not an image (radiotherapy object)": """
        ExplVR_BigEndNoMeta.dcm ExplVR_LitEndNoMeta.dcm badVR.dcm rtdose.dcm rtdose_1frame.dcm rtdose_expb.dcm
        rtdose_expb_1frame.dcm rtdose_rle.dcm rtdose_rle_1frame.dcm rtplan.dcm rtplan_truncated.dcm rtstruct.dcm""",
    "not an image (structured report)": "reportsi.dcm reportsi_with_empty_number_tags.dcm test-SR.dcm",
    "not an image (segmentation)": "liver_1frame.dcm liver_expb_1frame.dcm",
    "not an image (waveform)": "waveform_ecg.dcm",
    "not an image (DICOMDIR)": """
        dicomdirtests/DICOMDIR dicomdirtests/DICOMDIR-bigEnd dicomdirtests/DICOMDIR-empty.dcm
        dicomdirtests/DICOMDIR-implicit dicomdirtests/DICOMDIR-nooffset dicomdirtests/DICOMDIR-nopatient
        dicomdirtests/DICOMDIR-reordered dicomdirtests/TINY_ALPHA/DICOMDIR""",
    "not an image (DICOM file without a picture)": """
        empty_charset_LEI.dcm meta_missing_tsyntax.dcm nested_priv_SQ.dcm""",
    # an image without rows, columns or pixels
    "the header ends before it says how large the picture is": "UN_sequence.dcm no_meta_group_length.dcm priv_SQ.dcm "
    + " ".join(f"{TINY}{number // 36}{'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'[number % 36]}" for number in range(50)),
    "the file is cut off: its pixels end before they should": "MR_truncated.dcm",
    # a delimiter written over the size in the picture's own header: no reader reads it
    "the picture has another size than its header says": "JPEG2000-embedded-sequence-delimiter.dcm",
    # a stray byte before the first field: no reader reads it
    "not a scan": "crayons.icc no_meta.dcm",
    "a text file": "README.txt dicomdirtests/README.txt dicomdirtests/TINY_ALPHA/README rtplan.dump rtstruct.dump "
    "test1.json test_PN.json",
}
OUTCOME = {name: outcome for outcome, names in FILES.items() for name in names.split()}


# ---- every file of the wheel


def test_every_file_of_the_wheel_is_in_the_table() -> None:
    there = {str(file.relative_to(WHEEL)) for file in WHEEL.rglob("*") if file.is_file()}
    assert there == set(OUTCOME)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OUTCOME)
def test_each_file_is_read_as_others_read_it_or_refused_with_a_reason(name: str) -> None:
    if OUTCOME[name] != "read":
        with pytest.raises(ScanError) as refused:
            read_scan([WHEEL / name])
        assert str(refused.value).startswith(OUTCOME[name])
        return
    pixels, expected = read_scan([WHEEL / name]).pixels, values_by_others(WHEEL / name)
    if pixels.ndim == 3 and expected.ndim == 4:  # grey stored as three equal channels
        assert (expected == expected[..., :1]).all()
        expected = expected[..., 0]
    assert pixels.dtype == np.float32
    turned = 2e-7 if "/CR" in name else 0  # MONOCHROME1 is turned in float32
    np.testing.assert_allclose(pixels, expected.astype(np.float32), rtol=turned, atol=0)


def values_by_others(file: Path) -> np.ndarray:
    """(frames, rows, columns[, 3]) in real units, by pydicom, or by SimpleITK where it cannot; MONOCHROME1 turned."""
    opened = pydicom.dcmread(pydicom.filebase.DicomBytesIO(_unpacked(file)))
    try:
        values = opened.pixel_array
        if opened.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, opened)
        values = apply_modality_lut(values, opened)
        low, high = (-(2 ** (opened.BitsStored - 1)), 2 ** (opened.BitsStored - 1) - 1)
        if not opened.PixelRepresentation:
            low, high = 0, 2**opened.BitsStored - 1
        if opened.PhotometricInterpretation == "MONOCHROME1":
            values = apply_modality_lut(np.array([low, high]), opened).sum() - values
    except RuntimeError:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    colour = opened.SamplesPerPixel == 3 or opened.PhotometricInterpretation == "PALETTE COLOR"
    return values.reshape(-1, opened.Rows, opened.Columns, *((3,) if colour else ()))


def _unpacked(file: Path) -> bytes:
    import gzip

    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_nine_transfer_syntaxes_hold_the_same_pixels(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom" / "dcm_qa_ts" / "In").iterdir())
    first, *others = [values(file) for file in files]
    assert len(others) == 8
    for other in others:
        np.testing.assert_array_equal(other, first)


def values(file: Path) -> np.ndarray:
    return real_values(read_elements(file, pixels=True), file)[0]


# ---- how values lie


def a_picture(stored: bytes, big: bool = False, **fields: object) -> Dataset:
    """A grey picture of 3 x 4 with these pixels, and with these fields."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.Rows, dataset.Columns = "MONOCHROME2", 1, 3, 4
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    for keyword, value in fields.items():
        setattr(dataset, keyword, value)
    if "BitsStored" in fields and "HighBit" not in fields:
        dataset.HighBit = dataset.BitsStored - 1
    if stored:
        dataset.add_new("PixelData", "OB" if dataset.BitsAllocated <= 8 else "OW", stored)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian if big else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, "1.2"
    return dataset


def read(dataset: Dataset, folder: Path) -> tuple[np.ndarray, float]:
    file = folder / "picture.dcm"
    dataset.save_as(file, enforce_file_format=True)
    return real_values(read_elements(file, pixels=True), file)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_values_lie_in_the_stored_bits_whatever_lies_in_the_others(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    allocated = data.draw(st.sampled_from([8, 16, 32]))
    stored = data.draw(st.integers(1, min(allocated, 24)))
    high_bit = data.draw(st.integers(stored - 1, allocated - 1))
    signed, big = data.draw(st.booleans()), data.draw(st.booleans())
    frames = data.draw(st.integers(1, 3))
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    expected = data.draw(st.lists(st.integers(low, high), min_size=12 * frames, max_size=12 * frames))
    rest = data.draw(st.integers(0, 2**allocated - 1))  # an overlay, say
    below = high_bit + 1 - stored
    mask = (2**stored - 1) << below
    words = [((value << below) & mask) | (rest & ~mask) for value in expected]
    kind = {8: "B", 16: "H", 32: "I"}[allocated]
    picture = a_picture(
        struct.pack(f"{'>' if big else '<'}{len(words)}{kind}", *words), big, NumberOfFrames=frames,
        BitsAllocated=allocated, BitsStored=stored, HighBit=high_bit, PixelRepresentation=int(signed),
    )  # fmt: skip
    read_values, turn = read(picture, tmp_path_factory.getbasetemp())
    assert read_values.ravel().tolist() == expected
    assert read_values.shape == (frames, 3, 4)
    assert turn == low + high


@pytest.mark.parametrize("big", [False, True])
def test_one_bit_a_pixel_runs_on_over_frames(tmp_path: Path, big: bool) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (3, 5, 5))
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    picture = a_picture(packed, big, NumberOfFrames=3, Rows=5, Columns=5, BitsAllocated=1, BitsStored=1)
    np.testing.assert_array_equal(read(picture, tmp_path)[0], bits)


@pytest.mark.parametrize("big", [False, True])
def test_bytes_in_words_are_put_back_in_order(tmp_path: Path, big: bool) -> None:
    grey = bytes(range(12))
    swapped = bytes(np.frombuffer(grey, np.uint16).byteswap().tobytes()) if big else grey
    picture = a_picture(b"", big, BitsAllocated=8, BitsStored=8)
    picture.add_new("PixelData", "OW", swapped)
    assert read(picture, tmp_path)[0].ravel().tolist() == list(range(12))


def test_planes_of_colour_are_put_together(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "NumberOfFrames": 2}
    for planar, stored in enumerate((colours, colours.transpose(0, 3, 1, 2))):
        picture = a_picture(stored.tobytes(), BitsAllocated=8, BitsStored=8, PlanarConfiguration=planar, **colour)
        np.testing.assert_array_equal(read(picture, tmp_path)[0], colours)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_luminance_and_colour_become_rgb_as_in_pydicom(tmp_path: Path, photometric: str) -> None:
    values_a_pixel = 3 if photometric == "YBR_FULL" else 2
    stored = np.random.default_rng(1).integers(0, 256, 12 * values_a_pixel, dtype=np.uint8).tobytes()
    picture = a_picture(
        stored, SamplesPerPixel=3, PhotometricInterpretation=photometric, PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8,
    )  # fmt: skip
    np.testing.assert_array_equal(read(picture, tmp_path)[0][0], picture.pixel_array)


@pytest.mark.parametrize(
    ("keyword", "kind", "vr"), [("FloatPixelData", "<f4", "OF"), ("DoubleFloatPixelData", "<f8", "OD")]
)
def test_floating_point_is_taken_as_it_is(tmp_path: Path, keyword: str, kind: str, vr: str) -> None:
    stored = np.random.default_rng(0).normal(0, 1e5, (1, 3, 4)).astype(kind)
    picture = a_picture(b"", BitsAllocated=8 * stored.itemsize)
    for absent in ("BitsStored", "HighBit", "PixelRepresentation"):
        del picture[absent]
    picture.add_new(keyword, vr, stored.tobytes())
    found, _ = read(picture, tmp_path)
    np.testing.assert_array_equal(found, stored.astype(np.float32))
    assert found.flags.writeable


def test_what_32_bits_cannot_hold_is_refused(tmp_path: Path) -> None:
    picture = a_picture(b"", BitsAllocated=64)
    picture.add_new("DoubleFloatPixelData", "OD", np.full(12, 1e300).tobytes())
    with pytest.raises(ScanError, match="larger than 32-bit floating point"):
        read(picture, tmp_path)


def test_what_float32_rounds_is_said(tmp_path: Path) -> None:
    whole = np.array([0, 5, 2**24, 2**24 + 1, 2**31 + 129, 2**32 - 1] * 2, np.uint32)
    picture = a_picture(whole.tobytes(), BitsAllocated=32, BitsStored=32)
    read(picture, tmp_path)
    elements = read_elements(tmp_path / "picture.dcm", pixels=True)
    assert rounding(elements) == np.abs(whole.astype(np.float32).astype(np.int64) - whole).max() == 127
    picture.RescaleSlope, picture.RescaleIntercept = 2**8, 1
    picture.BitsAllocated, picture.BitsStored, picture.HighBit = 16, 16, 15
    small = np.arange(65524, 65536, dtype=np.uint16)
    picture.PixelData, picture.Rows = small.tobytes(), 3
    read(picture, tmp_path)
    assert rounding(read_elements(tmp_path / "picture.dcm", pixels=True)) == 0  # 2**8 * 65535 + 1 <= 2**24
    picture.RescaleSlope = 1001
    exact = small.astype(np.int64) * 1001 + 1
    found, _ = read(picture, tmp_path)
    error = np.abs(found.ravel().astype(np.int64) - exact).max()
    assert rounding(read_elements(tmp_path / "picture.dcm", pixels=True)) == error == 2


def test_drawn_overlays_stay_out(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint16)
    picture = a_picture(grey.tobytes())
    picture.add_new((0x6000, 0x0010), "US", 3)
    picture.add_new((0x6000, 0x0011), "US", 4)
    picture.add_new((0x6000, 0x3000), "OW", b"\xff\x0f")
    assert read(picture, tmp_path)[0].ravel().tolist() == grey.tolist()


# ---- what values stand for


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (2, 3), (0.3, -7.25), (-1, 100), (1e-5, 0)])
@pytest.mark.parametrize("preallocated", [False, True])
def test_rescale_is_right_to_the_last_bit(tmp_path: Path, slope: float, intercept: float, preallocated: bool) -> None:
    grey = np.linspace(-32768, 32767, 12).astype(np.int16)
    picture = a_picture(grey.tobytes(), PixelRepresentation=1, RescaleSlope=slope, RescaleIntercept=intercept)
    read(picture, tmp_path)
    out = np.empty((1, 3, 4), np.float32) if preallocated else None
    found, turn = real_values(read_elements(tmp_path / "picture.dcm", pixels=True), tmp_path / "picture.dcm", out)
    assert out is None or found is out
    np.testing.assert_array_equal(found.ravel(), (grey * np.float64(slope) + intercept).astype(np.float32))
    assert turn == pytest.approx(-slope + 2 * intercept)


def test_each_frame_has_its_own_slope(tmp_path: Path) -> None:
    groups = []
    for slope, intercept in ((1, 0), (0.5, -10), (3, 7)):
        group, transformation = Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = slope, intercept
        group.PixelValueTransformationSequence = [transformation]
        groups.append(group)
    grey = np.arange(36, dtype=np.uint16).reshape(3, 3, 4)
    picture = a_picture(grey.tobytes(), NumberOfFrames=3, PerFrameFunctionalGroupsSequence=groups)
    found, _ = read(picture, tmp_path)
    np.testing.assert_array_equal(found, [grey[0], grey[1] * 0.5 - 10, grey[2] * 3 + 7])


@pytest.mark.parametrize("slope", ["0", "nan", "1e400"])
def test_a_rescale_that_makes_no_sense_is_refused(tmp_path: Path, slope: str) -> None:
    picture = a_picture(bytes(24), RescaleIntercept=0)
    picture.add(pydicom.DataElement("RescaleSlope", "DS", slope.encode(), already_converted=True))
    with pytest.raises(ScanError, match="RescaleSlope"):
        read(picture, tmp_path)


@pytest.mark.parametrize(("vr", "first"), [("US", 0), ("OW", 3), ("US", 200)])
def test_modality_table_is_looked_up_as_in_pydicom(tmp_path: Path, vr: str, first: int) -> None:
    item, table = Dataset(), np.arange(256, dtype=np.uint16)[::-1] * 17
    item.LUTDescriptor, item.ModalityLUTType = [256, first, 16], "US"
    item.add_new("LUTData", vr, table.tobytes() if vr == "OW" else table.tolist())
    grey = np.array([0, 1, 2, 3, 100, 200, 201, 255, 256, 300, 455, 999], np.uint16)
    picture = a_picture(grey.tobytes(), BitsStored=12, ModalityLUTSequence=[item])
    found, turn = read(picture, tmp_path)
    np.testing.assert_array_equal(found[0], apply_modality_lut(picture.pixel_array, picture))
    assert turn == table.min() + table.max()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("segmented", [False, True])
def test_palettes_are_looked_up_as_in_pydicom(tmp_path: Path, depth: int, segmented: bool) -> None:
    grey = np.array([0, 4, 5, 6, 7, 9, 10, 12, 13, 14, 15, 255], np.uint8)
    picture = a_picture(grey.tobytes(), PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8)
    scale = 1 if depth == 8 else 250
    kind = "<u1" if depth == 8 else "<u2"
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(picture, f"{name}PaletteColorLookupTableDescriptor", [10, 5, depth])
        if segmented:  # two as they are, four up to 60, both segments again: the offset of 0 in 2 or 4 codes
            codes = [0, 2, scale * (10 + number), scale * 20, 1, 4, scale * 60]
            codes += [2, 2, 0, 0] if depth == 16 else [2, 2, 0, 0, 0, 0, 0]
            setattr(picture, f"Segmented{name}PaletteColorLookupTableData", np.array(codes, kind).tobytes())
        else:
            table = (np.arange(10)[::-1] * (number + 1) * scale).astype(kind)
            setattr(picture, f"{name}PaletteColorLookupTableData", table.tobytes())
    found, _ = read(picture, tmp_path)
    np.testing.assert_array_equal(found[0], apply_color_lut(picture.pixel_array, picture))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"BitsAllocated": 12, "BitsStored": 12}, "12 bits each"),
        ({"BitsStored": 17}, "does not say rightly"),
        ({"SamplesPerPixel": 1000}, "does not say rightly"),
        ({"PhotometricInterpretation": "CMYK", "SamplesPerPixel": 4}, "stored as CMYK"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_422", "SamplesPerPixel": 3}, "stored as YBR_PARTIAL_422"),
        ({"PhotometricInterpretation": "YBR_ICT", "SamplesPerPixel": 3, "Rows": 1}, "stored as YBR_ICT"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "table in the header"),
        ({"Rows": 65535, "Columns": 65535}, "far more pixels than the file can hold"),
        ({"NumberOfFrames": 10**6}, "far more pixels than the file can hold"),
        ({"Rows": 4}, "cut off"),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words(tmp_path: Path, fields: dict[str, object], says: str) -> None:
    with pytest.raises(ScanError, match=says):
        read(a_picture(bytes(24), **fields), tmp_path)


# ---- compressed


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_frames_are_found_by_any_table_and_by_none(fragments: int, table: str) -> None:
    original = pydicom.dcmread(WHEEL / "examples_ybr_color.dcm")
    frames = list(generate_frames(original.PixelData, number_of_frames=30))
    offsets = None
    if table == "extended":
        data, offsets, _ = encapsulate_extended(frames)
        fragments = 1
    else:
        data = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
    found = list(frames_of(data, 30, offsets))
    assert [frame.rstrip(b"\0") for frame in found] == [frame.rstrip(b"\0") for frame in frames]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"])
def test_frames_not_compressed_or_only_deflated_in_fragments(tmp_path: Path, syntax: str) -> None:
    grey = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    frames = [frame.tobytes() for frame in grey]
    if syntax.endswith("8.1"):
        packers = [zlib.compressobj(wbits=-15) for _ in frames]
        frames = [pack.compress(frame) + pack.flush() for pack, frame in zip(packers, frames, strict=True)]
    picture = a_picture(encapsulate(frames), NumberOfFrames=2)
    picture.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.98"
    picture.save_as(tmp_path / "picture.dcm", enforce_file_format=True)
    content = (tmp_path / "picture.dcm").read_bytes()  # pydicom does not write the other one
    named = content.replace(b"1.2.840.10008.1.2.1.98", syntax.encode().ljust(22, b"\0"))
    (tmp_path / "picture.dcm").write_bytes(named)
    np.testing.assert_array_equal(values(tmp_path / "picture.dcm"), grey)


@pytest.mark.parametrize("syntax", ["201", "202", "203"])
def test_high_throughput_jpeg_2000(tmp_path: Path, syntax: str) -> None:
    grey = np.random.default_rng(0).integers(0, 4096, (60, 50)).astype(np.uint16)
    picture = a_picture(encapsulate([imagecodecs.htj2k_encode(grey)]), Rows=60, Columns=50, BitsStored=12)
    picture.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{syntax}"
    np.testing.assert_array_equal(read(picture, tmp_path)[0][0], grey)


def test_frames_of_different_depths_are_refused(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4)
    deep, flat = imagecodecs.jpegls_encode(grey * 100), imagecodecs.jpegls_encode(grey.astype(np.uint8))
    picture = a_picture(encapsulate([deep, flat]), NumberOfFrames=2)
    picture.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"
    with pytest.raises(ScanError, match="different depths"):
        read(picture, tmp_path)


@pytest.mark.parametrize("error", [MemoryError, ImportError])
def test_what_this_machine_lacks_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch, error: type) -> None:
    def decode(*given: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(imagecodecs, "jpegls_decode", decode)
    file = WHEEL / "MR_small_jpeg_ls_lossless.dcm"
    with pytest.raises(error):
        values(file)
    with pytest.raises(error):
        read_dicom([file])


def test_frames_that_do_not_divide_are_refused() -> None:
    data = encapsulate([b"\xff\xd8\xff1", b"\xff\xd8\xff2", b"3"], has_bot=False)
    with pytest.raises(ScanError, match="do not divide into the frames"):
        list(frames_of(data, 4))
    with pytest.raises(ScanError, match="cut off"):
        list(frames_of(data[:-3], 3))
    with pytest.raises(ScanError, match="do not divide into the frames"):  # two pictures, and a header that says one
        list(frames_of(data, 1))
    assert list(frames_of(encapsulate([b"\xff\xd8\xff1", b"23"], has_bot=False), 1)) == [b"\xff\xd8\xff123"]


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_jpeg_dcmtk.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm", "MR_small_RLE.dcm", "JPEG-lossy.dcm"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_compressed_picture_cut_off_is_never_read_in_part(tmp_path: Path, name: str) -> None:
    """The frame's end is missing, and the file around it whole: some decoders would fill up with grey."""
    dataset = pydicom.dcmread(WHEEL / name)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    for part in (0.3, 0.6, 0.95):
        dataset.PixelData = encapsulate([frame[: int(len(frame) * part)]])
        with pytest.raises(ScanError, match=r"cut off|damaged"):
            read(dataset, tmp_path)


def test_a_picture_of_another_size_than_the_header_says_is_not_decoded(tmp_path: Path) -> None:
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm", "SC_rgb_rle.dcm"):
        dataset = pydicom.dcmread(WHEEL / name)
        dataset.Rows += 1
        with pytest.raises(ScanError, match=r"another size|cut off"):
            read(dataset, tmp_path)


def test_monochrome1_is_turned_about_the_headers_bits_not_the_codestreams(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / "693_J2KI.dcm")
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = "MONOCHROME1", 12, 11
    _, turn = read(dataset, tmp_path)
    assert turn == -1 + 2 * -1024


def test_a_makers_own_transfer_syntax_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / "MR_small.dcm")
    dataset.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"
    with pytest.raises(ScanError, match=r"unknown transfer syntax.*export it uncompressed"):
        read(dataset, tmp_path)


def test_compressed_pixels_of_a_file_that_names_no_syntax_are_refused(tmp_path: Path) -> None:
    content = (WHEEL / "MR_small_RLE.dcm").read_bytes()
    content = content.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    (tmp_path / "picture.dcm").write_bytes(content)
    with pytest.raises(ScanError, match="how its pixels are compressed"):
        values(tmp_path / "picture.dcm")


def test_video_is_named_and_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / "SC_rgb_rle.dcm")
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    with pytest.raises(ScanError, match=r"stored as MPEG-4 AVC/H\.264 .* export it uncompressed"):
        read(dataset, tmp_path)
