"""PNG and JPEG pictures, read by Pillow; PNG with 16 bits and colour, which Pillow would cut to 8, by SimpleITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from medtl.errors import ScanError
from medtl.scans.quiet import without_warnings
from medtl.scans.scan import Scan
from medtl.scans.sniff import PNG, is_picture

GREY = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def read_picture(path: str | Path) -> Scan:
    """Read one PNG or JPEG, by content: turned upright (EXIF), palettes looked up, transparency dropped.

    A picture has no place in the patient: affine None, spacing nan. Values are as stored, 0 to 255 or 0 to 65535
    (header fact "bits"); black and white is 0 and 255. Three equal channels are one: the picture is grey.

    Raises:
        ScanError: it is neither, or cut off or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(26)
        if not is_picture(start):
            raise ScanError("not a PNG or JPEG picture")
        with without_warnings:
            pixels, bits = _read_png_deep(path) if _is_deep_colour(start) else _read(path)
    except (ScanError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ScanError("the picture is larger than 178 million pixels: save it smaller") from error
    except Exception as error:
        raise ScanError("the picture is cut off or damaged: copy or save it again") from error
    if pixels.ndim == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        pixels = pixels[..., 0]
    facts: dict[str, Any] = {
        "manufacturer": "",
        "model": "",
        "photometric": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
        "bits": bits,
    }
    return Scan(np.ascontiguousarray(pixels[None], dtype=np.float32), None, "", (float("nan"),) * 3, facts)


def _read(path: Path) -> tuple[np.ndarray, int]:
    """Pixels (rows, columns[, 3]) and bits."""
    with Image.open(path, formats=("PNG", "JPEG")) as image:
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


def _read_png_deep(path: Path) -> tuple[np.ndarray, int]:
    import SimpleITK as sitk  # noqa: N813  (slow to import, and hardly ever needed)

    with Image.open(path, formats=("PNG",)) as image:
        image.verify()  # libpng would print its complaint
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("PNGImageIO")
    values = sitk.GetArrayFromImage(reader.Execute())
    return (values[..., 0] if values.shape[-1] == 2 else values[..., :3]), 16
