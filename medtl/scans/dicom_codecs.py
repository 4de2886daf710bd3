"""The compressed pixels of a DICOM file: which bytes are a frame, and the frame decoded.

All is decoded by imagecodecs (libjpeg-turbo, CharLS, OpenJPEG, PackBits). The decoders that pydicom can use were fed up
to 90,000 damaged pictures each, in child processes. GDCM, the only one for lossless
JPEG, aborted or broke down on 2, 9 and 16 of a hundred (lossless, 12 bits, baseline), and took all others for sound.
imagecodecs never did, nor did Pillow, pyjpegls and pylibjpeg-openjpeg, but imagecodecs alone reads every kind, and
lossless JPEG in a third of GDCM's time.
What is left to do here:

- a picture goes to its decoder only where its own header agrees with the DICOM header about size, channels and depth:
  else 60 bytes that promise 60,000 x 60,000 pixels cost gigabytes;
- a JPEG or JPEG-LS picture must have its end: else libjpeg fills up with grey, and CharLS seeks it for 5 s;
- RLE is taken apart here: imagecodecs.dicomrle_decode breaks down on 16 of a thousand damaged pictures.

JPEG 2000 is decoded in two threads, as 30,200 damaged pictures were (numthreads=2): none did harm.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from struct import unpack_from
from typing import Any

import numpy as np

from medtl.errors import ScanError
from medtl.scans.dicom_pixel_format import YBR, PixelFormat
from medtl.scans.dicom_walk import CUT_OFF

FRAMES = "the compressed pixels do not divide into the frames that the header promises: export the picture again"
OTHER_SIZE = "the picture has another size than its header says: the file is damaged, export it again"
ITEM = b"\xfe\xff\x00\xe0"
JPEG, JPEG_END, J2K = b"\xff\xd8\xff", b"\xff\xd9", b"\xff\x4f\xff\x51"
LOSSLESS, LS = 0xC3, 0xF7  # JPEG markers of a picture's size
SIZES = (0xC0, 0xC1, 0xC2, LOSSLESS, LS)
WORTH_TWO_THREADS = 2**16  # pixels of a JPEG 2000 picture, whose blocks are decoded each by itself
STANDALONE = (0x01, *range(0xD0, 0xD8))  # JPEG markers without a length

Decoder = Callable[[bytes, PixelFormat], tuple[np.ndarray, PixelFormat]]


def decoded(data: bytes, form: PixelFormat, syntax: str, offsets: Any = None) -> tuple[np.ndarray, PixelFormat]:
    """Decode encapsulated pixels.

    Args:
        data: the pixel data: a table of offsets, then the fragments.
        form: as the header has it.
        syntax: the transfer syntax UID.
        offsets: ExtendedOffsetTable of the header, where it has one.

    Returns:
        values: integers (frames, rows, columns[, 3]).
        form: how those values lie now: with the depth and sign as decoded, channels last, RGB where the decoder
            made it so.

    Raises:
        ScanError: the syntax is not read, or the pixels are cut off or damaged.
    """
    decode = DECODERS.get(syntax)
    if decode is None:
        raise ScanError(f"the picture is stored as {_name(syntax)}, which is not read: export it uncompressed")
    values, found, first = None, form, form
    for number, frame in enumerate(frames_of(data, form.frames, offsets)):
        try:
            picture, found = decode(frame, form)
        except (ScanError, MemoryError, ImportError):  # the last two are no fault of the file
            raise
        except Exception as error:
            raise ScanError(
                f"the pixels cannot be decoded ({_name(syntax)}): the file is cut off or damaged, export it again"
            ) from error
        if picture.shape != form.shape[1:]:
            raise ScanError(OTHER_SIZE)
        if form.frames == 1:
            return picture[None], found
        if values is None:
            values, first = np.empty(form.shape, picture.dtype), found
        if found != first or picture.dtype != values.dtype:
            raise ScanError("its frames are stored with different depths: export the picture again")
        values[number] = picture
    if values is None:
        raise ScanError(FRAMES)
    return values, found


def frames_of(data: bytes, count: int, offsets: Any = None) -> Iterator[bytes]:
    """The compressed frames, each of one or more fragments.

    Raises:
        ScanError: the fragments are cut off, or do not divide into `count` frames.
    """
    fragments = list(_fragments(data))
    if len(fragments) < 2:
        raise ScanError(CUT_OFF)
    (_, first, size), *fragments = fragments
    if len(fragments) == count:
        starts = list(range(count))
    elif count == 1:
        starts = _by_content(data, fragments) or [0]
    else:
        starts = _by_table(data, first, size, fragments, count, offsets) or _by_content(data, fragments)
    if len(starts) != count:
        raise ScanError(FRAMES)
    for begin, end in zip(starts, [*starts[1:], len(fragments)], strict=True):
        parts = fragments[begin:end]
        yield b"".join(data[at : at + length] for _, at, length in parts)


def _fragments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(where its item begins, where its bytes begin, how many) of each item, the table of offsets first."""
    at = 0
    while at + 8 <= len(data) and data[at : at + 4] == ITEM:
        (length,) = unpack_from("<I", data, at + 4)
        if at + 8 + length > len(data):
            raise ScanError(CUT_OFF)
        yield at, at + 8, length
        at += 8 + length
    if data[at : at + 4] == ITEM:
        raise ScanError(CUT_OFF)


