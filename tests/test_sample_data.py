"""The sample data are small, real, as their README says, and read back to the pixels they were made from."""

from __future__ import annotations

import collections
import hashlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medtl.errors import ScanError
from medtl.scans.dicom import read_header
from medtl.scans.read import read

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import make_sample_data as tool

SITES = ("brazil", "egypt")


def labels(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "labels.csv")


@pytest.mark.parametrize("site", SITES)
def test_counts_and_shares(sample_data: Path, site: str) -> None:
    table = labels(sample_data / site)
    assert 180 <= len(table) <= 220
    assert 0.28 <= (table.label == "malignant").mean() <= 0.38
    assert table.patient.nunique() > 90
    assert set(table.label) == {"benign", "malignant"}
    assert all((sample_data / site / file).is_file() for file in table.file)


def test_under_20_megabytes(sample_data: Path) -> None:
    assert sum(file.stat().st_size for file in sample_data.rglob("*") if file.is_file()) < 20e6


def test_brazil_is_flat_uncompressed_and_knows_its_scanner(sample_data: Path) -> None:
    for row in labels(sample_data / "brazil").itertuples():
        header = read_header(sample_data / "brazil" / row.file)
        assert "/" not in row.file
        assert (header.photometric, header.transfer_syntax) == ("MONOCHROME2", "Explicit VR Little Endian")
        assert header.manufacturer and header.model.split()[0].lower() in f"{row.scanner} somo.v".lower()
        assert header.patient_id == row.patient
    spacing = read(sample_data / "brazil" / row.file).spacing
    assert 0.1 < spacing[1] == spacing[2] < 0.5


def test_egypt_is_nested_compressed_and_mixed(sample_data: Path) -> None:
    table = labels(sample_data / "egypt")
    headers = [read_header(sample_data / "egypt" / file) for file in table.file]
    kinds = collections.Counter(header.photometric for header in headers)
    colour = kinds.pop("RGB") + kinds.pop("YBR_RCT")
    assert {*kinds} == {"MONOCHROME1", "MONOCHROME2"}
    assert max(abs(count - len(table) / 3) for count in (colour, *kinds.values())) < 2
    assert {header.transfer_syntax for header in headers} == {
        "JPEG 2000 Image Compression (Lossless Only)",
        "JPEG-LS Lossless Image Compression",
    }
    assert all(len(Path(file).parts) == 4 for file in table.file)
    assert [header.patient_id for header in headers] == list(table.patient)


def test_egypt_holds_things_that_are_not_scans(sample_data: Path) -> None:
    folder = sample_data / "egypt"
    listed = set(labels(folder).file) | {"labels.csv"}
    other = [f for f in folder.rglob("*") if f.is_file() and f.relative_to(folder).as_posix() not in listed]
    reasons = {}
    for file in other:
        with pytest.raises(ScanError) as caught:
            read(file)
        reasons[file.name] = str(caught.value).removeprefix(f"{file}: ")
    assert reasons == {
        "DICOMDIR": "not an image (DICOMDIR)",
        "EXPORT.TXT": "a text file, not a scan",
        "SR000000": "not an image (structured report)",
        "IM999999": "the file is cut off: its pixels end before they should, copy or export it again",
    }


def test_names_in_headers_are_plainly_made_up(sample_data: Path) -> None:
    import pydicom

    for site in SITES:
        for file in labels(sample_data / site).file[::20]:
            dataset = pydicom.dcmread(sample_data / site / file, stop_before_pixels=True)
            assert str(dataset.PatientName).startswith("MADE-UP^")
            assert dataset.PatientBirthDate == ""


@pytest.mark.parametrize("site", SITES)
def test_pixels_are_those_of_the_source(sample_data: Path, shared_data: Path, site: str) -> None:
    source = pd.read_csv(shared_data / "ultrasound" / "labels.csv")
    by_uid = {str(tool.uid(file)): (file, label) for file, label in zip(source.file, source.label, strict=True)}
    for row in labels(sample_data / site).itertuples():
        path = sample_data / site / row.file
        file, label = by_uid[read_header(path).sop_uid]
        with Image.open(shared_data / "ultrasound" / file) as image:
            np.testing.assert_array_equal(read(path).pixels[0], np.asarray(image))
        assert row.label == label


def test_all_scans_of_a_patient_are_there(sample_data: Path, shared_data: Path) -> None:
    source = pd.read_csv(shared_data / "ultrasound" / "labels.csv").patient.value_counts()
    for site in SITES:
        counts = labels(sample_data / site).patient.value_counts()
        assert (source[counts.index] == counts).all()


def test_brains_are_the_source_files(sample_data: Path, shared_data: Path) -> None:
    table = labels(sample_data / "brain-mr")
    assert sorted(table.label) == ["F", "M"]
    for file in table.file:
        assert (sample_data / "brain-mr" / file).read_bytes() == (shared_data / "brain-mr" / file).read_bytes()
        assert read(sample_data / "brain-mr" / file).pixels.shape == (90, 120, 120)


def test_the_tool_gives_the_same_bytes_twice(shared_data: Path, tmp_path: Path) -> None:
    digests = []
    for name in "ab":
        tool.make(shared_data, tmp_path / name, scans=24)
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        digests.append(
            [(file.relative_to(tmp_path / name), hashlib.sha256(file.read_bytes()).digest()) for file in files]
        )
    assert digests[0] == digests[1]


def test_readme_is_the_one_that_the_tool_writes(sample_data: Path) -> None:
    assert (sample_data / "README.md").read_text(encoding="utf-8") == tool.README
