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
from medtl.scans.dicom_padding import Padding, mark_padding, padding_of, turned
from medtl.scans.dicom_pixels import photometric, real_values, rounding
from medtl.scans.dicom_place import Plane, planes_of, renumber
from medtl.scans.dicom_resample import resample
from medtl.scans.dicom_some import some_frames
from medtl.scans.dicom_stacks import OnGap, Stack, split_stacks
from medtl.scans.dicom_walk import DAMAGED
from medtl.scans.quiet import Together, without_warnings
from medtl.scans.scan import Scan

__all__ = ["CUT_OFF", "KINDS", "Header", "read_dicom", "read_header", "without_false_colour"]

MOST_THREADS = 8


def read_dicom(files: Sequence[str | Path], volume: int | None = None, on_gap: OnGap = "error") -> Scan:
    """Read one stack of a series: its files in any order, or the one file of a picture or a multi-frame object.

    Slices are sorted along their normal. Frames of a loop, which have no place, become slices as they come.

    The header's "padding" is the (lowest, highest) value of pixels that show nothing. Where slices have it at different
    values, or are resampled, all padding gets one value, below every other.

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
        pixels, header = _pixels(stack, paths, only)
        if volumes > 1:
            header["volumes"] = volumes
        if stack.notes:
            header["notes"] = stack.notes
        if stack.grid is not None:
            padding, _ = header.get("padding", (None, None))
            pixels = resample(pixels, stack.grid, padding)
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
    except (ScanError, MemoryError, ImportError):
        raise
    except FileNotFoundError as error:
        raise ScanError("the file is not there any more: index the folder again") from error
    except PermissionError as error:
        raise ScanError("the file may not be read: ask for permission to read it") from error
    except Exception as error:
        raise ScanError(DAMAGED) from error


def _planes(path: Path, elements: Elements) -> list[Plane]:
    kind = kind_of(elements)
    if kind != "image":
        raise ScanError(f"not an image ({kind})")
    if elements.pixels_at is None or not elements.get("Rows") or not elements.get("Columns"):
        read_header(path)  # which says what a file cut off lacks
        raise ScanError(CUT_OFF)
    return planes_of(elements, 0)


def _pixels(stack: Stack, paths: list[Path], only: Elements | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Pixels of the slices in order, MONOCHROME1 turned: here and nowhere else.

    Returns:
        float32 (slices, rows, columns[, 3]); the facts of the first file's header, and of all: "rounded", "padding".
    """
    wanted: dict[int, list[tuple[int, int]]] = {}
    for slice_, plane in enumerate(stack.planes):
        wanted.setdefault(plane.file, []).append((slice_, plane.frame))
    (file, slices), *rest = wanted.items()
    first = only or read_elements(paths[file], pixels=True)
    values, turn, padding = _decoded(paths[file], slices, first)
    turns, rounded, paddings = [turn], [0.0], dict(zip(slices, padding, strict=True))
    if not rest:
        pixels = np.ascontiguousarray(values)
    else:
        pixels = np.empty((len(stack.planes), *values.shape[1:]), np.float32)
        pixels[[slice_ for slice_, _ in slices]] = values
        del values
        with _threads(first, len(rest)) as in_turn:
            filled = in_turn(lambda item: _fill(pixels, paths[item[0]], item[1]), rest)
            for (_, slices), (turn, error, padding) in zip(rest, filled, strict=True):
                turns.append(turn)
                rounded.append(error)
                paddings.update(zip(slices, padding, strict=True))
    by_slice = [padding for _, padding in sorted(paddings.items())]
    about = None
    if None not in turns:
        about = max(turn for turn in turns if turn is not None)  # one for the series, where each file has its own slope
        np.subtract(np.float32(about), pixels, dtype=np.float32, out=pixels)
        by_slice = [turned(padding, about) for padding in by_slice]
    elif turns.count(None) < len(turns):
        raise ScanError("the series mixes MONOCHROME1 and MONOCHROME2: export it again")
    header = facts(first, about)
    if largest := max(*rounded, header.get("rounded", 0.0)):
        header["rounded"] = largest
    if one := _one_padding(pixels, by_slice, stack):
        header["padding"] = one
    return pixels if about is not None else without_false_colour(pixels), header


def _one_padding(pixels: np.ndarray, by_slice: list[Padding | None], stack: Stack) -> Padding | None:
    """The padding of all slices; set to one value where theirs are not the same, or to be resampled."""
    if (stack.grid is None and len(set(by_slice)) == 1) or set(by_slice) == {None}:
        return by_slice[0]
    return mark_padding(pixels, by_slice)


def _decoded(
    path: Path, slices: list[tuple[int, int]], elements: Elements, out: np.ndarray | None = None
) -> tuple[np.ndarray, float | None, list[Padding | None]]:
    """Some frames of a file, given as (slice, frame).

    Returns:
        the values of those frames, in `out` where they fit; about which value to turn them, or None; the padding of
        each.
    """
    frames = [frame for _, frame in slices]
    padding = padding_of(elements, frames)
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
    return values, turn if photometric(elements) == "MONOCHROME1" else None, padding


def _fill(
    pixels: np.ndarray, path: Path, slices: list[tuple[int, int]]
) -> tuple[float | None, float, list[Padding | None]]:
    """Put a file's frames where they belong: (slice, frame).

    Returns:
        about which value they are to be turned; by how much float32 changes a value of them, at most; the padding of
        each.
    """
    slice_ = slices[0][0]
    out = pixels[slice_ : slice_ + 1] if len(slices) == 1 else None
    elements = read_elements(path, pixels=True)
    values, turn, padding = _decoded(path, slices, elements, out)
    if values.shape[1:] != pixels.shape[1:]:
        raise ScanError("the series holds pictures of different sizes or kinds: index each by itself")
    if values is not out:
        pixels[[slice_ for slice_, _ in slices]] = values
    return turn, rounding(elements, path), padding


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
