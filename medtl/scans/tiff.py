"""TIFF pictures, decoded by tifffile, as scikit-image does; here their numbers get the meaning that the file states."""

from __future__ import annotations

import io
import logging
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image

from medtl.errors import ScanError

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # an oddity either matters, and is an error, or not

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
JPEGS = {6, 7, 33003, 33005, 33007, 34712}  # compressions that are decoded to RGB
UNCOMPRESSED = 1
ORIENTATION = 274
ALPHA = {1, 2}  # what ExtraSamples calls transparency; 0 is anything else
CHANNELS = "the TIFF file holds several channels or stacks: save each by itself"
DAMAGED = "the picture is cut off or damaged: copy or save it again"


def tiff_pixels(file: BinaryIO, most: int) -> tuple[np.ndarray, int]:
    """Read a TIFF or BigTIFF file, of any compression, tiled or not.

    Pages of one size are slices; thumbnails are left out. Where white is zero it is turned, palettes are looked up,
    transparency is dropped, and the picture is turned upright. Floating-point numbers are as they are.

    Args:
        file: of the picture.
        most: bytes to which what is packed in it may unpack.

    Returns:
        pixels (slices, rows, columns[, 3]) and their bits.

    Raises:
        ScanError: pages of several sizes, several channels that are no colours, colours for printing, or more pixels
            than may be.
    """
    _refuse_circle(file)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with tifffile.TiffFile(file) as opened:
        series = [one for one in opened.series if not one.keyframe.is_reduced] or list(opened.series)
        if len({(one.shape, one.dtype) for one in series}) != 1:
            raise ScanError("the TIFF file holds pictures of different sizes: save each by itself")
        page: Any = series[0].keyframe
        _refuse(page, series, size, most)
        stacks = [_in_order(one.asarray(maxworkers=1), one.axes) for one in series]
        pixels = stacks[0] if len(stacks) == 1 else np.concatenate(stacks)
        pixels, bits = _meant(pixels, page)
        turn = page.tags.get(ORIENTATION)
        return _upright(pixels, int(turn.value) if turn else 1), bits


def _refuse_circle(file: BinaryIO) -> None:
    """Follow the pages once around: tifffile would go on for ever where a page's next one is one before it."""
    start = file.read(16)
    order: Any = "little" if start[:1] == b"I" else "big"
    big = 43 in start[2:4]
    count_size, entry_size, offset_size = (8, 20, 8) if big else (2, 12, 4)
    offset = int.from_bytes(start[8:16] if big else start[4:8], order)
    seen = set()
    while offset:
        if offset in seen:
            raise ScanError(DAMAGED)
        seen.add(offset)
        file.seek(offset)
        count = file.read(count_size)
        file.seek(entry_size * int.from_bytes(count, order), io.SEEK_CUR)
        following = file.read(offset_size)
        offset = int.from_bytes(following, order) if len(following) == offset_size else 0


def _refuse(page: Any, series: list[Any], size: int, most: int) -> None:
    if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise ScanError("the picture is larger than 178 million pixels: save it smaller")
    promised = sum(int(one.size) for one in series) * int(page.bitspersample) // 8
    packed = page.compression != UNCOMPRESSED
    if promised > (most if packed else size):
        raise ScanError(DAMAGED)
    n_parts = int(np.prod(page.chunked, dtype=object))
    if packed and n_parts > len(page.dataoffsets):  # tifffile would look for each of millions
        raise ScanError(DAMAGED)
    decoded = page.photometric == YCBCR and page.compression in JPEGS
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE) and not decoded:
        raise ScanError("the TIFF file has colours for printing or measuring: save it in RGB or grey")
    colours = 3 if page.photometric in (RGB, YCBCR) else 1
    extra, means = int(page.samplesperpixel) - colours, set(page.extrasamples)
    if extra < 0:
        raise ScanError(DAMAGED)
    if extra > 1 or (extra and colours == 1 and not means & ALPHA):  # a fourth of a colour picture is no colour
        raise ScanError(CHANNELS)


def _in_order(values: np.ndarray, axes: str) -> np.ndarray:
    """(slices, rows, columns[, samples]), from the axes that tifffile names."""
    if "S" in axes:
        values = np.moveaxis(values, axes.index("S"), -1)
        axes = axes.replace("S", "") + "S"
    n_picture_axes = 3 if "S" in axes else 2
    before = axes[:-n_picture_axes]
    if axes[len(before) : len(before) + 2] != "YX":
        raise ScanError("the TIFF file has axes other than rows and columns: save it as pictures or NIfTI")
    several = [axis for axis, length in zip(before, values.shape, strict=False) if length > 1]
    if len(several) > 1 or several == ["C"]:
        raise ScanError(CHANNELS)
    return values.reshape(-1, *values.shape[len(before) :])


def _meant(values: np.ndarray, page: Any) -> tuple[np.ndarray, int]:
    """What the numbers stand for, and the bits of that."""
    bits = int(page.bitspersample)
    if values.dtype.kind == "c":
        raise ScanError("the file holds complex numbers: save the magnitude")
    if values.ndim == 4:
        values = values[..., :3] if page.photometric in (RGB, YCBCR) else values[..., 0]
    if page.photometric == PALETTE and page.colormap is not None:
        return np.moveaxis(np.asarray(page.colormap)[:, values] >> 8, 0, -1), 8
    if page.photometric == WHITE_IS_ZERO:
        if values.dtype.kind not in "bu":
            raise ScanError("the TIFF file calls its smallest number white, and has no largest: save it as PNG")
        values = ~values if values.dtype == bool else values.dtype.type(2**bits - 1) - values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255), 8
    return values, bits


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turned as TIFF's tag Orientation asks: which side of the picture the first row, and column, is."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(1, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    return pixels
