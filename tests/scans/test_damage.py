"""No file can hurt us: damage of any kind gives a scan or a ScanError, soon, and in little memory."""

from __future__ import annotations

import importlib.util
import io
import struct
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from random import Random

import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medtl.errors import ScanError
from medtl.scans.arrays import array_rows
from medtl.scans.dicom_header import read_header
from medtl.scans.read import read_scan

ROOT = Path(__file__).resolve().parents[2]
WHEEL = Path(pydicom.data.__file__).parent / "test_files"
_spec = importlib.util.spec_from_file_location("fuzz_reading", ROOT / "benchmarks" / "fuzz_reading.py")
assert _spec and _spec.loader
fuzz_reading = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz_reading)

#: One file of each transfer syntax.
SYNTAXES = {
    "implicit": "MR_small_implicit.dcm",
    "explicit": "CT_small.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "RLE": "SC_rgb_rle_2frame.dcm",
    "JPEG": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG, 12 bits": "JPEG-lossy.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "JPEG 2000, lossy": "693_J2KI.dcm",
    "palette": "examples_palette.dcm",
    "one bit": "liver_1frame.dcm",
}


def test_damaged_files_of_every_kind_do_no_harm() -> None:
    """In child processes of at most 1 GiB and 5 s a file, so that a crash of a decoder is seen too."""
    command = [sys.executable, ROOT / "benchmarks" / "fuzz_reading.py", "--files", "30"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = [line for line in done.stdout.splitlines() if "MiB" in line]
    assert len(table) == len(fuzz_reading.KINDS)


def outcome(content: bytes, suffix: str, folder: Path) -> str:
    """What indexing and reading say: "read", or the reason; other exceptions are not caught."""
    file = folder / f"damaged{suffix}"
    file.write_bytes(content)
    began = time.process_time()
    with suppress(ScanError):
        read_header(file)
    try:
        read_scan([file])
        said = "read"
    except ScanError as error:
        said = str(error)
    assert time.process_time() - began < 5
    return said


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=80, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(fuzz_reading.DICOM)), seed=st.integers(0, 2**32), which=st.integers(0, 9))
def test_damage_gives_a_scan_or_one_sentence(
    kind: str, seed: int, which: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sound = fuzz_reading.seeds(kind)
    suffix, whole = sound[which % len(sound)]
    said = outcome(fuzz_reading.damaged(whole, Random(seed)), suffix, tmp_path_factory.getbasetemp())
    assert said == "read" or (10 < len(said) < 200 and "\n" not in said and "Traceback" not in said)


_sound = lru_cache(fuzz_reading.seeds)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=250, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(fuzz_reading.OTHERS)), seed=st.integers(0, 2**32))
def test_damaged_volumes_pictures_and_archives_give_a_scan_or_one_sentence(
    kind: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ((suffix, whole),) = _sound(kind)
    file = tmp_path_factory.mktemp("damaged") / f"file{suffix}"  # a name of its own: what is kept goes by it
    file.write_bytes(fuzz_reading.damaged(whole, Random(seed)))
    began = time.process_time()
    try:
        fuzz_reading._read(file)
    except ScanError as error:
        assert 10 < len(str(error)) < 200 and "\n" not in str(error) and "Traceback" not in str(error)
    for _ in _rows_of(file):
        pass
    assert time.process_time() - began < 5
    file.unlink()


def _rows_of(file: Path) -> list:
    if file.suffix != ".npz":
        return []
    with suppress(ScanError):
        return array_rows(file)
    return []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("keyword", "number"),
    [
        ("Rows", 65535),
        ("Columns", 65535),
        ("Rows", 0),
        ("NumberOfFrames", 10**6),
        ("NumberOfFrames", 2**31 - 1),
        ("NumberOfFrames", -5),
        ("BitsAllocated", 64),
        ("BitsAllocated", 0),
        ("BitsStored", 60000),
        ("HighBit", 60000),
        ("SamplesPerPixel", 1000),
        ("PlanarConfiguration", 1),
        ("PixelRepresentation", 77),
    ],
)
def test_absurd_headers_are_read_or_refused_at_once(syntax: str, keyword: str, number: int, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(WHEEL / SYNTAXES[syntax])
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"  # a picture, also where it was something else
    setattr(dataset, keyword, number)
    content = io.BytesIO()
    dataset.save_as(content)
    said = outcome(content.getvalue(), ".dcm", tmp_path)
    if keyword in ("Rows", "Columns", "SamplesPerPixel") or number == 10**6:
        assert said != "read"


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_nested_ten_thousand_deep(tmp_path: Path, undefined: bool, implicit: bool) -> None:
    deep, inside = 10_000, b""
    head = struct.pack("<HH", 0x0008, 0x1140) + (b"" if implicit else b"SQ\0\0")
    if undefined:
        openings = head + b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        inside = openings * deep + (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * deep
    else:
        for _ in range(deep):
            item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
            inside = head + struct.pack("<I", len(item)) + item
    said = outcome(with_elements(inside, implicit), ".dcm", tmp_path)
    assert "damaged" in said if undefined else said == "read"  # what has a length is passed over in one step
    half = outcome(with_elements(inside[: len(inside) // 2], implicit), ".dcm", tmp_path)
    assert half == "read" or "damaged" in half or "cut off" in half


def with_elements(elements: bytes, implicit: bool) -> bytes:
    """A small picture whose header has these elements, as they are, before those of its group."""
    dataset = pydicom.dcmread(WHEEL / ("MR_small_implicit.dcm" if implicit else "MR_small.dcm"))
    for tag in [tag for tag in dataset.keys() if tag.group == 8 and tag.elem > 0x16]:  # noqa: SIM118
        del dataset[tag]
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    whole = file.getvalue()
    place = whole.index(b"\x10\x00\x10\x00" if implicit else b"\x10\x00\x10\x00PN")
    return whole[:place] + elements + whole[place:]


@pytest.mark.parametrize("length", [-1, -2, 2**31, 2**32 - 2])
@pytest.mark.parametrize("tag", [(0x0008, 0x0070), (0x0028, 0x0010), (0x7FE0, 0x0010)])
def test_lengths_that_cannot_be(tmp_path: Path, tag: tuple[int, int], length: int) -> None:
    content = bytearray((WHEEL / "MR_small_implicit.dcm").read_bytes())
    place = content.rindex(struct.pack("<HH", *tag))
    content[place + 4 : place + 8] = struct.pack("<I", length % 2**32)
    assert outcome(bytes(content), ".dcm", tmp_path) != "read"


@pytest.mark.parametrize("number", [2**32 - 1, 2**31, 10**6])
def test_fragments_that_promise_too_much(tmp_path: Path, number: int) -> None:
    """A fragment's length, and the count of RLE segments and their places."""
    content = bytearray((WHEEL / "MR_small_RLE.dcm").read_bytes())
    place = content.rindex(b"\xfe\xff\x00\xe0") + 4
    for at in (place, place + 4, place + 8, place + 12):
        damaged = bytearray(content)
        damaged[at : at + 4] = struct.pack("<I", number)
        assert outcome(bytes(damaged), ".dcm", tmp_path) != "read"


def test_a_picture_that_would_unpack_to_gigabytes_is_not_begun(tmp_path: Path) -> None:
    """Codestream and DICOM header agree on 60,000 x 60,000, and the file is small."""
    j2k = pydicom.dcmread(WHEEL / "693_J2KI.dcm")
    data = bytearray(j2k.PixelData)
    place = data.index(b"\xff\x4f\xff\x51")
    for at in (place + 8, place + 12, place + 24, place + 28):  # picture and tile, width and height
        data[at : at + 4] = struct.pack(">I", 60000)
    j2k.PixelData, j2k.Rows, j2k.Columns = bytes(data), 60000, 60000
    jpeg = pydicom.dcmread(WHEEL / "SC_rgb_jpeg_dcmtk.dcm")
    data = bytearray(jpeg.PixelData)
    place = data.index(b"\xff\xc0\x00\x11")
    data[place + 5 : place + 9] = struct.pack(">HH", 60000, 60000)
    jpeg.PixelData, jpeg.Rows, jpeg.Columns = bytes(data), 60000, 60000
    rle = pydicom.dcmread(WHEEL / "MR_small_RLE.dcm")
    rle.Rows, rle.Columns = 5000, 5000
    rle.PixelData = encapsulate([struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00\x81\x00"])
    for dataset in (j2k, jpeg, rle):
        content = io.BytesIO()
        dataset.save_as(content)
        said = outcome(content.getvalue(), ".dcm", tmp_path)
        assert "far more pixels than the file can hold" in said or "cut off" in said


def test_reading_damage_leaves_no_file_open(tmp_path: Path) -> None:
    before = files_open()
    whole = (WHEEL / "MR_small_RLE.dcm").read_bytes()
    for end in range(100, len(whole), 997):
        outcome(whole[:end], ".dcm", tmp_path)
    assert files_open() <= before


def files_open() -> int:
    """How many, where the system tells."""
    told = Path("/proc/self/fd")
    return len(list(told.iterdir())) if told.is_dir() else 0
