"""Files -> Scan, whatever they are: the content decides, never the name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from medtl.errors import InputError, ScanError
from medtl.scans.scan import Scan
from medtl.scans.sniff import sniff

if TYPE_CHECKING:
    from medtl.scans.dicom import OnGap
    from medtl.scans.manifest import Row

ON_GAP = ("error", "resample", "keep")


def read(row_or_path: Row | str | Path, volume: int | None = None, on_gap: str = "error") -> Scan:
    """Read one scan: a row of a manifest, or the path of a picture, a volume or a DICOM file.

    Args:
        row_or_path: a path may lead into a zip archive: "a.zip/inner/IM1".
        volume: which of several volumes, from 0; None: the only one, or the first of a time series, of which the header
            fact "volumes" then says how many there are. A row brings its own in a column of this name.
        on_gap: what to do with a DICOM series whose slices are not evenly spaced: "error" refuses it, "resample"
            interpolates, "keep" takes it as it is. A row brings its own likewise.

    Raises:
        ScanError: it cannot be read. For a row the message is its `reason`, without a path, so that it may be kept;
            for a path it begins with the path.
    """
    if not isinstance(row_or_path, (str, Path)):
        own_volume, own_gap = how_to_read(row_or_path)
        volume = own_volume if volume is None else volume
        return read_scan(row_or_path.files, volume, own_gap if on_gap == "error" else on_gap)
    try:
        return read_scan([Path(row_or_path)], volume, on_gap)
    except ScanError as error:
        raise ScanError(f"{row_or_path}: {error}") from error


def how_to_read(row: Row) -> tuple[int | None, str]:
    """The `volume` and `on_gap` that a row's columns of these names say.

    Raises:
        ScanError: they hold something else.
    """
    extra = getattr(row, "extra", {})
    volume, on_gap = extra.get("volume", "").strip(), extra.get("on_gap", "").strip() or "error"
    if volume and not volume.isdecimal():
        raise ScanError("the column volume must be empty or a whole number: index the folder again")
    if on_gap not in ON_GAP:
        raise ScanError("the column on_gap must be empty, error, resample or keep: index the folder again")
    return (int(volume) if volume else None), on_gap


def read_scan(files: Sequence[Path], volume: int | None = None, on_gap: str = "error") -> Scan:
    """Read one scan from its files: a DICOM series' slices in any order, or one picture or volume.

    Args:
        files: paths, which may lead into a zip archive.
        volume: as `read`.
        on_gap: as `read`.

    Raises:
        ScanError: they are not a scan, or damaged; the message names no path.
        InputError: `on_gap` is none of the three.
    """
    if on_gap not in ON_GAP:
        raise InputError(f"on_gap is {on_gap!r}: it must be error, resample or keep")
    if not files:
        raise ScanError("no file is known for this scan: index the folder again")
    try:
        return _read(files, volume, on_gap)
    except MemoryError as error:
        raise ScanError("the scan is larger than this machine's memory: read it on a larger one") from error


def volumes_in(path: str | Path) -> int:
    """How many 3-D volumes a NIfTI, NRRD, MetaImage or Analyze file holds, by its header alone.

    Raises:
        ScanError: it is none of these, or damaged.
    """
    kind, words = sniff(path)
    if kind not in ("nifti", "volume"):
        raise ScanError(words or "not a file of volumes")
    from medtl.scans.volume import volumes_of

    return volumes_of(path)


def _read(files: Sequence[Path], volume: int | None, on_gap: str) -> Scan:
    kind, words = sniff(files[0])
    if kind == "dicom":
        from medtl.scans.dicom import read_dicom

        return read_dicom(files, volume, cast("OnGap", on_gap))
    if kind == "other":
        raise ScanError(words)
    if kind == "archive":
        raise ScanError("a zip archive: index it, or name a file in it")
    if len(files) > 1:
        raise ScanError("a scan of several files must be a DICOM series: index pictures and volumes one by one")
    if kind == "arrays":
        from medtl.scans.arrays import read_array

        return read_array(files[0], volume)
    if kind == "picture":
        from medtl.scans.picture import read_picture

        return read_picture(files[0], volume)
    from medtl.scans.volume import read_volume

    return read_volume(files[0], volume)
