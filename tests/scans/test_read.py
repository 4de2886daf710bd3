"""Any file becomes a scan or a reason: the content decides, never the name."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom.data
import pytest
from PIL import Image

from medtl.errors import InputError, ScanError
from medtl.scans.read import read, read_scan, volumes_in
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
        (b"PK\x03\x04....", "the zip archive is cut off or damaged: copy it again"),
        (gzip.compress(b"x" * 2000, mtime=0), "a text file, not a scan"),
        (
            gzip.compress(b"x" * 2000, mtime=0)[:10],
            "the compressed file (.gz) is cut off or damaged: copy or export it again",
        ),
        (bytes(range(256)) * 4, "not a scan: neither DICOM, NIfTI, NRRD, MetaImage nor a picture"),
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


def test_anything_in_a_zip_archive_or_packed_by_gzip_reads_as_it_is(scans: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, path in scans.items():
            archive.write(path, f"deep/{kind}")
    for kind, path in scans.items():
        inside = tmp_path / "all.zip" / "deep" / kind
        packed = tmp_path / f"{kind}.packed"
        packed.write_bytes(gzip.compress(path.read_bytes()) if kind != "packed" else path.read_bytes())
        plain = read(path)
        for other in (inside, packed):
            assert sniff(other) == sniff(path)
            scan = read(other)
            np.testing.assert_array_equal(scan.pixels, plain.pixels)
            assert scan.header == plain.header and scan.spacing == pytest.approx(plain.spacing, nan_ok=True)
    with pytest.raises(ScanError, match="a zip archive: index it"):
        read(tmp_path / "all.zip")


def test_a_row_brings_its_volume_and_what_to_do_with_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(series, np.eye(4)), tmp_path / "a.nii")
    assert volumes_in(tmp_path / "a.nii") == 5
    for volume in range(5):
        row = SimpleNamespace(files=(tmp_path / "a.nii",), extra={"volume": str(volume), "on_gap": ""})
        np.testing.assert_array_equal(read(row).pixels, series[..., volume].T)  # type: ignore[arg-type]
    asked = []
    monkeypatch.setattr("medtl.scans.dicom.read_dicom", lambda *given: asked.append(given))
    files = (FILES / "CT_small.dcm",)
    read(SimpleNamespace(files=files, extra={"volume": "2", "on_gap": "keep"}))  # type: ignore[arg-type]
    read(SimpleNamespace(files=files, extra={}), on_gap="resample")  # type: ignore[arg-type]
    assert asked == [(files, 2, "keep"), (files, None, "resample")]
    for extra in ({"volume": "second"}, {"volume": "-1"}, {"on_gap": "ignore"}):
        with pytest.raises(ScanError, match="must be empty"):
            read(SimpleNamespace(files=files, extra=extra))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="on_gap"):
        read(FILES / "CT_small.dcm", on_gap="ignore")
    with pytest.raises(ScanError, match="not a file of volumes"):
        volumes_in(FILES / "CT_small.dcm")


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
    def no_memory(file: object) -> None:
        raise MemoryError

    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr("medtl.scans.picture._read", no_memory)
    with pytest.raises(ScanError, match="larger than this machine's memory"):
        read(tmp_path / "a.png")
