"""NIfTI and Analyze volumes, in one file or as a pair, read by nibabel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.layout import CUT_OFF, EMPTY, MILLIMETRES, VECTORS, length_of
from medtl.scans.quiet import Together, without_warnings
from medtl.scans.scan import Scan, finite_float32
from medtl.scans.sniff import ENOUGH, is_nifti, is_pair
from medtl.scans.source import open_scan, start_of

DATA_NAMES = (".img", ".IMG", ".img.gz")
NO_DATA = "the voxels (.img) do not lie beside the header (.hdr): copy both into one folder"


def read_nifti(path: str | Path, volume: int | None = None) -> Scan:
    """Read one volume of a NIfTI file (.nii or .nii.gz, by content), a NIfTI pair or Analyze 7.5 (by the .hdr).

    The file's axes (i, j, k) become (slice, row, column) = (k, j, i), nothing is flipped, and the affine's columns
    follow: index (s, r, c) lies where nibabel puts voxel (c, r, s). Values are after scl_slope and scl_inter. The place
    is that of the sform, else of the qform; a file with neither, and Analyze always, has none. Where the unit of
    length is not stated millimetres are taken, and the header fact "units" is "not stated".

    Args:
        path: the file, or the header of a pair.
        volume: which of a time series, from 0. None: the first, and the header fact "volumes" says how many there are.

    Raises:
        ScanError: it is not NIfTI, cut off or damaged, has no such volume, or holds something other than grey or RGB
            volumes.
    """
    with _opened(Path(path)) as image:
        n_volumes = _volumes(image)
        values, error = _values(image, chosen(volume, n_volumes))
        affine, spacing = _place(image)
        facts: dict[str, Any] = {
            "manufacturer": "",
            "model": "",
            "photometric": "",
            "bits": int(image.header["bitpix"]),
        }
        if volume is None and n_volumes > 1:
            facts["volumes"] = n_volumes
        if error:
            facts["rounded"] = error
        if _unit(image) == "unknown":
            facts["units"] = "not stated"
    return Scan(values, affine, "", spacing, facts)


def nifti_volumes(path: str | Path) -> int:
    """How many volumes a NIfTI file, NIfTI pair or Analyze file holds, by its header.

    Raises:
        ScanError: as `read_nifti`.
    """
    with _opened(Path(path)) as image:
        return _volumes(image)


def data_of_pair(header: Path) -> Path | None:
    """Where the voxels of a pair lie, by its header's name; None where they are not there."""
    bare = header.with_suffix("") if header.suffix.lower() == ".gz" else header
    for ending in DATA_NAMES:
        data = bare.with_suffix(ending)
        try:
            start_of(data, 1)
        except ScanError:
            continue
        return data
    return None


def chosen(volume: int | None, n_volumes: int) -> int:
    """The volume asked for, 0 where none was.

    Raises:
        ScanError: there is no such volume.
    """
    if volume is not None and not 0 <= volume < n_volumes:
        has = f"{n_volumes} volumes, 0 to {n_volumes - 1}" if n_volumes > 1 else "one volume, number 0"
        raise ScanError(f"the file has no volume {volume}: it has {has}")
    return volume or 0


@contextmanager
def _without_remarks() -> Iterator[None]:
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


_silence = Together(_without_remarks)  # nibabel prints what it mends; what matters is an error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A nibabel image whose voxels are still in the file; whatever nibabel raises is said in one sentence."""
    start = start_of(path, ENOUGH)
    if not (is_nifti(start) or is_pair(start)):
        raise ScanError("not a NIfTI file")
    try:
        with without_warnings, _silence, open_scan(path) as header:
            if is_nifti(start):
                yield _image(start, header, header)
                return
            data_path = data_of_pair(path)
            if data_path is None:
                raise ScanError(NO_DATA)
            with open_scan(data_path, unpack=data_path.suffix == ".gz") as data:
                yield _image(start, header, data)
    except (ScanError, MemoryError):
        raise
    except Exception as error:
        raise ScanError("the NIfTI file is cut off or damaged: copy or export it again") from error


def _image(start: bytes, header: Any, data: Any) -> Any:
    import nibabel  # slow to import, and many folders have no volumes

    kind: Any = nibabel.Spm2AnalyzeImage  # as nibabel opens Analyze: with SPM's scale, where there is one
    if start[4:7] in (b"n+2", b"ni2"):
        kind = nibabel.Nifti2Image if is_nifti(start) else nibabel.Nifti2Pair
    elif start[344:347] in (b"n+1", b"ni1"):
        kind = nibabel.Nifti1Image if is_nifti(start) else nibabel.Nifti1Pair
    opened = {"header": header, "image": data, "mat": io.BytesIO()}  # the last is SPM's, and says but a place
    files = {name: nibabel.FileHolder(fileobj=file) for name, file in opened.items()}
    image = kind.from_file_map(files, mmap=False)  # a mapped file that is cut off meanwhile would end the process
    if min(image.shape, default=0) < 1:
        raise ScanError(EMPTY)
    promised = image.get_data_dtype().itemsize * int(np.prod(image.shape, dtype=object))
    if int(image.dataobj.offset) + promised > data.seek(0, io.SEEK_END):
        raise ScanError(CUT_OFF)
    return image


def _volumes(image: Any) -> int:
    if image.ndim > 4 and int(np.prod(image.shape[4:])) > 1:
        raise ScanError(VECTORS)
    return int(image.shape[3]) if image.ndim > 3 else 1


def _values(image: Any, volume: int) -> tuple[np.ndarray, float]:
    """Float32 (k, j, i), or (k, j, i, 3) for RGB; the largest error of whole numbers that were rounded."""
    proxy = image.dataobj
    if image.ndim > 3:
        proxy = proxy[(slice(None), slice(None), slice(None), volume) + (0,) * (image.ndim - 4)]
    values = np.asarray(proxy)
    stored = image.get_data_dtype()
    if values.dtype.kind == "c":
        raise ScanError("the file holds complex numbers: save the magnitude")
    if values.dtype.names:
        values = np.stack([values[channel] for channel in "RGB"], axis=-1)
    n_axes = min(image.ndim, 3)
    values = values.reshape(values.shape[:n_axes] + (1,) * (3 - n_axes) + values.shape[n_axes:]).swapaxes(0, 2)
    whole = stored.kind in "iu" and stored.itemsize >= 4  # else float32 holds them all
    return finite_float32(values, float(image.dataobj.slope) if whole else 0.0)


def _unit(image: Any) -> str:
    if not hasattr(image.header, "get_xyzt_units"):
        return "mm"  # Analyze knows no other
    try:
        unit: str = image.header.get_xyzt_units()[0]
    except KeyError:  # a code that the standard does not have
        return "unknown"
    return unit


def _place(image: Any) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    unit = MILLIMETRES.get(_unit(image), 1.0)
    sizes = [float(size) * unit for size in image.header.get_zooms()[:3]]
    sizes = [length_of(size) for size in sizes] + [float("nan")] * 3
    spacing = (sizes[2], sizes[1], sizes[0])
    if not hasattr(image.header, "get_xyzt_units"):
        return None, spacing  # Analyze: left and right were never agreed on
    if int(image.header["sform_code"]) <= 0 and int(image.header["qform_code"]) <= 0:
        return None, spacing  # nibabel would make one up
    affine = np.asarray(image.affine, dtype=float)[:, [2, 1, 0, 3]]
    affine[:3] *= unit
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        return None, spacing
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return affine, (float(lengths[0]), float(lengths[1]), float(lengths[2]))
