"""What a file is, is told by its bytes, whatever its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from medtl.errors import ScanError
from medtl.scans.read import read_scan, volumes_in
from medtl.scans.sniff import sniff

FILES = Path(pydicom.data.__file__).parent / "test_files"
VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
MAGICS = [
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM\x00\x00\x00\x00\x00\x00\x00\x00", b"II*\x00\x08\x00\x00\x00",
    b"MM\x00*\x00\x00\x00\x08", b"II+\x00\x08\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", b"NRRD0004\n",
    b"NRRD0004\ntype: short\ndimension: 3\nsizes: ", b"NDims = 3\nDimSize = ", b"ObjectType = Image\nNDims = 3\n",
    b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08", bytes(128) + b"DICM",
    b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00", b"\x5c\x01\x00\x00" + bytes(340) + b"ni1\x00",
    b"\x00\x00\x01\x5c" + bytes(36) + b"\x00\x03\x00\x02\x00\x02\x00\x02", b"\x1c\x02\x00\x00n+2\x00\r\n\x1a\n",
]  # fmt: skip


def medmnist(path: Path, **arrays: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file of each kind, by the kind and what it is."""
    image = sitk.GetImageFromArray(VOXELS)
    for name in ("volume.nrrd", "volume.mha", "volume.nhdr", "other.mhd"):
        sitk.WriteImage(image, str(tmp_path / name))
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), tmp_path / "nifti.nii")
    nibabel.save(nibabel.Nifti2Image(VOXELS, np.eye(4)), tmp_path / "nifti.2.nii.gz")
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "pair.img")
    nibabel.save(nibabel.AnalyzeImage(VOXELS, np.eye(4)), tmp_path / "analyze.img")
    picture = Image.fromarray(VOXELS[0].astype(np.uint8))
    for kind in ("png", "jpeg", "tiff", "bmp", "gif"):
        picture.save(tmp_path / f"picture.{kind}", format=kind)
    medmnist(tmp_path / "set.npz", val_images=np.zeros((2, 28, 28), np.uint8), val_labels=np.zeros((2, 1)))
    medmnist(tmp_path / "features.npz", x=np.zeros(3))
    np.save(tmp_path / "x.npy", VOXELS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "volume.nrrd", "volume.nrrd")
        archive.write(tmp_path / "set.npz", "inner.zip")
        archive.write(tmp_path / "pair.hdr", "pair.hdr")
        archive.write(tmp_path / "pair.img", "pair.img")
    with zipfile.ZipFile(tmp_path / "labels.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<xml>")
    return {path.name: path for path in tmp_path.iterdir()}


KINDS = {
    "volume.nrrd": "volume", "volume.mha": "volume", "volume.nhdr": "volume", "other.mhd": "volume",
    "pair.hdr": "volume", "analyze.hdr": "volume", "nifti.nii": "nifti", "nifti.2.nii.gz": "nifti",
    "picture.png": "picture", "picture.jpeg": "picture", "picture.tiff": "picture", "picture.bmp": "picture",
    "set.npz": "arrays", "a.zip": "archive",
}  # fmt: skip


def test_every_kind_by_its_content_not_its_name(files: dict[str, Path], tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        assert sniff(files[name]) == (kind, ""), name
        for lying in ("x.dcm", "x.txt", "x.gz", "x"):
            assert sniff(files[name].rename(tmp_path / lying)) == (kind, ""), (name, lying)
            (tmp_path / lying).rename(files[name])
    assert sniff(FILES / "CT_small.dcm") == ("dicom", "")
    assert sniff(files["a.zip"] / "volume.nrrd") == ("volume", "")
    assert sniff(files["set.npz"] / "val_images.npy") == ("arrays", "")


def test_what_is_no_scan_has_words(files: dict[str, Path], tmp_path: Path) -> None:
    for path, words in (
        (files["volume.raw"], "the voxels of the .nhdr file beside it"),
        (files["other.raw"], "the voxels of the .mhd file beside it"),
        (files["pair.img"], "the voxels of the .hdr file beside it"),
        (files["analyze.img"], "the voxels of the .hdr file beside it"),
        (files["a.zip"] / "pair.img", "the voxels of the .hdr file beside it"),
        (files["picture.gif"], "a GIF picture: save it as PNG"),
        (files["labels.xlsx"], "an office document, not a scan"),
    ):
        assert sniff(path) == ("other", words)
    with pytest.raises(ScanError, match="a zip archive inside a zip archive: unpack it"):
        sniff(files["a.zip"] / "inner.zip")
    for content, part in (
        (b"CDF\x01" + bytes(2000), "a MINC volume"),
        (b"\x00\x00\x00\x01\x00\x00\x01\x00" + bytes(2000), "a FreeSurfer volume"),
        (b"# === DATA DESCRIPTION FILE ======\n", "a Philips PAR file"),
        (b"type = string-attribute\nname = HISTORY_NOTE\n", "an AFNI header"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(200), "a WebP picture"),
    ):
        (tmp_path / "odd").write_bytes(content)
        kind, words = sniff(tmp_path / "odd")
        assert kind == "other" and part in words
    for name, part in (("features.npz", "without train_images"), ("x.npy", "a NumPy array")):
        kind, words = sniff(files[name])
        assert kind == "other" and part in words
    assert sniff(files["features.npz"] / "x.npy")[0] == "other"


def test_voxels_without_their_header_are_not_called_its_voxels(files: dict[str, Path]) -> None:
    for header, data in (("pair.hdr", "pair.img"), ("other.mhd", "other.raw")):
        files[header].unlink()
        assert "beside it" not in sniff(files[data])[1]
    files["volume.mha"].rename(files["other.raw"].with_suffix(".mhd"))  # a header that names another file
    assert "beside it" not in sniff(files["other.raw"])[1]


def test_two_letters_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("BMI is the body mass index")
    assert sniff(tmp_path / "a") == ("other", "a text file, not a scan")
    (tmp_path / "a").write_text("name = value\nother = value\n")
    assert sniff(tmp_path / "a") == ("other", "a text file, not a scan")


def test_a_preamble_that_is_also_a_tiff_file_is_dicom(tmp_path: Path) -> None:
    content = bytearray((FILES / "CT_small.dcm").read_bytes())
    content[:8] = b"II*\x00\x08\x00\x00\x00"  # PS3.10 allows it
    (tmp_path / "a").write_bytes(content)
    assert sniff(tmp_path / "a") == ("dicom", "")


@settings(max_examples=250, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=600))
@example(magic=MAGICS[6], rest=b"type: short\ndimension: 3\nsizes: 99999 99999 99999\nencoding: raw\nendian: big\n\n")
@example(magic=MAGICS[8], rest=b"99999 99999 99999\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n")
@example(magic=MAGICS[3], rest=b"\x08\x00\x00\x00" * 40)
def test_anything_after_a_magic_is_a_scan_or_a_reason(tmp_path: Path, magic: bytes, rest: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(magic + rest)
    for reads in (sniff, volumes_in, lambda path: read_scan([path])):
        try:
            reads(path)
        except ScanError as error:
            assert str(error) and str(tmp_path) not in str(error)
