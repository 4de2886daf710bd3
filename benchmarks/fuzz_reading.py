"""Does any damaged file crash the reader, keep it busy for over 5 s, or cost over 1 GiB?

    python benchmarks/fuzz_reading.py                       every kind of file, 10 s each, a table
    python benchmarks/fuzz_reading.py --seconds 120 --kind "JPEG-LS"
    python benchmarks/fuzz_reading.py --files 50           50 of each kind
    python benchmarks/fuzz_reading.py --kind RLE --only 4711       one damaged file again, with its traceback

Each damaged file is read in a child process with limits. It must be read, or refused with a ScanError: anything else
(another exception, a signal, the time, the memory) is a fault of ours, counted, and its number printed.
"""

from __future__ import annotations

import argparse
import gzip
import io
import math
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np

SECONDS, MEMORY = 5.0, 2**30  # that a damaged file may cost
BATCH = 50  # files that one child reads
TS = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom" / "dcm_qa_ts" / "In"
GROUP_28 = (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103)  # samples, colour, frames, size, bits, sign

#: Kind -> pydicom's own test files of it.
DICOM = {
    "implicit": ("MR_small_implicit.dcm",),
    "explicit": ("CT_small.dcm", "examples_palette.dcm", "SC_ybr_full_422_uncompressed.dcm", "liver_1frame.dcm"),
    "big endian": ("MR_small_bigendian.dcm", "ExplVR_BigEnd.dcm", "liver_expb_1frame.dcm"),
    "deflated": ("image_dfl.dcm",),
    "RLE": ("MR_small_RLE.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle.dcm"),
    "JPEG baseline": ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_small_odd_jpeg.dcm"),
    "JPEG 12 bits": ("JPEG-lossy.dcm",),
    "JPEG lossless": ("SC_rgb_jpeg_gdcm.dcm",),
    "JPEG-LS": ("MR_small_jpeg_ls_lossless.dcm", "JPEGLSNearLossless_08.dcm", "SC_rgb_jls_lossy_line.dcm"),
    "JPEG 2000": ("693_J2KI.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_gdcm_KY.dcm", "GDCMJ2K_TextGBR.dcm"),
    "not images": ("test-SR.dcm", "rtplan.dcm", "reportsi.dcm", "dicomdirtests/DICOMDIR", "nested_priv_SQ.dcm"),
}


def seeds(kind: str) -> list[tuple[str, bytes]]:
    """Sound files of a kind: (what its name ends in, content)."""
    if kind in DICOM:
        import pydicom.data

        folder = Path(pydicom.data.__file__).parent / "test_files"
        found = [(".dcm", (folder / name).read_bytes()) for name in DICOM[kind]]
        more = {"RLE": "4", "JPEG lossless": "5", "JPEG-LS": "7", "JPEG 2000": "9"}.get(kind)
        if more and TS.is_dir():
            found.append((".dcm", (TS / f"{more}.dcm").read_bytes()))
        return found
    return [OTHERS[kind]()]


def _volume() -> np.ndarray:
    return np.add.outer(np.arange(6), np.add.outer(np.arange(20), np.arange(30))).astype(np.int16)


def _nifti(packed: bool, version: int) -> tuple[str, bytes]:
    import nibabel

    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(_volume(), np.eye(4))
    whole = image.to_bytes()
    return (".nii.gz", gzip.compress(whole)) if packed else (".nii", whole)


def _picture(form: str, depth: int = 8) -> tuple[str, bytes]:
    from PIL import Image

    file, grey = io.BytesIO(), _volume()[0]
    if depth == 16:
        Image.fromarray((grey * 900).astype(np.uint16)).save(file, form)
    else:
        Image.fromarray(np.repeat(grey[..., None].astype(np.uint8) * 4, 3, axis=-1)).save(file, form)
    return f".{form.lower()}", file.getvalue()


def _itk(suffix: str) -> tuple[str, bytes]:
    import SimpleITK as sitk  # noqa: N813

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"volume{suffix}"
        sitk.WriteImage(sitk.GetImageFromArray(_volume()), str(path), useCompression=True)
        return suffix, path.read_bytes()


