"""All that is known of a file is said, in words, and nobody is named unasked."""

from __future__ import annotations

import gzip
import math
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from medtl.errors import InputError
from medtl.scans import Manifest, index_folders
from medtl.verbs._dicom_words import SYNTAXES, cut_in_words
from medtl.verbs._explain import explain


def lines(text: str) -> dict[str, dict[str, str]]:
    """Heading -> name -> words."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines()[1:]:
        if line and not line.startswith(" "):
            found[line] = {}
            heading = line
        elif line.strip():
            name, _, words = line.strip().partition("  ")
            if line.startswith("    ") or not words:  # a long line goes on; and those without a name
                last = next(reversed(found[heading]), "")
                found[heading][last] = f"{found[heading].get(last, '')} {line.strip()}".strip()
            else:
                found[heading][name] = words.strip()
    return found


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> tuple[Path, Manifest]:
    """Five slices of a CT, named against their order, beside a labels file, a PDF and a damaged file."""
    folder = tmp_path_factory.mktemp("ward") / "clinic"
    folder.mkdir()
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.PatientID, dataset.PatientName = "HOSP4711", "Quirinius^Zenobia"
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = generate_uid()
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    for i in range(5):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.ImagePositionPatient, dataset.InstanceNumber = [-10, -20, 5.0 * i], 5 - i
        dataset.save_as(folder / f"{'edcba'[i]}.dcm")
    (folder / "labels.csv").write_text("patient,label\nHOSP4711,benign\n")
    (folder / "letter.pdf").write_bytes(b"%PDF-1.4 Zenobia")
    (folder / "damaged.dcm").write_bytes((folder / "a.dcm").read_bytes()[:3000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDTL_KEY", "a key for the tests")
        return folder, index_folders(folder, use_cache=False)


def test_a_slice_of_a_series(series):
    folder, manifest = series
    text = explain(folder / "d.dcm", manifest)
    found = lines(text)
    assert text.startswith(str(folder / "d.dcm"))
    what = found["What it is"]
    assert what["by its content"] == "a DICOM file" and what["DICOM"] == "image (CT Image Storage)"
    assert what["modality"] == "CT, computed tomography" and what["stored"].startswith("not compressed")
    place = found["Where it lies in the patient"]
    assert place["cut"] == "axial" and place["directions"] == "a row runs to the left, a column to the back"
    assert place["position"].startswith("-10.0, -20.0, 5.0 mm") and place["thickness"] == "5 mm"
    pixels = found["Its pixels"]
    assert pixels["matrix"] == "128 rows x 128 columns" and pixels["bits"] == "16, signed"
    assert pixels["rescale"] == "value = 1 x stored + -1024" and pixels["window"].startswith("centre 40, width 400")
    assert pixels["values"].startswith("-896 to 1167 HU")
    row = found["In the manifest"]
    assert row["slice"].startswith("2 of 5") and row["as read"] == "5 x 128 x 128, 5 x 0.6615 x 0.6615 mm"
    assert row["label"] == "benign, from the labels file" and row["site"] == "clinic"
    assert "'ct'" in found["How it would be prepared"]["--recipe auto"]
    assert "it is ready" in found["What next"][""]


def test_nobody_is_named_unless_asked(series):
    folder, manifest = series
    dataset = pydicom.dcmread(folder / "d.dcm")
    text = explain(folder / "d.dcm", manifest)
    for secret in ("HOSP4711", "Zenobia", "Quirinius", dataset.StudyInstanceUID, dataset.StudyDate):
        assert secret not in text
    assert lines(text)["Whose it is"]["patient"] == manifest.usable.frame.patient[0]
    kept = lines(explain(folder / "d.dcm", manifest, keep_identifiers=True))["Whose it is"]
    assert kept["patient"] == "HOSP4711" and kept["study"] == dataset.StudyInstanceUID
    assert kept["date"] == dataset.StudyDate


def test_what_is_no_scan_or_damaged(series):
    folder, manifest = series
    found = lines(explain(folder / "letter.pdf", manifest))
    assert found["What it is"]["by its content"] == "a PDF document"
    assert found["In the manifest"]["scan"].endswith("set aside: a PDF document") and "Its pixels" not in found
    found = lines(explain(folder / "damaged.dcm", manifest))
    assert "unreadable: the header ends" in found["In the manifest"]["scan"] and "cut off" in found["What next"][""]
    assert "cut off" in found["What it is"]["fault"]
    (folder / "empty").touch()
    assert "empty" in lines(explain(folder / "empty", manifest))["What it is"]["fault"]


def test_a_file_in_no_row_and_one_that_is_not_there(series, tmp_path):
    folder, manifest = series
    found = lines(explain(folder / "labels.csv", manifest))
    assert found["In the manifest"]["row"] == "none"
    assert "is the labels file" in found["What next"][""]
    with pytest.raises(InputError, match="is not there"):
        explain(tmp_path / "nothing.dcm", manifest)
    with pytest.raises(InputError, match="is a folder"):
        explain(folder, manifest)


def test_pictures_of_class_folders_and_in_archives(tmp_path):
    random = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (tmp_path / "site" / label).mkdir(parents=True)
        for i in range(2):
            picture = Image.fromarray(random.integers(0, 255, (50, 40, 3), np.uint8))
            picture.save(tmp_path / "site" / label / f"{i}.png")
    manifest = index_folders(tmp_path / "site", use_cache=False)
    found = lines(explain(tmp_path / "site" / "benign" / "1.png", manifest))
    assert found["In the manifest"]["label"] == "benign, as its folder is called"
    assert found["Its pixels"]["matrix"] == "50 rows x 40 columns, 8 bits, in colour"
    assert found["Where it lies in the patient"]["place"] == "a picture has none"
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for i in range(2):
            archive.write(tmp_path / "site" / "benign" / f"{i}.png", f"in/{i}.png")
    manifest = index_folders(tmp_path / "all.zip", use_cache=False)
    found = lines(explain(tmp_path / "all.zip", manifest))
    assert found["What it is"]["by its content"] == "a zip archive"
    assert found["In the manifest"]["rows"] == "2 scans lie in this file (2 ok)"
    found = lines(explain(tmp_path / "all.zip" / "in" / "1.png", manifest))
    assert found["What it is"]["size"].endswith("unpacked from a zip archive") and "scan" in found["In the manifest"]


def test_a_packed_volume(sample_data):
    file = next(iter(sorted((sample_data / "brain-mr").glob("*.nii.gz"))))
    found = lines(explain(file, index_folders(sample_data / "brain-mr", use_cache=False)))
    assert found["What it is"]["size"].endswith("packed by gzip")
    assert found["Where it lies in the patient"]["cut"] == "sagittal, as its slices are stored"
    assert found["Its pixels"]["matrix"].startswith("90 slices of 120 rows x 120 columns")
    assert "'mr'" in found["How it would be prepared"]["--recipe auto"]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("degrees", [0, 4, 20, 40])
def test_a_cut_is_named_by_its_normal(axis, degrees):
    turn = math.radians(degrees)
    across = np.roll([math.cos(turn), math.sin(turn), 0.0], axis) * -3.0
    name = ("sagittal", "coronal", "axial")[axis]
    assert cut_in_words(across) == (name if degrees <= 5 else f"oblique, {degrees} degrees off {name}")


def test_every_transfer_syntax_of_pixels_has_words():
    from pydicom.uid import AllTransferSyntaxes

    for uid in AllTransferSyntaxes:
        words = next((words for part, words in SYNTAXES if part in uid.name), "")
        if uid.name.startswith("SMPTE"):
            continue  # streams over a network, in no file
        assert words, uid.name
        if "Lossless" in uid.name.replace("Near-Lossless", "") and not words.startswith("video"):
            assert words.endswith("no loss"), uid.name


def test_never_fails_on_any_file_of_pydicom(tmp_path):
    """Each of the real, odd and broken files is explained, those that are no scans too."""
    files = sorted(Path(get_testdata_file("CT_small.dcm")).parent.glob("*.dcm"))
    empty = Manifest(index_folders(get_testdata_file("CT_small.dcm"), use_cache=False).frame[:0])
    assert len(files) > 50
    for file in files:
        found = lines(explain(file, empty))
        assert found["What it is"]["by its content"] and found["What next"]
    packed = tmp_path / "packed.dcm.gz"
    packed.write_bytes(gzip.compress(Path(get_testdata_file("CT_small.dcm")).read_bytes()))
    assert lines(explain(packed, empty))["What it is"]["modality"] == "CT, computed tomography"
