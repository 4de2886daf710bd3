"""NIfTI volumes, read by nibabel."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.scan import Scan
from medtl.scans.sniff import is_nifti

MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: str | Path) -> Scan:
    """Read one NIfTI volume (.nii or .nii.gz, by content).

    The file's axes (i, j, k) become (slice, row, column) = (k, j, i), nothing is flipped, and the affine's columns
    follow: index (s, r, c) lies where nibabel puts voxel (c, r, s). Values are after scl_slope and scl_inter. Of a
    time series the first volume is read, and the header fact "volumes" says how many there were.

    Raises:
        ScanError: it is not NIfTI, cut off or damaged, or holds something other than grey or RGB volumes.
    """
    try:
        image = _open(Path(path))
        values = _values(image)
        affine, spacing = _place(image)
    except (ScanError, MemoryError):
        raise
    except Exception as error:
        raise ScanError("the NIfTI file is cut off or damaged: copy or export it again") from error
    facts: dict[str, Any] = {"manufacturer": "", "model": "", "photometric": "", "bits": int(image.header["bitpix"])}
    if image.ndim > 3 and int(np.prod(image.shape[3:])) > 1:
        facts["volumes"] = int(np.prod(image.shape[3:]))
    return Scan(values, affine, "", spacing, facts)


def _open(path: Path) -> Any:
    import nibabel  # slow to import, and many folders have no volumes

    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ScanError("the compressed file (.gz) is cut off or damaged: copy or export it again") from error
    if not is_nifti(content[:352]):
        raise ScanError("not a NIfTI file")
    if b"ni" in (content[344:346], content[4:6]):
        raise ScanError("the picture is in a second file (.img beside .hdr): save both as one .nii.gz")
    kind = nibabel.Nifti2Image if content[4:6] == b"n+" else nibabel.Nifti1Image
    image = kind.from_stream(io.BytesIO(content))
    if min(image.shape, default=0) < 1:
        raise ScanError("the NIfTI header promises a volume without voxels: the file is damaged")
    voxels = int(np.prod(image.shape, dtype=object))
    if image.header.get_data_offset() + image.get_data_dtype().itemsize * voxels > len(content):
        raise ScanError("the file is cut off: it has fewer voxels than its header says, copy or export it again")
    return image


def _values(image: Any) -> np.ndarray:
    """Float32 (k, j, i), or (k, j, i, 3) for RGB."""
    if image.ndim > 4 and int(np.prod(image.shape[4:])) > 1:
        raise ScanError("the file holds vectors (a deformation field?), not a picture")
    proxy = image.dataobj
    if image.ndim > 3:
        proxy = proxy[(slice(None), slice(None), slice(None)) + (0,) * (image.ndim - 3)]
    values = np.asarray(proxy)
    if values.dtype.kind == "c":
        raise ScanError("the file holds complex numbers: save the magnitude")
    if values.dtype.names:
        values = np.stack([values[channel] for channel in "RGB"], axis=-1)
    values = values.reshape(values.shape[:3] + (1,) * max(0, 3 - values.ndim) + values.shape[3:])
    values = values.swapaxes(0, 2).astype(np.float32, order="C")
    finite = np.isfinite(values)
    if not finite.any():
        raise ScanError("no voxel has a finite value: the file is damaged or was saved wrongly")
    # Masked voxels are written as NaN by SPM and FSL, which read them as nothing there.
    return values if finite.all() else np.where(finite, values, np.float32(0))


def _place(image: Any) -> tuple[np.ndarray | None, tuple[float, float, float]]:
    unit = MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    sizes = [float(size) * unit for size in image.header.get_zooms()[:3]]
    sizes = [size if np.isfinite(size) and size > 0 else float("nan") for size in sizes] + [float("nan")] * 3
    spacing = (sizes[2], sizes[1], sizes[0])
    if int(image.header["sform_code"]) <= 0 and int(image.header["qform_code"]) <= 0:
        return None, spacing  # nibabel would make one up
    affine = np.asarray(image.affine, dtype=float)[:, [2, 1, 0, 3]]
    affine[:3] *= unit
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        return None, spacing
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return affine, (float(lengths[0]), float(lengths[1]), float(lengths[2]))
