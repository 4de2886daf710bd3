"""Any file becomes a scan or a reason: the content decides, never the name."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom.data
import pytest
from PIL import Image

from medtl.errors import ScanError
from medtl.scans.read import read, read_scan
from medtl.scans.sniff import sniff

FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture
def scans(tmp_path: Path) -> dict[str, Path]:
    """One of each kind, under a name that says nothing."""
    paths = {kind: tmp_path / f"{number}" for number, kind in enumerate(("dicom", "nifti", "packed", "picture"))}
    shutil.copyfile(FILES / "CT_small.dcm", paths["dicom"])
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.eye(4)), tmp_path / "a.nii")
    shutil.copyfile(tmp_path / "a.nii", paths["nifti"])
    paths["packed"].write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(paths["picture"], format="png")
    return paths


def test_the_content_decides_not_the_name(scans: dict[str, Path]) -> None:
    for kind, shape in (("dicom", (1, 128, 128)), ("nifti", (4, 3, 2)), ("packed", (4, 3, 2)), ("picture", (1, 9, 9))):
        assert sniff(scans[kind])[0] == {"packed": "nifti"}.get(kind, kind)
        for ending in (".dcm", ".nii.gz", ".png", ".txt"):
            lying = scans[kind].rename(scans[kind].with_name(f"{kind}{ending}"))
            assert read(lying).pixels.shape == shape
            scans[kind] = lying


def test_a_row_is_read_by_its_files(scans: dict[str, Path]) -> None:
    row = SimpleNamespace(files=(scans["dicom"],))
    np.testing.assert_array_equal(read(row).pixels, read(str(scans["dicom"])).pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty: copy or export it again"),
        ("Grüße from the archive\r\n".encode() * 100, "a text file, not a scan"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04....", "a zip archive: unpack it"),
        (gzip.compress(b"x" * 2000), "a compressed file, not a scan: unpack it"),
        (bytes(range(256)) * 4, "not a scan: neither DICOM, NIfTI, PNG nor JPEG"),
        ((FILES / "test-SR.dcm").read_bytes(), "not an image (structured report)"),
        ((FILES / "dicomdirtests" / "DICOMDIR").read_bytes(), "not an image (DICOMDIR)"),
    ],
)
def test_reasons(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "Jane Doe"
    path.write_bytes(content)
    with pytest.raises(ScanError) as caught:
        read_scan([path])
    assert str(caught.value) == reason  # no path: it goes into the manifest
    with pytest.raises(ScanError, match="Jane Doe: "):
        read(path)


def test_no_file_a_folder_and_several_pictures(scans: dict[str, Path], tmp_path: Path) -> None:
    for files, reason in (
        ([], "no file is known"),
        ([tmp_path / "gone"], "not there"),
        ([tmp_path], "a folder"),
        ([scans["picture"]] * 2, "one by one"),
        ([scans["dicom"], scans["picture"]], "not a DICOM file"),
    ):
        with pytest.raises(ScanError, match=reason):
            read_scan(files)


def test_reading_imports_no_torch_and_no_reader_that_is_not_needed() -> None:
    program = (
        "import sys, medtl.scans.read; print([m for m in ('torch', 'nibabel', 'SimpleITK', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout


def test_a_scan_too_large_for_the_memory_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(path: Path) -> None:
        raise MemoryError

    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr("medtl.scans.picture._read", no_memory)
    with pytest.raises(ScanError, match="larger than this machine's memory"):
        read(tmp_path / "a.png")