def _by_table(
    data: bytes, first: int, size: int, fragments: list[tuple[int, int, int]], count: int, offsets: Any
) -> list[int]:
    """The fragments with which frames begin, as the table of offsets has them; [] where it has no sound ones."""
    if isinstance(offsets, list) and len(offsets) == count:
        table = offsets
    elif isinstance(offsets, bytes) and len(offsets) == 8 * count:
        table = list(unpack_from(f"<{count}Q", offsets))
    elif size == 4 * count:
        table = list(unpack_from(f"<{count}I", data, first))
    else:
        return []
    number_of = {item - first - size: number for number, (item, _, _) in enumerate(fragments)}
    starts = [number_of.get(offset, -1) for offset in table]
    sound = starts[0] == 0 and all(before < after for before, after in pairwise(starts))
    return starts if sound else []


def _by_content(data: bytes, fragments: list[tuple[int, int, int]]) -> list[int]:
    """The fragments with which pictures begin, by their first bytes."""
    return [number for number, (_, at, _) in enumerate(fragments) if data[at : at + 4].startswith((JPEG, J2K))]


# ---- one frame ---------------------------------------------------------------------------------------------------
def _rle(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    """RLE, PS3.5 annex G: a segment a byte of the value and channel."""
    import imagecodecs

    size = form.allocated // 8
    count, *starts = unpack_from("<16I", frame)
    starts = starts[:count]
    if form.allocated < 8 or count != form.samples * size or starts != sorted(starts) or starts[0] < 64:
        raise ScanError(OTHER_SIZE)
    if starts[-1] >= len(frame):
        raise ScanError(CUT_OFF)
    if form.rows * form.columns * count > 128 * len(frame):  # two bytes stand for 128 at most
        raise ScanError(CUT_OFF)
    planes = np.empty((form.samples, size, form.rows * form.columns), np.uint8)
    for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(frame)], strict=True)):
        plane = np.frombuffer(imagecodecs.packbits_decode(frame[begin:end]), np.uint8)
        if plane.size < planes.shape[2]:
            raise ScanError(CUT_OFF)
        planes[number // size, size - 1 - number % size] = plane[: planes.shape[2]]
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f"<u{size}")[..., 0]
    shaped = values.reshape(form.samples, form.rows, form.columns)
    return (shaped[0] if form.samples == 1 else np.moveaxis(shaped, 0, -1)), replace(form, planar=False)