def _zip() -> tuple[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/a.png", _picture("PNG")[1])
    return ".zip", file.getvalue()


def _npz() -> tuple[str, bytes]:
    file, pictures = io.BytesIO(), np.arange(4 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(4, 28, 28)
    parts = {f"{part}_{what}": pictures if what == "images" else np.arange(4)[:, None]
             for part in ("train", "val", "test") for what in ("images", "labels")}  # fmt: skip
    np.savez_compressed(file, **parts)
    return ".npz", file.getvalue()


OTHERS = {
    "NIfTI": lambda: _nifti(False, 1),
    "NIfTI-2": lambda: _nifti(False, 2),
    "NIfTI, gzip": lambda: _nifti(True, 1),
    "PNG": lambda: _picture("PNG"),
    "PNG, 16 bits": lambda: _picture("PNG", 16),
    "JPEG": lambda: _picture("JPEG"),
    "TIFF": lambda: _picture("TIFF"),
    "TIFF, 16 bits": lambda: _picture("TIFF", 16),
    "NRRD": lambda: _itk(".nrrd"),
    "MetaImage": lambda: _itk(".mha"),
    "zip": _zip,
    "npz": _npz,
}
KINDS = (*DICOM, *OTHERS)


def damaged(whole: bytes, random: Random) -> bytes:
    """The file with bits flipped, bytes changed, cut off, put in, left out, or its header's numbers made absurd."""
    content, way = bytearray(whole), random.randrange(9)
    near = random.random() < 0.6  # most of what can go wrong stands near the beginning

    def at() -> int:
        return random.randrange(min(len(content), 1500) if near else len(content))

    if way == 0:
        for _ in range(random.randrange(1, 9)):
            content[at()] ^= 1 << random.randrange(8)
    elif way == 1:
        for _ in range(random.randrange(1, 9)):
            content[at()] = random.randrange(256)
    elif way == 2:
        del content[at() :]
    elif way == 3:
        content[(place := at()) : place] = random.randbytes(random.randrange(1, 40))
    elif way == 4:
        del content[(place := at()) : place + random.randrange(1, 60)]
    elif way == 5:
        place, extreme = at(), (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0")
        content[place : place + 4] = random.choice(extreme)
    elif way == 6:
        content[(place := at()) : place + 16] = content[(other := at()) : other + 16]
    elif way == 7:
        del content[(place := at()) : random.randrange(place, len(content)) + 1]
        content += random.choice((b"", b"\xff\xd9", b"\xfe\xff\xdd\xe0\0\0\0\0", bytes(64)))
    else:
        _absurd(content, random)
    return bytes(content)


def _absurd(content: bytearray, random: Random) -> None:
    """Give fields of group 0028 of a DICOM file other numbers; another file gets random bytes in a row."""
    places = [content.find(struct.pack("<HH", 0x28, element)) for element in GROUP_28]
    places = [place for place in places if place >= 0] or [random.randrange(len(content))]
    for place in random.sample(places, min(len(places), random.randrange(1, 3))):
        number = random.choice((0, 1, 2, 3, 7, 12, 16, 24, 64, 255, 1000, 4096, 32768, 65535))
        content[place + 8 : place + 10] = struct.pack("<H", number)


def _read(path: Path) -> None:
    """What indexing and reading do with a file."""
    from medtl.errors import ScanError
    from medtl.scans.dicom_header import read_header
    from medtl.scans.read import read_scan, volumes_in
    from medtl.scans.sniff import sniff

    kind, _ = sniff(path)
    with suppress(ScanError):  # what the header refuses, the reader must refuse too
        if kind == "dicom":
            read_header(path)
        elif kind in ("nifti", "volume"):
            volumes_in(path)
    read_scan([_inside(path)], volume=0 if path.suffix == ".npz" else None)


def _inside(path: Path) -> Path:
    """What a user would read of an archive: its first member."""
    if path.suffix not in (".zip", ".npz"):
        return path
    from medtl.scans.source import members

    if path.suffix == ".npz":
        return path / "train_images.npy"
    return next(iter(members(path)), path)


READ, REFUSED, RAISED, SLOWEST, NOW = range(5)  # what a child counts, and the number it is at


def fuzz(kind: str, seconds: float, first: int = 0, most: int = sys.maxsize) -> dict[str, object]:
    """Read damaged files of one kind for a while, or so many; how often what happened."""
    sound = seeds(kind)
    shared = mmap.mmap(-1, 8 * 64)
    faults: list[str] = []
    number, peak, end = first, 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        while time.monotonic() < end and number - first < most:
            child = os.fork()
            if child == 0:
                _child(sound, range(number, min(number + BATCH, first + most)), shared, Path(folder))
            _, status, usage = os.wait4(child, 0)
            peak = max(peak, usage.ru_maxrss // 1024)
            at = _get(shared, NOW)
            if os.WIFSIGNALED(status):
                name = signal.Signals(os.WTERMSIG(status)).name
                faults.append(f"{at}: {'over 5 s' if name == 'SIGALRM' else name}")
                number = at + 1
            else:
                number = min(number + BATCH, first + most)
            faults += [f"{n}: raised" for n in _raised(shared)]
    return {
        "kind": kind, "files": number - first, "read": _get(shared, READ), "refused": _get(shared, REFUSED),
        "slowest, s": _get(shared, SLOWEST) / 1000, "memory, MiB": peak, "faults": faults,
    }  # fmt: skip


def _child(sound: list[tuple[str, bytes]], numbers: range, shared: mmap.mmap, folder: Path) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    from medtl.errors import ScanError

    for number in numbers:
        _put(shared, NOW, number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        began = time.monotonic()
        try:
            _read(_written(sound, number, folder))
            _put(shared, READ, _get(shared, READ) + 1)
        except BaseException as error:
            if isinstance(error, ScanError) and not _ran_out(error):
                _put(shared, REFUSED, _get(shared, REFUSED) + 1)
            else:
                count = _get(shared, RAISED)
                _put(shared, RAISED, count + 1)
                _put(shared, 8 + count % 32, number)
        took = int((time.monotonic() - began) * 1000)
        _put(shared, SLOWEST, max(took, _get(shared, SLOWEST)))
        signal.setitimer(signal.ITIMER_REAL, 0)
    os._exit(0)


def _ran_out(error: BaseException | None) -> bool:
    """Whether what a file was refused for is, at the bottom, that memory ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or any(word in str(error).lower() for word in ("memory", "alloc")):
            return True
        error = error.__cause__ or error.__context__
    return False


def _written(sound: list[tuple[str, bytes]], number: int, folder: Path) -> Path:
    suffix, whole = sound[number % len(sound)]
    path = folder / f"damaged{suffix}"
    path.write_bytes(damaged(whole, Random(number)))
    return path


def _get(shared: mmap.mmap, place: int) -> int:
    return int(struct.unpack_from("<q", shared, 8 * place)[0])


def _put(shared: mmap.mmap, place: int, value: int) -> None:
    struct.pack_into("<q", shared, 8 * place, value)


def _raised(shared: mmap.mmap) -> Iterator[int]:
    for place in range(min(32, _get(shared, RAISED))):
        yield _get(shared, 8 + place)
    _put(shared, RAISED, 0)


def main() -> None:
    """Fuzz, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--files", type=int, default=0, help="of each kind, however long it takes")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--first", type=int, default=0, help="number of the first damaged file")
    parser.add_argument("--only", type=int, help="read this one here, and show what it raises")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                _read(_written(seeds(options.kind), options.only, Path(folder)))
            except Exception:
                traceback.print_exc()
        return
    sys.exit(1 if _table(options) else 0)


def _table(options: argparse.Namespace) -> int:
    """Fuzz, print a table, and return how many faults were found."""
    total = 0
    for kind in KINDS:  # each library is loaded once, before the children are born
        with tempfile.TemporaryDirectory() as folder:
            suffix, whole = seeds(kind)[0]
            (path := Path(folder) / f"sound{suffix}").write_bytes(whole)
            try:
                _read(path)
            except Exception as error:
                if kind != "not images":
                    print(f"{kind}: its sound file is not read: {error}")
    print(f"{'kind':15}{'files':>8}{'read':>8}{'refused':>9}{'slowest':>9}{'memory':>10}  faults")
    for kind in [options.kind] if options.kind else KINDS:
        seconds, most = (math.inf, options.files) if options.files else (options.seconds, sys.maxsize)
        row = fuzz(kind, seconds, options.first, most)
        faults = row["faults"]
        assert isinstance(faults, list)
        total += len(faults)
        print(
            f"{kind:15}{row['files']:8}{row['read']:8}{row['refused']:9}{row['slowest, s']:7.2f} s"
            f"{row['memory, MiB']:6} MiB  {len(faults)} {', '.join(faults[:6])}",
            flush=True,
        )
    return total


if __name__ == "__main__":
    main()
