"""Files -> Scan, whatever they are: the content decides, never the name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medtl.errors import ScanError
from medtl.scans.scan import Scan
from medtl.scans.sniff import sniff

if TYPE_CHECKING:
    from medtl.scans.manifest import Row


def read(row_or_path: Row | str | Path) -> Scan:
    """Read one scan: a row of a manifest, or the path of a picture, a volume or a DICOM file.

    Raises:
        ScanError: it cannot be read. For a row the message is its `reason`, without a path, so that it may be kept;
            for a path it begins with the path.
    """
    if not isinstance(row_or_path, (str, Path)):
        return read_scan(row_or_path.files)
    try:
        return read_scan([Path(row_or_path)])
    except ScanError as error:
        raise ScanError(f"{row_or_path}: {error}") from error


def read_scan(files: Sequence[Path]) -> Scan:
    """Read one scan from its files: a DICOM series' slices in any order, or one picture or volume.

    Raises:
        ScanError: they are not a scan, or damaged; the message names no path.
    """
    if not files:
        raise ScanError("no file is known for this scan: index the folder again")
    try:
        return _read(files)
    except MemoryError as error:
        raise ScanError("the scan is larger than this machine's memory: read it on a larger one") from error


def _read(files: Sequence[Path]) -> Scan:
    kind, words = sniff(files[0])
    if kind == "dicom":
        from medtl.scans.dicom import read_dicom

        return read_dicom(files)
    if kind == "other":
        raise ScanError(words)
    if len(files) > 1:
        raise ScanError("a scan of several files must be a DICOM series: index pictures and volumes one by one")
    if kind == "nifti":
        from medtl.scans.nifti import read_nifti

        return read_nifti(files[0])
    from medtl.scans.picture import read_picture

    return read_picture(files[0])