def _jpeg(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    """JPEG of 8 and 12 bits, and lossless JPEG."""
    import imagecodecs

    kind, precision, ids, markers = _jpeg_header(frame, form)
    if kind == LS:
        raise ScanError(OTHER_SIZE)
    if form.samples == 1:
        return _whole(imagecodecs.jpeg8_decode(frame), form), replace(form, allocated=8 if precision <= 8 else 16)
    ybr = kind != LOSSLESS and _is_ybr(form, ids, markers)
    values = imagecodecs.jpeg8_decode(frame, colorspace="YCBCR" if ybr else "RGB", outcolorspace="RGB")
    made = replace(form, planar=False, allocated=8 if precision <= 8 else 16)
    return _whole(values, form), made if kind == LOSSLESS else replace(made, photometric="RGB")


def _jpeg_ls(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    import imagecodecs

    kind, precision, _, _ = _jpeg_header(frame, form)
    if kind != LS:
        raise ScanError(OTHER_SIZE)
    values = imagecodecs.jpegls_decode(frame)
    if form.samples == 3 and values.shape == (3, form.rows, form.columns):
        values = np.moveaxis(values, 0, -1)
    made = replace(form, planar=False, allocated=8 * values.itemsize, stored=precision, high_bit=precision - 1)
    return _whole(values, form), made


def _jpeg_2000(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    import imagecodecs

    frame = frame[max(0, frame.find(J2K, 0, 4096)) :]  # some writers put the boxes of a JP2 file before it
    precision = _check_jpeg_2000(frame, form)
    threads = 2 if form.rows * form.columns >= WORTH_TWO_THREADS else 1
    values = imagecodecs.jpeg2k_decode(frame, verbose=0, numthreads=threads)
    # the header's sign holds, also where the codestream has another
    made = replace(form, planar=False, allocated=8 * values.itemsize, stored=precision, high_bit=precision - 1)
    return _whole(values, form), replace(made, photometric="RGB") if form.photometric not in YBR else made


def _plain(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    """A frame that is not compressed, or only deflated, in a fragment of its own."""
    from medtl.scans.dicom_native import native

    one = replace(form, frames=1)
    values, made = native(frame, one, little=True)
    return values[0], replace(made, frames=form.frames)


def _deflated(frame: bytes, form: PixelFormat) -> tuple[np.ndarray, PixelFormat]:
    most = form.size // form.frames * max(1, form.allocated // 8) + 2
    return _plain(zlib.decompressobj(-15).decompress(frame, most), form)


def _whole(values: Any, form: PixelFormat) -> np.ndarray:
    if values.shape != form.shape[1:]:
        raise ScanError(OTHER_SIZE)
    return np.asarray(values)


# ---- a frame's own header ----------------------------------------------------------------------------------------
def _jpeg_header(frame: bytes, form: PixelFormat) -> tuple[int, int, bytes, dict[int, bytes]]:
    """Check the header of a JPEG or JPEG-LS picture against the DICOM header.

    Returns:
        the marker of its kind; bits a value; the names of its channels; its application markers.
    """
    markers: dict[int, bytes] = {}
    at = 2
    if not frame.startswith(JPEG[:2]):
        raise ScanError(OTHER_SIZE)
    if frame[-64:].rstrip(b"\0").rfind(JPEG_END) < 0:  # without it libjpeg fills up with grey, CharLS takes 5 s to fail
        raise ScanError(CUT_OFF)
    try:
        while True:
            if frame[at] != 0xFF:
                raise ScanError(CUT_OFF)
            marker = frame[at + 1]
            if marker == 0xFF or marker in STANDALONE:  # filling
                at += 1 if marker == 0xFF else 2
                continue
            (length,) = unpack_from(">H", frame, at + 2)
            if marker in SIZES:
                break
            if 0xC0 <= marker <= 0xDA and marker not in (0xC4, 0xC8, 0xCC):
                raise ScanError(OTHER_SIZE)  # arithmetic or hierarchical coding, or pixels before their size
            markers.setdefault(marker, frame[at + 4 : at + 2 + length])
            at += 2 + length
        precision, rows, columns, channels = unpack_from(">BHHB", frame, at + 4)
        ids = frame[at + 10 : at + 10 + 3 * channels : 3]
    except (IndexError, struct.error) as error:
        raise ScanError(CUT_OFF) from error
    if (rows, columns, channels) != (form.rows, form.columns, form.samples) or precision > form.allocated:
        raise ScanError(OTHER_SIZE)
    return marker, precision, ids, markers


def _is_ybr(form: PixelFormat, ids: bytes, markers: dict[int, bytes]) -> bool:
    """Whether a JPEG's channels are luminance and colour: by its own account, or else the DICOM header's."""
    adobe = markers.get(0xEE, b"")
    if adobe.startswith(b"Adobe") and len(adobe) >= 12:
        return adobe[11] == 1
    if ids in (b"RGB", b"rgb"):
        return False
    return markers.get(0xE0, b"").startswith(b"JFIF") or form.photometric != "RGB"


def _check_jpeg_2000(frame: bytes, form: PixelFormat) -> int:
    """Check the header of a JPEG 2000 picture against the DICOM header; bits a value."""
    try:
        _, _, right, bottom, left, top, width, height, tile_left, tile_top, channels = unpack_from(
            ">HHIIIIIIIIH", frame, 4
        )
        components = [frame[42 + 3 * number : 45 + 3 * number] for number in range(channels)]
        depths = {(depth & 0x7F) + 1 for depth, _, _ in components}
        steps = {(across, down) for _, across, down in components}
    except (struct.error, ValueError) as error:
        raise ScanError(CUT_OFF) from error
    if not frame.startswith(J2K) or (bottom - top, right - left, channels) != (*form.shape[1:3], form.samples):
        raise ScanError(OTHER_SIZE)
    if tile_left > left or tile_top > top or not width or not height:
        raise ScanError(OTHER_SIZE)
    tiles = -(-(right - tile_left) // width) * -(-(bottom - tile_top) // height)
    if len(depths) != 1 or steps != {(1, 1)} or max(depths) > form.allocated or max(depths) > 32:
        raise ScanError(OTHER_SIZE)
    if tiles > max(16, form.rows * form.columns // 1024):  # each costs memory, however small it is
        raise ScanError(OTHER_SIZE)
    return depths.pop()


def _name(syntax: str) -> str:
    import pydicom

    name = pydicom.uid.UID(syntax).name
    return "an unknown transfer syntax" if name == syntax else str(name)


_COMPRESSED = "1.2.840.10008.1.2.4."
#: Transfer syntax -> what decodes a frame of it.
DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2.1.98": _plain,
    "1.2.840.10008.1.2.8.1": _deflated,
    **{_COMPRESSED + number: _jpeg for number in ("50", "51", "57", "70")},
    **{_COMPRESSED + number: _jpeg_ls for number in ("80", "81")},
    **{_COMPRESSED + number: _jpeg_2000 for number in ("90", "91", "201", "202", "203")},
}
