"""How voxels lie in a file behind a header of text, and reading them; what NRRD and MetaImage have in common."""

from __future__ import annotations

import bz2
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from medtl.errors import ScanError
from medtl.scans.source import CHUNK, TRAP, most_unpacked, open_scan, size_on_disk

LONGEST_HEADER = 1 << 20  # bytes
MILLIMETRES = {  # in a unit of length, whose name is in lower case
    "m": 1000.0, "meter": 1000.0, "cm": 10.0, "mm": 1.0,
    "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001,
}  # fmt: skip
DAMAGED = "the volume's header is damaged or incomplete: export it again"
CUT_OFF = "the file is cut off: it has fewer voxels than its header says, copy or export it again"
EMPTY = "the header promises a volume without voxels: the file is damaged"
VECTORS = "the file holds vectors (a deformation field?), not a picture"
ELSEWHERE = "the header names voxels in another folder or in several files: save it as one file (.nrrd, .mha, .nii)"
NOT_BESIDE = "the file with the voxels does not lie beside the header: copy both into one folder"


@dataclass(frozen=True)
class Layout:
    """How voxels lie in a file, whatever its format.

    Attributes:
        sizes: voxels along i, j, k, of which i varies fastest.
        n_volumes: time points, or whatever else there is several of.
        volumes_first: whether the volumes vary faster than i; else they vary slowest.
        channels: 1; or 3 or 4 for colour, which varies fastest.
        kind: NumPy's type, with its byte order.
        affine: 4x4, (i, j, k, 1) to RAS+ mm, or None where the header does not say.
        spacing: mm along i, j, k, nan where the header does not say.
        data: the name of the file beside the header that holds the voxels, "" where they follow the header.
        at: the byte where they begin in that file; None: they are its last bytes.
        lines: of text to skip after that.
        skip: bytes to skip after that, when unpacked.
        packing: "raw", "gzip", "bzip2", "text" or "hex".
    """

    sizes: tuple[int, int, int]
    kind: np.dtype
    n_volumes: int = 1
    volumes_first: bool = False
    channels: int = 1
    affine: np.ndarray | None = None
    spacing: tuple[float, float, float] = (float("nan"),) * 3
    data: str = ""
    at: int | None = 0
    lines: int = 0
    skip: int = 0
    packing: str = "raw"

    @property
    def n_numbers(self) -> int:
        """How many numbers all volumes have."""
        return self.sizes[0] * self.sizes[1] * self.sizes[2] * self.n_volumes * self.channels


def length_of(value: float) -> float:
    """A length in mm, nan where it can be none."""
    return value if np.isfinite(value) and value > 0 else float("nan")


def name_beside(name: str) -> str:
    """A file's name as a header writes it, "./name" as "name"; whether it leads elsewhere is for the reader to say.

    Raises:
        ScanError: it stands for several files.
    """
    if not name.split() or name.split()[0] == "LIST" or re.search(r"%\d*d", name):
        raise ScanError(ELSEWHERE)
    plain = PurePosixPath(name)
    return plain.name if plain.parent == PurePosixPath() else name


def header_lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a header, stripped; `file` stands behind the last one given.

    Raises:
        ScanError: the header is longer than any is.
    """
    while line := file.readline(LONGEST_HEADER):
        if file.tell() > LONGEST_HEADER:
            raise ScanError(DAMAGED)
        yield line.decode("utf-8", "replace").strip()


def read_numbers(path: Path, file: BinaryIO, layout: Layout, number: int) -> np.ndarray:
    """The numbers of one volume, in the file's type: (k, j, i), or (k, j, i, channels).

    Args:
        path: the header, to find the voxels beside it.
        file: it, opened.
        layout: what it says.
        number: which volume, from 0.

    Raises:
        ScanError: they are cut off, damaged, or not there.
    """
    if not layout.data:
        return _of_volume(file, layout, number, most_unpacked(size_on_disk(path)))
    beside = path.parent / layout.data
    try:
        data = open_scan(beside, unpack=False)
    except ScanError as error:
        raise ScanError(NOT_BESIDE) from error
    with data:
        return _of_volume(data, layout, number, most_unpacked(size_on_disk(beside)))


def _of_volume(file: BinaryIO, layout: Layout, number: int, most: int) -> np.ndarray:
    promised = layout.n_numbers * layout.kind.itemsize
    size = file.seek(0, io.SEEK_END)
    if promised > (size if layout.packing == "raw" else most):
        raise ScanError(CUT_OFF if layout.packing == "raw" else TRAP)
    file.seek(size - promised if layout.at is None else layout.at)
    for _ in range(layout.lines):
        if not file.readline(LONGEST_HEADER):
            raise ScanError(CUT_OFF)
    if layout.packing == "raw" and file.tell() + layout.skip + promised > size:
        raise ScanError(CUT_OFF)
    take = layout.n_volumes if layout.volumes_first else 1  # which one cannot be read apart from the others
    count = layout.n_numbers // layout.n_volumes * take
    before = 0 if layout.volumes_first else number * count
    if layout.packing in ("text", "hex"):
        numbers = _from_text(file, layout)[before : before + count]
    else:
        content = _bytes(file, layout, before, count)
        numbers = np.frombuffer(content, layout.kind, len(content) // layout.kind.itemsize)
    if len(numbers) < count:
        raise ScanError(CUT_OFF)
    i, j, k = layout.sizes
    if layout.volumes_first:
        return numbers.reshape(k, j, i, take)[..., number]
    return numbers.reshape((k, j, i) if layout.channels == 1 else (k, j, i, layout.channels))


def _bytes(file: BinaryIO, layout: Layout, before: int, count: int) -> bytes | bytearray:
    """The bytes of `count` numbers behind `before` others; fewer where the file ends."""
    skip, wanted = layout.skip + before * layout.kind.itemsize, count * layout.kind.itemsize
    if layout.packing == "raw":
        file.seek(skip, io.SEEK_CUR)
        return file.read(wanted)
    unpacker: Any = bz2.BZ2Decompressor() if layout.packing == "bzip2" else zlib.decompressobj(wbits=47)
    last = before + count == layout.n_numbers  # then what ends the stream must be there as well
    content = bytearray()
    for chunk in _unpacked(file, unpacker):
        content += chunk[skip:]
        skip = max(0, skip - len(chunk))
        if len(content) >= wanted and (not last or len(content) > wanted + CHUNK):
            break
    del content[wanted:]
    return content


def _unpacked(file: BinaryIO, unpacker: Any) -> Iterator[bytes]:
    """Unpack to the end of the stream or of the file, in chunks of bounded size."""
    packed = b""
    while not unpacker.eof:
        if not packed and getattr(unpacker, "needs_input", True):
            packed = file.read(CHUNK)
            if not packed:
                raise ScanError(CUT_OFF)
        try:
            yield unpacker.decompress(packed, CHUNK)
        except (zlib.error, OSError) as error:
            raise ScanError("the compressed voxels are damaged: copy or export the file again") from error
        packed = getattr(unpacker, "unconsumed_tail", b"")


def _from_text(file: BinaryIO, layout: Layout) -> np.ndarray:
    """All numbers of a file that has them in letters."""
    file.seek(layout.skip, io.SEEK_CUR)
    if layout.packing == "hex":
        digits = file.read(3 * layout.n_numbers * layout.kind.itemsize + CHUNK)
        content = bytes.fromhex(digits.decode("ascii"))
        return np.frombuffer(content[: len(content) // layout.kind.itemsize * layout.kind.itemsize], layout.kind)
    words = file.read().replace(b",", b" ").split()[: layout.n_numbers]
    read: Callable[[bytes], Any] = int if layout.kind.kind in "iu" else float
    return np.array([read(word) for word in words], layout.kind.newbyteorder("="))
