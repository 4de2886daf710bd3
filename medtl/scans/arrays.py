"""Pictures in the .npz files of MedMNIST: {train,val,test}_images.npy beside {train,val,test}_labels.npy."""

from __future__ import annotations

import io
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.datalist import NONE_OF_THEM
from medtl.scans.scan import Scan, finite_float32
from medtl.scans.sniff import MEDMNIST, NPY, is_medmnist
from medtl.scans.source import archive_of, member_names, open_scan, stamp

DAMAGED = "the NumPy arrays (.npz) are cut off or damaged: download the file again"
STRANGE = "the arrays have not the shapes of MedMNIST: images (N, rows, columns[, 3 or columns]), labels (N, 1 or more)"
_loading = threading.Lock()


def array_rows(path: str | Path) -> list[tuple[Path, int, str, str]]:
    """The pictures of an .npz in the layout of MedMNIST.

    Returns:
        (path, volume, label, split) of each, in the file's order: the path "x.npz/train_images.npy" and the number by
        which `read_array` reads it; the label "0", "1" ...; of several findings those that are there, joined by ";",
        and "none" where there is none; the split "train", "calibrate" (their "val") or "test".

    Raises:
        ScanError: it is of another layout, or damaged.
    """
    path = Path(path)
    names = member_names(path)
    if not is_medmnist(names):
        raise ScanError("the arrays are not named train_images, train_labels ... as in MedMNIST")
    rows = []
    for split in MEDMNIST:
        images = path / f"{split}_images.npy"
        if not {images.name, f"{split}_labels.npy"} <= names:
            continue
        labels = _labels(_load(path / f"{split}_labels.npy"))
        if len(labels) != len(_images(images)):
            raise ScanError(STRANGE)
        goes_to = "calibrate" if split == "val" else split
        rows += [(images, number, label, goes_to) for number, label in enumerate(labels)]
    return rows


def read_array(path: str | Path, volume: int | None = None) -> Scan:
    """Read one picture of an array of pictures, or one volume where they are cubes.

    The array is unpacked once for pictures that are read one after another; two are kept.

    Args:
        path: "x.npz/train_images.npy".
        volume: its number, from 0; it may be left out where the array holds one.

    Raises:
        ScanError: there is no such picture, or the array is damaged or of another shape.
    """
    pixels = picture_of(path, volume)
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    floats, error = finite_float32(pixels if pixels.ndim == 3 and not colour else pixels[None])
    facts: dict[str, Any] = {
        "manufacturer": "",
        "model": "",
        "photometric": "RGB" if colour else "MONOCHROME2",
        "bits": pixels.dtype.itemsize * 8,
    }
    if error:
        facts["rounded"] = error
    return Scan(floats, None, "", (float("nan"),) * 3, facts)


def picture_of(path: str | Path, volume: int | None) -> np.ndarray:
    """One picture as it is stored: (rows, columns), (rows, columns, 3) or (slices, rows, columns).

    Raises:
        ScanError: as `read_array`.
    """
    path = Path(path)
    if archive_of(path) is None:
        raise ScanError("the file holds many pictures: index it, so that each gets a row of its own")
    images = _images(path)
    if volume is None and len(images) > 1:
        raise ScanError(f"the array holds {len(images)} pictures: say which, or index the file")
    if not 0 <= (volume or 0) < len(images):
        raise ScanError(f"the array has no picture {volume}: it holds {len(images)}, counted from 0")
    picture: np.ndarray = images[volume or 0]
    return picture


def _load(path: Path) -> np.ndarray:
    with _loading:  # several threads that want the same array wait for the first
        return _load_once(path, *stamp(path))


@lru_cache(maxsize=2)
def _load_once(path: Path, size: int, modified: int) -> np.ndarray:
    with open_scan(path) as file:
        content = file.read()
    stream = io.BytesIO(content)
    shape, in_columns, kind = _header(stream)
    n_numbers = int(np.prod(shape, dtype=object))
    if n_numbers * kind.itemsize > len(content) - stream.tell():
        raise ScanError(DAMAGED)
    return np.frombuffer(content, kind, n_numbers, stream.tell()).reshape(shape, order="F" if in_columns else "C")


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type. Nothing is ever unpickled: arrays of objects are refused."""
    try:
        if stream.read(len(NPY)) != NPY:
            raise ScanError(DAMAGED)
        stream.seek(0)
        version = np.lib.format.read_magic(stream)
        reads = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, kind = reads(stream)
    except ScanError:
        raise
    except Exception as error:
        raise ScanError(DAMAGED) from error
    if kind.kind not in "buif" or min(shape, default=0) < 0:
        raise ScanError("the arrays hold something other than numbers: save them as numbers")
    return shape, in_columns, kind


def _images(path: Path) -> np.ndarray:
    images = _load(path)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if not 3 <= images.ndim <= 4 or min(images.shape[1:]) < 1:
        raise ScanError(STRANGE)
    if images.ndim == 4 and images.shape[-1] not in (3, images.shape[-2]):
        raise ScanError(STRANGE)
    return images


def _labels(labels: np.ndarray) -> list[str]:
    if labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or labels.shape[1] < 1 or not _whole(labels):
        raise ScanError(STRANGE)
    if labels.shape[1] == 1:
        return [str(int(label)) for label in labels[:, 0]]
    if not np.isin(labels, (0, 1)).all():
        raise ScanError("several labels a picture must be 0 or 1 each")
    return [";".join(map(str, np.flatnonzero(row))) or NONE_OF_THEM for row in labels]


def _whole(labels: np.ndarray) -> bool:
    return labels.dtype.kind != "f" or bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
