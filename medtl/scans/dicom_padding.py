"""Pixels that show nothing, such as those around the round field of a CT: which values they have, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.dicom_pixel_format import GREY, photometric, pixel_keyword, whole
from medtl.scans.dicom_pixels import slope_of
from medtl.scans.dicom_tables import look_up, table_of

#: The lowest and the highest value of pixels that show nothing.
Padding = tuple[float, float]


def padding_of(elements: Any, frames: Sequence[int]) -> list[Padding | None]:
    """PixelPaddingValue up to PixelPaddingRangeLimit, as the values of some frames of a file have them.

    Args:
        elements: the header of a file.
        frames: which, counted from 0.

    Returns:
        for each of them the padding after the modality LUT or its own rescale, before MONOCHROME1 is turned; None where
        the header says of none, or not rightly.
    """
    if elements.get("PixelPaddingValue") is None:
        return [None] * len(frames)
    with suppress(ScanError, TypeError, ValueError, IndexError):
        if photometric(elements) not in (*GREY, "") or whole(elements, "SamplesPerPixel", 1) != 1:
            return [None] * len(frames)
        if pixel_keyword(elements) == "PixelData":
            return _of_frames(elements, frames)
    return [None] * len(frames)


def turned(padding: Padding | None, about: float) -> Padding | None:
    """The padding of pixels that were turned, `about - value`: to the last bit as float32 turns them."""
    if padding is None:
        return None
    low, high = padding
    return float(np.float32(about) - np.float32(high)), float(np.float32(about) - np.float32(low))


def mark_padding(pixels: np.ndarray, by_slice: Sequence[Padding | None]) -> Padding | None:
    """Give all padding one value, below every other: that of one slice's padding may be tissue in the next.

    Args:
        pixels: float32 (slices, rows, columns), changed in place.
        by_slice: the padding of each slice.

    Returns:
        that value, twice; None where no pixel is padding.
    """
    empty = np.zeros(pixels.shape, bool)
    lowest = np.float32(np.inf)
    for own, values, padding in zip(empty, pixels, by_slice, strict=True):
        if padding is not None:
            low, high = padding
            np.logical_and(values >= np.float32(low), values <= np.float32(high), out=own)
            lowest = min(lowest, values.min(where=own, initial=np.inf))
            values[own] = np.inf
    if lowest == np.inf:
        return None
    shown = pixels.min()
    if lowest >= shown:
        lowest = min(shown - np.float32(1), np.nextafter(shown, np.float32(-np.inf)))
    pixels[empty] = lowest
    return float(lowest), float(lowest)


def _of_frames(elements: Any, frames: Sequence[int]) -> list[Padding | None]:
    stored = whole(elements, "PixelPaddingValue", 0)
    signed = whole(elements, "PixelRepresentation", 0) == 1
    ends = [_as_stored(value, signed) for value in (stored, whole(elements, "PixelPaddingRangeLimit", stored))]
    if modality := elements.get("ModalityLUTSequence"):
        first, table = table_of(modality[0])
        return [_in_order(look_up(np.array(ends), first, table).tolist())] * len(frames)
    if not elements.get("PerFrameFunctionalGroupsSequence"):
        return [_rescaled(ends, *slope_of(elements))] * len(frames)
    return [_rescaled(ends, *slope_of(elements, frame)) for frame in frames]


def _rescaled(ends: list[float], slope: float, intercept: float) -> Padding:
    return _in_order([value * slope + intercept for value in ends])


def _in_order(ends: list[float]) -> Padding:
    return float(min(ends)), float(max(ends))


def _as_stored(value: int, signed: bool) -> float:
    """The value with the sign of the pixels, where a writer got its VR wrong."""
    if signed and 2**15 <= value < 2**16:
        return float(value - 2**16)
    return float(value + 2**16 if not signed and -(2**15) <= value < 0 else value)
