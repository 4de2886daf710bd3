"""Headers field by field as pydicom reads them, on every file at hand; damaged ones with a reason; cheaply."""

from __future__ import annotations

import gzip
import io
import math
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import PersonName

from medtl.errors import ScanError
from medtl.scans.dicom_header import Elements, read_elements, read_header

DATA = Path(pydicom.data.__file__).parent
FILES = DATA / "test_files"
NO_DICOM = {".txt", ".dump", ".json", ".icc", ".nii", ""}
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def plain(value: Any) -> Any:
    """A value of pydicom's in Python's own types, without its padding."""
    if isinstance(value, MultiValue | list):
        return [plain(part) for part in value]
    if isinstance(value, PersonName | str):
        return str(value).strip(" \0")
    if isinstance(value, float | int):
        return float(value) if isinstance(value, float) else int(value)
    return value


def differences(elements: Elements, dataset: Dataset, path: str) -> Iterator[str]:
    """Each field, in each item of each sequence, that is read otherwise than by pydicom."""
    theirs = [(tag.group, tag.elem) for tag in dataset.keys()]  # noqa: SIM118 - a Dataset iterates over elements
    if set(elements) != set(theirs) or len(elements) != len(theirs):
        yield f"{path}: {set(elements) ^ set(theirs)}"
    for group, element in theirs:
        name = f"{path} ({group:04x},{element:04x})"
        field, ours = dataset[group, element], elements.get((group, element))
        if isinstance(field.value, Items):
            if len(field.value) != len(ours or []):
                yield f"{name}: {len(field.value)} items and not {len(ours or [])}"
            for number, (item, other) in enumerate(zip(ours or [], field.value, strict=False)):
                yield from differences(item, other, f"{name}[{number}]")
            continue
        expected = None if field.is_empty else plain(field.value)
        if ours != (None if expected in ("", []) else expected):
            yield f"{name} {field.VR}: {expected!r}, not {ours!r}"


def read_by_pydicom(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content), force=True, stop_before_pixels=True)


def everything(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if path.read_bytes()[128:132] == b"DICM" or path.suffix not in NO_DICOM]


@pytest.mark.filterwarnings("ignore")
def test_every_field_of_pydicoms_files_as_pydicom_reads_it() -> None:
    files = [*everything(FILES), *everything(DATA / "charset_files")]
    assert len(files) > 150
    wrong = []
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if path.name == "no_meta.dcm":  # a stray byte at its start: pydicom reads nonsense
            with pytest.raises(ScanError, match="not a DICOM file"):
                read_elements(path)
            continue
        elements, dataset = read_elements(path), read_by_pydicom(content)
        if path.name == "rtplan_truncated.dcm":  # pydicom keeps the field that is cut off
            del dataset[0x300A00B0]
        if path.name == "badVR.dcm":  # NumberOfFrames is "1A"
            assert math.isnan(elements.get("NumberOfFrames"))
            dataset.NumberOfFrames = 1
            wrong += [line for line in differences(elements, dataset, path.name) if "(0028,0008)" not in line]
            continue
        wrong += differences(elements, dataset, path.name)
        if dataset.file_meta.get("TransferSyntaxUID"):
            assert elements.transfer_syntax == dataset.file_meta.TransferSyntaxUID
        assert elements.little == dataset.original_encoding[1]
        for field in dataset.file_meta:
            assert elements.file_meta.get(field.keyword, "") == plain(field.value), field
    assert not wrong


def test_every_field_of_the_real_series_as_pydicom_reads_it(shared_data: Path) -> None:
    files = everything(shared_data / "dicom")
    assert len(files) > 310
    chosen = [file for number, file in enumerate(files) if "20180918GE" not in str(file) or number % 20 == 0]
    wrong = [
        line
        for file in chosen
        for line in differences(read_elements(file), read_by_pydicom(file.read_bytes()), file.name)
    ]
    assert not wrong


def test_a_layout_met_before_gives_the_same_fields(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom/dcm_qa_nih/In/20180918GE/mr_0004").glob("*.dcm"))
    for file in files:
        dataset = read_by_pydicom(file.read_bytes())
        for elements in (read_elements(file), read_elements(file)):
            for keyword in ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "SliceLocation", "TriggerTime"):
                assert elements.get(keyword) == plain(dataset.get(keyword)), keyword


@pytest.mark.filterwarnings("ignore")
def test_pixels_are_pydicoms_to_the_byte() -> None:
    compared = 0
    for path in everything(FILES):
        try:
            elements = read_elements(path, pixels=True)
        except ScanError as error:
            assert "cut off" in str(error) or path.name == "no_meta.dcm", path.name
            continue
        content = path.read_bytes()
        dataset = pydicom.dcmread(io.BytesIO(gzip.decompress(content) if path.suffix == ".gz" else content), force=True)
        place = elements.pixels_at
        if place is None:
            assert not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(dataset.dir())
            continue
        offset, length, keyword = place
        assert elements.pixel_bytes() == dataset[keyword].value, path.name
        assert (length is None) == dataset[keyword].is_undefined_length
        if not elements.syntax.endswith(".1.99"):  # deflated: pydicom counts in the inflated part
            assert offset == dataset[keyword].file_tell
        compared += 1
    assert compared > 90


def made(**fields: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CAPTURE, "1.2.3.4", "OT"
    dataset.Rows = dataset.Columns = 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = bytes(8)
    for name, value in fields.items():
        setattr(dataset, name, value)
    return dataset


def written(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def nested(depth: int, known_length: bool) -> Dataset:
    """A sequence in a sequence in a ... each with fields before and after it."""
    item = Dataset()
    item.CodeValue = "innermost"
    for level in range(depth):
        outer = Dataset()
        outer.CodeValue, outer.ContentSequence, outer.NumericValue = str(level), Items([item, Dataset()]), "1.5"
        outer["ContentSequence"].is_undefined_length = not known_length
        item.is_undefined_length_sequence_item = not known_length
        item = outer
    return item


@pytest.mark.parametrize("known_length", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=[syntax.keyword for syntax in SYNTAXES])
def test_sequences_in_sequences_in_every_encoding(tmp_path: Path, syntax: UID, known_length: bool) -> None:
    dataset = made(ContentSequence=Items([nested(12, known_length), nested(3, not known_length)]))
    dataset.add_new(0x00091010, "SQ", Items([nested(2, known_length)]))
    dataset["ContentSequence"].is_undefined_length = not known_length
    (tmp_path / "x").write_bytes(written(dataset, syntax))
    elements = read_elements(tmp_path / "x", pixels=True)
    assert not list(differences(elements, read_by_pydicom((tmp_path / "x").read_bytes()), ""))
    level = elements
    for _ in range(13):
        level = level.get("ContentSequence")[0]
    assert level.get("CodeValue") == "innermost"
    assert elements.pixel_bytes() == bytes(8)


def test_deeper_than_any_header_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(written(made(ContentSequence=Items([nested(90, False)]))))
    with pytest.raises(ScanError, match="damaged"):
        read_elements(tmp_path / "x").get("ContentSequence")[0].get("ContentSequence")
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff"
    whole = written(made())
    (tmp_path / "x").write_bytes(whole[: whole.index(b"\x28\x00")] + item[8:] + item * 20000)
    with pytest.raises(ScanError, match="damaged"):
        read_header(tmp_path / "x")


def test_a_type_of_unknown_holds_what_the_standard_says(tmp_path: Path) -> None:
    content = written(made(SliceThickness="2.5", ContentSequence=Items([nested(1, True)])), ExplicitVRLittleEndian)
    item = written(made(ContentSequence=Items([nested(1, True)])), ImplicitVRLittleEndian)
    start = item.index(b"\x40\x00\x30\xa7")
    sequence = item[start + 8 : item.index(b"\xe0\x7f\x10\x00")]
    thickness = content.index(b"\x18\x00\x50\x00DS")
    at, end = content.index(b"\x40\x00\x30\xa7SQ"), content.index(b"\xe0\x7f\x10\x00OW")
    content = (
        content[:thickness] + b"\x18\x00\x50\x00UN\x00\x00\x04\x00\x00\x002.5 " + content[thickness + 12 : at]
        + b"\x40\x00\x30\xa7UN\x00\x00" + len(sequence).to_bytes(4, "little") + sequence + content[end:]
    )  # fmt: skip
    (tmp_path / "x").write_bytes(content)
    elements = read_elements(tmp_path / "x")
    assert elements.get("SliceThickness") == 2.5
    assert elements.get("ContentSequence")[0].get("ContentSequence")[0].get("CodeValue") == "innermost"
    assert not list(differences(elements, read_by_pydicom(content), ""))


def test_implicit_data_that_call_themselves_explicit_and_the_reverse(tmp_path: Path) -> None:
    for said, meant in (
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
    ):
        padded = said.encode() + b"\0" * (len(said) % 2)
        right = meant.encode() + b"\0" * (len(meant) % 2)
        content = written(made(PatientID="Jane"), meant)
        length = len(right).to_bytes(2, "little")
        content = content.replace(b"UI" + length + right, b"UI" + len(padded).to_bytes(2, "little") + padded, 1)
        (tmp_path / "x").write_bytes(content)
        elements = read_elements(tmp_path / "x", pixels=True)
        assert (elements.get("PatientID"), elements.get("Rows"), elements.syntax) == ("Jane", 2, said)
        assert elements.pixel_bytes() == bytes(8)


def test_values_are_pythons_own() -> None:
    elements = read_elements(FILES / "CT_small.dcm")
    assert elements.get("PixelSpacing") == [0.661468, 0.661468]
    assert (elements.get("SliceThickness"), elements.get("InstanceNumber")) == (5.0, 1)
    assert elements.get("ImageType") == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert (elements.get("AccessionNumber"), elements.get("AccessionNumber", "none")) == (None, "none")
    assert "AccessionNumber" in elements and "EchoTime" not in elements and "NoSuchKeyword" not in elements
    assert elements.get("NoSuchKeyword", 3) == 3
    assert elements.get((0x0009, 0x1002)) == read_by_pydicom((FILES / "CT_small.dcm").read_bytes())[0x00091002].value


@pytest.mark.parametrize(
    ("stored", "found"),
    [(b"1.5\\abc ", [1.5, math.nan]), (b"1,5 ", math.nan), (b"  2.50", 2.5), (b"\\1", [math.nan, 1.0]), (b"3\0", 3.0)],
)
def test_a_number_that_is_none_is_nan(tmp_path: Path, stored: bytes, found: Any) -> None:
    content = written(made(SliceThickness="1" * len(stored)))
    (tmp_path / "x").write_bytes(content.replace(b"1" * len(stored), stored, 1) if len(stored) % 2 == 0 else b"")
    if len(stored) % 2:
        content = written(made(SliceThickness="1" * (len(stored) + 1)))
        (tmp_path / "x").write_bytes(content.replace(b"1" * (len(stored) + 1), stored + b" ", 1))
    np.testing.assert_equal(read_elements(tmp_path / "x").get("SliceThickness"), found)


def test_sign_of_ambiguous_values_follows_the_pixels_also_from_inside_a_sequence(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, -2, 16], np.arange(4, dtype="<u2").tobytes()
    dataset = made(SmallestImagePixelValue=-5, ModalityLUTSequence=Items([table]), PixelRepresentation=1)
    (tmp_path / "x").write_bytes(written(dataset, ImplicitVRLittleEndian))
    elements = read_elements(tmp_path / "x")
    assert elements.get("SmallestImagePixelValue") == -5
    assert elements.get("ModalityLUTSequence")[0].get("LUTDescriptor") == [4, -2, 16]
    assert elements.get("ModalityLUTSequence")[0].get("LUTData") == table.LUTData


def test_in_archives_and_packed(tmp_path: Path) -> None:
    content = (FILES / "MR_small_RLE.dcm").read_bytes()
    (tmp_path / "x").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner/IM1", content)
    expected, there = read_header(FILES / "MR_small_RLE.dcm"), read_elements(FILES / "MR_small_RLE.dcm", pixels=True)
    for path in (tmp_path / "x", tmp_path / "a.zip" / "inner" / "IM1"):
        assert read_header(path) == expected
        assert read_elements(path, pixels=True).pixel_bytes() == there.pixel_bytes()
    (tmp_path / "x").write_bytes(gzip.compress(content[:-300]))
    with pytest.raises(ScanError, match="cut off"):
        read_header(tmp_path / "x")


def test_a_header_longer_than_the_first_read(tmp_path: Path) -> None:
    dataset = made(ContentSequence=Items([nested(3, number % 2 == 0) for number in range(300)]), PatientID="Jane")
    dataset["ContentSequence"].is_undefined_length = True
    dataset.add_new(0x00291010, "OB", bytes(300_000))
    dataset.add_new(0x00291011, "LO", "after it")
    for syntax in SYNTAXES:
        content = written(dataset, syntax)
        (tmp_path / "x").write_bytes(content)
        elements = read_elements(tmp_path / "x", pixels=True)
        assert (elements.get("PatientID"), len(elements.get("ContentSequence"))) == ("Jane", 300)
        assert elements.get((0x0029, 0x1010)) == bytes(300_000) and (0x0029, 0x1011) in elements
        assert elements.pixel_bytes() == bytes(8)
        assert read_header(tmp_path / "x").kind == "image"


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "SC_rgb_small_odd.dcm", "UN_sequence.dcm", "image_dfl.dcm"])
def test_wherever_the_first_read_ends(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    whole = read_elements(FILES / name, pixels=True)
    size = (FILES / name).stat().st_size
    around = whole.pixels_at[0] if whole.pixels_at and name != "image_dfl.dcm" else size
    for first in {*range(140, size, 41), *range(around - 20, around + 20)}:
        monkeypatch.setattr("medtl.scans.dicom_file.FIRST", first)
        elements = read_elements(FILES / name, pixels=True)
        assert list(elements) == list(whole) and elements.pixels_at == whole.pixels_at, first
        assert not elements.pixels_at or elements.pixel_bytes() == whole.pixel_bytes()


def test_the_pixels_are_not_read_for_a_header(tmp_path: Path) -> None:
    dataset = made(Rows=4000, Columns=4000, PixelData=bytes(32_000_000))
    (tmp_path / "x").write_bytes(written(dataset))
    read_header(tmp_path / "x")
    tracemalloc.start()
    assert read_header(tmp_path / "x").planes[0].size == (4000, 4000)
    assert read_elements(tmp_path / "x").get("Columns") == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


def test_a_trap_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    head = written(made(), DeflatedExplicitVRLittleEndian)
    at = head.index(DeflatedExplicitVRLittleEndian.encode()) + 22
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(b"\x08\x00\x16\x00UN\x00\x00\xff\xff\xff\x7f" + bytes(200_000_000)) + packer.flush()
    (tmp_path / "x").write_bytes(head[:at] + body)
    tracemalloc.start()
    with pytest.raises(ScanError):
        read_header(tmp_path / "x")
    assert tracemalloc.get_traced_memory()[1] < 2**29
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("charset", "encoding", "name"),
    [
        ("ISO_IR 100", "latin-1", "Jürgen"),
        ("ISO_IR 192", "utf-8", "王小東"),
        ("GB18030", "gb18030", "王小东"),
        ("ISO_IR 144", "iso8859_5", "Люкceмбypг"),
    ],
)
def test_names_in_their_own_letters(tmp_path: Path, charset: str, encoding: str, name: str) -> None:
    dataset = made(SpecificCharacterSet=charset, PatientID=name, Manufacturer=name, PatientName=f"{name}^A")
    item = Dataset()
    item.CodeMeaning = name
    dataset.ContentSequence = Items([item])
    (tmp_path / "x").write_bytes(written(dataset))
    assert name.encode(encoding) in (tmp_path / "x").read_bytes()
    for _ in range(3):  # also when the layout is known
        header, elements = read_header(tmp_path / "x"), read_elements(tmp_path / "x")
        assert (header.patient_id, header.manufacturer) == (name, name)
        assert elements.get("PatientName") == f"{name}^A"
        assert elements.get("ContentSequence")[0].get("CodeMeaning") == name


def test_a_secondary_capture_is_an_image_unless_it_holds_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(written(made()))
    assert read_header(tmp_path / "x").kind == "image"
    empty = made()
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(empty, keyword)
    (tmp_path / "x").write_bytes(written(empty))
    assert read_header(tmp_path / "x").kind == "DICOM file without a picture"
    (tmp_path / "x").write_bytes(written(made())[:350])
    with pytest.raises(ScanError, match="cut off"):
        read_header(tmp_path / "x")


def test_kinds_in_words() -> None:
    kinds = {
        "dicomdirtests/DICOMDIR": "DICOMDIR",
        "test-SR.dcm": "structured report",
        "reportsi.dcm": "structured report",
        "waveform_ecg.dcm": "waveform",
        "liver_1frame.dcm": "segmentation",
        "rtplan.dcm": "radiotherapy object",
        "rtplan_truncated.dcm": "radiotherapy object",
        "SC_rgb_rle.dcm": "image",
        "badVR.dcm": "radiotherapy object",
    }
    assert {name: read_header(FILES / name).kind for name in kinds} == kinds


SMALL = [
    (FILES / name).read_bytes()
    for name in ("MR_small_RLE.dcm", "nested_priv_SQ.dcm", "UN_sequence.dcm", "image_dfl.dcm", "test-SR.dcm",
                 "MR_small_implicit.dcm", "SC_rgb_small_odd_big_endian.dcm", "liver_expb_1frame.dcm")
]  # fmt: skip


@pytest.mark.parametrize("named", [b"ISO\0IR 100", b"nonsense 1", b"ISO 2022 I"])
def test_a_character_set_that_is_none_does_not_stop_anything(tmp_path: Path, named: bytes) -> None:
    content = written(made(SpecificCharacterSet="ISO_IR 192", PatientID="王小東"))
    (tmp_path / "x").write_bytes(content.replace(b"ISO_IR 192", named))
    assert "\\" not in read_header(tmp_path / "x").patient_id != ""
    read_all(read_elements(tmp_path / "x"), [5000])
    (tmp_path / "x").write_bytes(content.replace(b"\x08\0\x05\0CS", b"\x08\0\x05\0SS"))
    assert read_header(tmp_path / "x").patient_id


def read_all(elements: Elements, budget: list[int]) -> None:
    for name in elements:
        value = elements.get(name)
        budget[0] -= 1
        if isinstance(value, list) and isinstance(value[0], Elements) and budget[0] > 0:
            for item in value:
                read_all(item, budget)


@settings(max_examples=250, deadline=None)
@given(
    content=st.sampled_from(SMALL),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    longs=st.lists(st.floats(0, 1, exclude_max=True), max_size=2),
)
def test_damage_gives_a_header_or_a_scan_error_within_a_second(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    cut: float,
    flips: list[tuple[float, int]],
    longs: list[float],
) -> None:
    damaged = bytearray(content)
    for where, value in flips:
        damaged[int(where * min(len(damaged), 2500))] = value  # mostly the header
    for where in longs:
        at = int(where * min(len(damaged), 2500))
        damaged[at : at + 4] = b"\xff\xff\xff\xff"
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(damaged[: int(len(damaged) * (0.3 + cut))])
    began = time.process_time()
    for pixels in (False, True):
        try:
            read_all(read_elements(path, pixels), [5000])
        except ScanError as error:
            assert str(error) and "\n" not in str(error)
    try:
        read_header(path)
    except ScanError as error:
        assert str(error)
    assert time.process_time() - began < 1
