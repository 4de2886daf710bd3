"""One DICOM series as a `Scan`: its stack of slices chosen, decoded and put where it lies in the patient.

Headers are read by `dicom_header`, places by `dicom_place` and `dicom_stacks`, pixels by `dicom_pixels`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import config as pydicom_config

from medtl.errors import ScanError
from medtl.scans.dicom_facts import facts
from medtl.scans.dicom_header import CUT_OFF, KINDS, Elements, Header, kind_of, read_elements, read_header
from medtl.scans.dicom_mosaic import is_mosaic, mosaic_slices
from medtl.scans.dicom_pixels import photometric, real_values, rounding
from medtl.scans.dicom_place import Plane, planes_of, renumber
from medtl.scans.dicom_resample import resample
from medtl.scans.dicom_some import some_frames
from medtl.scans.dicom_stacks import OnGap, Stack, split_stacks
from medtl.scans.quiet import Together, without_warnings
from medtl.scans.scan import Scan

__all__ = ["CUT_OFF", "KINDS", "Header", "read_dicom", "read_header", "without_false_colour"]

MOST_THREADS = 8


def read_dicom(files: Sequence[str | Path], volume: int | None = None, on_gap: OnGap = "error") -> Scan:
    """Read one stack of a series: its files in any order, or the one file of a picture or a multi-frame object.

    Slices are sorted along their normal. Frames of a loop, which have no place, become slices as they come.

    Args:
        files: of one series.
        volume: which of the series' stacks, as `split_stacks` numbers them. None: the only one, or the first of
            several at the same place (echoes, time points ...); the header fact "volumes" says how many there are.
        on_gap: what is done about missing, duplicate, unevenly spaced or askew slices: "error" refuses, "resample"
            interpolates onto even spacing and straightens, "keep" takes them as they are (without an affine, where
            no even one is true).

    Raises:
        ScanError: a file is not an image, is cut off or damaged, or the files do not make one stack.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ScanError("the series has no files")
    with without_warnings, _unchecked, _in_plain_words():
        only = read_elements(paths[0], pixels=True) if len(paths) == 1 else None  # of one file, read at once
        planes = [_planes(path, only or read_elements(path)) for path in paths]
        stacks = split_stacks(renumber(planes), on_gap)
        stack, volumes = _chosen(stacks, volume)
        if stack.problem:
            raise ScanError(stack.problem)
        pixels, turn, first, rounded = _pixels(stack, paths, only)
        header = facts(first, turn)
        if rounded:
            header["rounded"] = max(rounded, header.get("rounded", 0.0))
        if volumes > 1:
            header["volumes"] = volumes
        if stack.notes:
            header["notes"] = stack.notes
        if stack.grid is not None:
            pixels = resample(pixels, stack.grid)
        return Scan(pixels, stack.affine, stack.planes[0].modality, stack.spacing, header)


def _chosen(stacks: list[Stack], volume: int | None) -> tuple[Stack, int]:
    """The stack that is asked for, and how many lie at its place."""
    if volume is not None:
        if not 0 <= volume < len(stacks):
            raise ScanError(f"the series has no volume {volume}: it has {len(stacks)}, counted from 0")
        return stacks[volume], sum(stack.place == stacks[volume].place for stack in stacks)
    if len({stack.place for stack in stacks}) > 1:
        names = "; ".join(stack.name for stack in stacks[:6]) + (" ..." if len(stacks) > 6 else "")
        raise ScanError(
            f"the series holds {len(stacks)} stacks ({names}): say which (volume 0 to {len(stacks) - 1}), or index "
            "the folder, which gives each its own row"
        )
    return stacks[0], len(stacks)


@contextmanager
def _no_validation() -> Iterator[None]:
    before = pydicom_config.settings.reading_validation_mode
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    try:
        yield
    finally:
        pydicom_config.settings.reading_validation_mode = before


