"""Volumes in NRRD and MetaImage files, and those that nibabel reads as a pair (NIfTI, Analyze).

NRRD and MetaImage are read here and not by SimpleITK, whose readers end the whole process at some damaged headers
(segmentation faults within a few thousand random changes of each kind, SimpleITK 2.5.7) and put a place where the file
states none. The tests compare every voxel and place with SimpleITK's. Both formats are a text of `key: value` lines
before the voxels, which `nrrd.py` and `metaimage.py` turn into a `layout.Layout`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from medtl.errors import ScanError
from medtl.scans.layout import DAMAGED, ELSEWHERE, EMPTY, Layout, read_numbers
from medtl.scans.metaimage import metaimage_layout
from medtl.scans.nifti import chosen, data_of_pair, nifti_volumes, read_nifti
from medtl.scans.nrrd import nrrd_layout
from medtl.scans.scan import Scan, finite_float32
from medtl.scans.sniff import ENOUGH, NRRD, is_metaimage, is_nifti, is_pair
from medtl.scans.source import open_scan, start_of


def read_volume(path: str | Path, volume: int | None = None) -> Scan:
    """Read one volume of an NRRD, MetaImage, NIfTI or Analyze file, or a NIfTI pair, by its header's content.

    The file's axes (i, j, k) become (slice, row, column) = (k, j, i), nothing is flipped, and the affine's columns
    follow. NRRD's places are in the space that it names, and there is none where it names none that is anatomical;
    MetaImage's are left-posterior-superior, as ITK has it, where it states both position and directions.

    Args:
        path: the file, or the header whose voxels are in a second file beside it.
        volume: which of a time series, from 0. None: the first, and the header fact "volumes" says how many there are.

    Raises:
        ScanError: it is none of these, cut off or damaged, has no such volume, holds vectors, or names voxels outside
            its folder.
    """
    path = Path(path)
    start = start_of(path, ENOUGH)
    if is_nifti(start) or is_pair(start):
        return read_nifti(path, volume)
    with _in_plain_words(), open_scan(path) as file:
        layout = _layout(file, start)
        number = chosen(volume, layout.n_volumes)
        values = read_numbers(path, file, layout, number)
    facts: dict[str, Any] = {"manufacturer": "", "model": "", "photometric": "", "bits": layout.kind.itemsize * 8}
    if layout.channels > 1:
        values, facts["photometric"] = values[..., :3], "RGB"
    if volume is None and layout.n_volumes > 1:
        facts["volumes"] = layout.n_volumes
    pixels, error = finite_float32(values)
    if error:
        facts["rounded"] = error
    affine = None if layout.affine is None else layout.affine[:, [2, 1, 0, 3]]
    return Scan(pixels, affine, "", layout.spacing[::-1], facts)


def volumes_of(path: str | Path) -> int:
    """How many volumes the file holds, by its header.

    Raises:
        ScanError: as `read_volume`.
    """
    start = start_of(path, ENOUGH)
    if is_nifti(start) or is_pair(start):
        return nifti_volumes(path)
    with _in_plain_words(), open_scan(path) as file:
        return _layout(file, start).n_volumes


def data_beside(path: str | Path) -> Path | None:
    """The second file, with the voxels, of a volume whose header is `path`; None for whatever has no second file.

    Raises:
        ScanError: the header is damaged, or its voxels are not beside it.
    """
    path = Path(path)
    start = start_of(path, ENOUGH)
    if is_pair(start):
        return data_of_pair(path)
    if not (start.startswith(NRRD) or is_metaimage(start)):
        return None
    with _in_plain_words(), open_scan(path) as file:
        layout = _layout(file, start)
    return path.parent / layout.data if layout.data else None


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Whatever a damaged file raises is a fault of the file, said in one sentence."""
    try:
        yield
    except (ScanError, MemoryError):
        raise
    except Exception as error:
        raise ScanError(DAMAGED) from error


def _layout(file: BinaryIO, start: bytes) -> Layout:
    if start.startswith(NRRD):
        layout = nrrd_layout(file)
    elif is_metaimage(start):
        layout = metaimage_layout(file)
    else:
        raise ScanError("neither NRRD, MetaImage, Analyze nor a NIfTI pair")
    if min(layout.sizes) < 1 or layout.n_volumes < 1:
        raise ScanError(EMPTY)
    name = layout.data
    if name and (name != Path(name).name or "\\" in name or name in (".", "..") or "\x00" in name):
        raise ScanError(ELSEWHERE)
    return layout
