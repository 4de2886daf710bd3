"""What a file is, by its first bytes: the name and its ending are never trusted."""

from __future__ import annotations

import re
from pathlib import Path

from medtl.errors import ScanError
from medtl.scans.source import ZIP, archive_of, member_names, start_of

ENOUGH = 1024  # bytes; every kind is told apart by fewer, a text needs some to be sure
PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")  # the last two: BigTIFF
NRRD, NPY = b"NRRD000", b"\x93NUMPY"
MEDMNIST = ("train", "val", "test")  # its splits
OTHER = (  # what else lies in scan folders, in the words of a `reason`
    (b"%PDF", "a PDF document"),
    (b"GIF8", "a GIF picture: save it as PNG"),
    (b"SQLite format 3", "a database"),
    (NPY, "a NumPy array (.npy), of which nobody knows what it holds: save it as NIfTI or PNG"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture outside DICOM: save it as PNG"),
    (b"CDF\x01", "a MINC volume: convert it to NIfTI (mnc2nii)"),
    (b"CDF\x02", "a MINC volume: convert it to NIfTI (mnc2nii)"),
    (b"\x89HDF", "an HDF5 file (MINC 2, say): convert its volume to NIfTI"),
    (b"\x00\x00\x00\x01\x00\x00", "a FreeSurfer volume: convert it to NIfTI (mri_convert)"),
)
TEXTS = (  # headers in plain text, by words that they hold
    (b"DATA DESCRIPTION FILE", "a Philips PAR file: convert it and its REC to NIfTI (dcm2niix)"),
    (b"integer-attribute", "an AFNI header: convert it and its BRIK to NIfTI (3dAFNItoNIFTI)"),
    (b"string-attribute", "an AFNI header: convert it and its BRIK to NIfTI (3dAFNItoNIFTI)"),
)
DATA_ENDINGS = {".img", ".raw", ".zraw", ".dat", ".bin"}  # names that the voxels beside a header bear
HEADER_ENDINGS = (".hdr", ".mhd", ".nhdr")


def is_dicom(start: bytes) -> bool:
    """Whether a file that starts with these bytes (132 or more) is DICOM, with its preamble or without."""
    if start[128:132] == b"DICM":
        return True
    little, big = start[:2] in (b"\x02\x00", b"\x08\x00"), start[:2] in (b"\x00\x02", b"\x00\x08")
    if not (little or big) or len(start) < 8:
        return False
    element = int.from_bytes(start[2:4], "little" if little else "big")
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    short = int.from_bytes(start[4:8], "little") < 2**16  # an implicit file's first element is short
    return element <= 0x0060 and (explicit or (little and short))


def is_nifti(start: bytes) -> bool:
    """Whether a file that, unpacked, starts with these bytes (348 or more) is NIfTI-1 or NIfTI-2 in one file."""
    return start[344:347] == b"n+1" or start[4:7] == b"n+2"


def is_pair(start: bytes) -> bool:
    """Whether these bytes (348 or more) start a NIfTI pair's header or one of Analyze 7.5: its voxels lie beside it."""
    if start[344:347] == b"ni1" or start[4:7] == b"ni2":
        return True
    for order in ("little", "big"):
        if len(start) >= 348 and int.from_bytes(start[:4], order) == 348:
            return 1 <= int.from_bytes(start[40:42], order) <= 7 and not is_nifti(start)
    return False


def is_metaimage(start: bytes) -> bool:
    """Whether a file that starts with these bytes (a hundred or more) is a MetaImage."""
    if not re.match(rb"\s*\w+\s*[=:]", start):
        return False
    keys = set(re.findall(rb"^\s*(\w+)\s*[=:]", start, re.MULTILINE))
    return b"NDims" in keys and not keys.isdisjoint({b"ObjectType", b"DimSize", b"ElementType", b"ElementDataFile"})


def is_picture(start: bytes) -> bool:
    """Whether a file that starts with these bytes (10 or more) is PNG, JPEG, TIFF or BMP."""
    if start.startswith(BMP):  # two letters are few: the four bytes that must be zero as well
        return start[6:10] == bytes(4)
    return start.startswith((PNG, JPEG, *TIFF))


def sniff(path: str | Path) -> tuple[str, str]:
    """Tell what a file is, also one in a zip archive (`medtl.scans.source`).

    Returns:
        kind: "dicom"; "nifti" (in one file); "picture" (PNG, JPEG, TIFF, BMP); "volume" (NRRD, MetaImage, Analyze and
            NIfTI pairs, by their header); "arrays" (.npz in the layout of MedMNIST, or one of its arrays); "archive"
            (zip); or "other".
        words: for "other", what it is, as a `reason`: "a text file, not a scan".

    Raises:
        ScanError: the file is empty or cannot be opened; it is a zip archive that is damaged, locked, or in another.
    """
    path = Path(path)
    start = start_of(path, ENOUGH)
    if not start:
        raise ScanError("the file is empty: copy or export it again")
    if start[128:132] == b"DICM":  # nearly every file there is
        return "dicom", ""
    if ending := _header_beside(path):
        return "other", f"the voxels of the {ending} file beside it"
    if is_dicom(start):
        return "dicom", ""
    if is_nifti(start):
        return "nifti", ""
    if start.startswith(NRRD) or is_pair(start) or is_metaimage(start):
        return "volume", ""
    if is_picture(start):
        return "picture", ""
    if start.startswith(ZIP):
        return _zip(path)
    if start.startswith(NPY) and (archive := archive_of(path)) and is_medmnist(member_names(archive)):
        return "arrays", ""
    return "other", _words(start)


def is_medmnist(names: set[str]) -> bool:
    """Whether an archive whose members have these names is of the layout of MedMNIST."""
    both = [f"{split}_images.npy" in names and f"{split}_labels.npy" in names for split in MEDMNIST]
    return any(both)


def _zip(path: Path) -> tuple[str, str]:
    if archive_of(path):
        raise ScanError("a zip archive inside a zip archive: unpack it")
    names = member_names(path)
    if is_medmnist(names):
        return "arrays", ""
    if names and all(name.endswith(".npy") for name in names):
        return "other", "NumPy arrays (.npz), but without train_images, train_labels ... as MedMNIST names them"
    if "[Content_Types].xml" in names:
        return "other", "an office document, not a scan"
    return "archive", ""


def _header_beside(path: Path) -> str:
    """The ending of the header of which a file holds the voxels, "" where there is none."""
    bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if bare.suffix.lower() not in DATA_ENDINGS:
        return ""
    for ending in HEADER_ENDINGS:
        for header in (bare.with_suffix(ending), bare.with_suffix(ending.upper()), bare.with_suffix(f"{ending}.gz")):
            try:
                start = start_of(header, 4096)
            except ScanError:
                continue
            if is_pair(start) if ending == ".hdr" else path.name.encode() in start:
                return ending
    return ""


def _words(start: bytes) -> str:
    for signature, words in OTHER:
        if start.startswith(signature):
            return words
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP picture: save it as PNG"
    for signature, words in TEXTS:
        if signature in start:
            return words
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        text = start[: error.start].decode() if error.start > len(start) - 4 else "\x00"  # a letter cut in two
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "a text file, not a scan"
    return "not a scan: neither DICOM, NIfTI, NRRD, MetaImage nor a picture"