_unchecked = Together(_no_validation)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Whatever a damaged file makes a library raise is a fault of the file, said in one sentence."""
    try:
        yield
    except (ScanError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ScanError("the file is not there any more: index the folder again") from error
    except PermissionError as error:
        raise ScanError("the file may not be read: ask for permission to read it") from error
    except Exception as error:
        raise ScanError("the DICOM file is cut off or damaged: copy or export it again") from error


def _planes(path: Path, elements: Elements) -> list[Plane]:
    kind = kind_of(elements)
    if kind != "image":
        raise ScanError(f"not an image ({kind})")
    if elements.pixels_at is None or not elements.get("Rows") or not elements.get("Columns"):
        read_header(path)  # which says what a file cut off lacks
        raise ScanError(CUT_OFF)
    return planes_of(elements, 0)


def _pixels(stack: Stack, paths: list[Path], only: Elements | None) -> tuple[np.ndarray, float | None, Any, float]:
    """Pixels of the slices in order, MONOCHROME1 turned: here and nowhere else.

    Returns:
        float32 (slices, rows, columns[, 3]); the value about which it was turned, or None; the first file's header; by
        how much float32 changes a value of the other files, at most.
    """
    wanted: dict[int, list[tuple[int, int]]] = {}
    for slice_, plane in enumerate(stack.planes):
        wanted.setdefault(plane.file, []).append((slice_, plane.frame))
    (file, slices), *rest = wanted.items()
    first, values, turn = _decoded(paths[file], slices, only or read_elements(paths[file], pixels=True))
    turns, rounded = [turn], [0.0]
    if not rest:
        pixels = np.ascontiguousarray(values)
    else:
        pixels = np.empty((len(stack.planes), *values.shape[1:]), np.float32)
        pixels[[slice_ for slice_, _ in slices]] = values
        del values
        with _threads(first, len(rest)) as in_turn:
            for turn, error in in_turn(lambda item: _fill(pixels, paths[item[0]], item[1]), rest):
                turns.append(turn)
                rounded.append(error)
    if None in turns:
        if turns.count(None) < len(turns):
            raise ScanError("the series mixes MONOCHROME1 and MONOCHROME2: export it again")
        return without_false_colour(pixels), None, first, max(rounded)
    about = max(turn for turn in turns if turn is not None)  # one for the series, where each file has its own slope
    return np.subtract(np.float32(about), pixels, dtype=np.float32, out=pixels), about, first, max(rounded)


def _decoded(
    path: Path, slices: list[tuple[int, int]], elements: Elements, out: np.ndarray | None = None
) -> tuple[Elements, np.ndarray, float | None]:
    """Some frames of a file, given as (slice, frame).

    Returns:
        its header; the values of those frames, in `out` where they fit; about which value to turn them, or None.
    """
    frames = [frame for _, frame in slices]
    if is_mosaic(elements):
        values, turn = real_values(elements, path)
        values = mosaic_slices(elements, values)
    else:
        some = some_frames(elements, frames)
        values, turn = real_values(some, path, out)
        if some is not elements:
            frames = list(range(len(values)))
    if frames != list(range(len(values))):
        values = values[frames]
    return elements, values, turn if photometric(elements) == "MONOCHROME1" else None


def _fill(pixels: np.ndarray, path: Path, slices: list[tuple[int, int]]) -> tuple[float | None, float]:
    """Put a file's frames where they belong: (slice, frame).

    Returns:
        about which value they are to be turned; by how much float32 changes a value of them, at most.
    """
    slice_ = slices[0][0]
    out = pixels[slice_ : slice_ + 1] if len(slices) == 1 else None
    elements, values, turn = _decoded(path, slices, read_elements(path, pixels=True), out)
    if values.shape[1:] != pixels.shape[1:]:
        raise ScanError("the series holds pictures of different sizes or kinds: index each by itself")
    if values is not out:
        pixels[[slice_ for slice_, _ in slices]] = values
    return turn, rounding(elements, path)


@contextmanager
def _threads(elements: Elements, count: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over `count` files: in threads where they are compressed, for decoders let other threads run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2 or cores < 2 or not elements.transfer_syntax.is_encapsulated:
        yield map
        return
    with ThreadPoolExecutor(min(cores, MOST_THREADS)) as pool:
        yield pool.map


def without_false_colour(pixels: np.ndarray) -> np.ndarray:
    """A grey picture stored as three equal channels is a grey picture: (..., 3) becomes (...)."""
    if pixels.ndim == 4 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels
