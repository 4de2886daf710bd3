"""PNG, JPEG, BMP and TIFF pictures.

scikit-image reads pictures through Pillow and tifffile, and so does this module, without scikit-image between, which
hands on neither the turn that a camera noted nor what a TIFF file says its numbers mean:

    ============================  ==============  ====================================================================
    PNG, JPEG, BMP                Pillow          as skimage.io.imread, then turned upright by EXIF, palettes looked up
    PNG, 16 bits in colour        imagecodecs     Pillow would cut it to 8 bits
    TIFF                          tifffile        as skimage.io.imread, and then what `tiff.py` says
    ============================  ==============  ====================================================================
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from medtl.errors import ScanError
from medtl.scans.quiet import without_warnings
from medtl.scans.scan import Scan, finite_float32
from medtl.scans.sniff import PNG, TIFF, is_picture
from medtl.scans.source import most_unpacked, open_scan, size_on_disk

GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
TOO_LARGE = "the picture is larger than 178 million pixels: save it smaller"


def read_picture(path: str | Path, volume: int | None = None) -> Scan:
    """Read one picture, by content: turned upright (EXIF), palettes looked up, transparency dropped.

    A picture has no place in the patient: affine None, spacing nan. Values are as stored, 0 to 255 or 0 to 65535
    (header fact "bits"); black and white is 0 and 255. Three equal channels are one: the picture is grey. The pages of
    a TIFF file are slices.

    Args:
        path: of the picture.
        volume: 0 or None: there is one.

    Raises:
        ScanError: it is none of these, or cut off or damaged.
    """
    if volume:
        raise ScanError(f"the picture has no volume {volume}: there is one, number 0")
    try:
        with without_warnings, open_scan(path) as file:
            start = file.read(26)
            file.seek(0)
            if not is_picture(start):
                raise ScanError("not a PNG, JPEG, TIFF or BMP picture")
            pixels, bits = _pixels(file, start, path)
    except (ScanError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ScanError(TOO_LARGE) from error
    except Exception as error:
        raise ScanError("the picture is cut off or damaged: copy or save it again") from error
    if pixels.ndim == 4 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        pixels = pixels[..., 0]
    floats, error_of_rounding = finite_float32(pixels)
    facts: dict[str, Any] = {
        "manufacturer": "",
        "model": "",
        "photometric": "RGB" if pixels.ndim == 4 else "MONOCHROME2",
        "bits": bits,
    }
    if error_of_rounding:
        facts["rounded"] = error_of_rounding
    return Scan(floats, None, "", (float("nan"),) * 3, facts)


def _pixels(file: BinaryIO, start: bytes, path: str | Path) -> tuple[np.ndarray, int]:
    """Pixels (slices, rows, columns[, 3]) and bits."""
    if start.startswith(TIFF):
        from medtl.scans.tiff import tiff_pixels  # slow to import

        return tiff_pixels(file, most_unpacked(size_on_disk(path)))
    pixels, bits = _read_png_deep(file) if _is_deep_colour(start) else _read(file)
    return pixels[None], bits


def _read(file: BinaryIO) -> tuple[np.ndarray, int]:
    """Pixels (rows, columns[, 3]) and bits."""
    file = io.BytesIO(file.read())  # a length that lies, 4 GB, is then not reserved
    with Image.open(file, formats=("PNG", "JPEG", "BMP")) as image:
        upright: Image.Image = ImageOps.exif_transpose(image)
        if upright.mode not in GREY:
            return np.asarray(upright.convert("RGB")), 8
        if upright.mode in ("1", "LA"):
            upright = upright.convert("L")
        deep = upright.mode != "L"
        return np.asarray(upright), 16 if deep else 8


def _is_deep_colour(start: bytes) -> bool:
    """Whether a PNG has 16 bits and more than one channel."""
    return start.startswith(PNG) and len(start) == 26 and start[24] == 16 and start[25] in (2, 4, 6)


def _read_png_deep(file: BinaryIO) -> tuple[np.ndarray, int]:
    import imagecodecs  # slow to import, and hardly ever needed

    content = file.read()
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as image:
        image.verify()
    values = imagecodecs.png_decode(content)
    return (values[..., 0] if values.shape[-1] == 2 else values[..., :3]), 16
