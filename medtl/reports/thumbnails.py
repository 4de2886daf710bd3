"""One small picture of a scan, as a person would first look at it."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from medtl.intensity.geometry import orient
from medtl.scans.scan import Scan

SIDE = 96
PERCENTILES = (1.0, 99.0)


def thumbnail(scan: Scan, side: int = SIDE) -> np.ndarray:
    """The middle slice, upright, its longer side `side` pixels: uint8 (rows, columns) or (rows, columns, 3).

    Shown through the header's own window where it has one, else from the lowest to the highest value of 8-bit
    pictures, else between the slice's 1st and 99th percentile, padding left out. Pixels that are not square become so.
    """
    if scan.affine is not None and len(scan.pixels) > 1:
        scan = orient(scan)
    picture = np.asarray(scan.pixels[len(scan.pixels) // 2], np.float32)
    low, high = _window(scan, picture)
    grey = (np.clip((np.nan_to_num(picture, nan=low) - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    rows, columns = grey.shape[:2]
    between_rows, between_columns = scan.spacing[1:]
    if between_rows > 0 and between_columns > 0:
        height, width = rows * between_rows, columns * between_columns
    else:
        height, width = float(rows), float(columns)
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def _window(scan: Scan, picture: np.ndarray) -> tuple[float, float]:
    centre, width = (scan.header.get(fact) for fact in ("window_center", "window_width"))
    if centre is not None and width:
        return float(centre) - float(width) / 2, float(centre) + float(width) / 2
    values = picture[np.isfinite(picture)]
    if scan.header.get("bits") == 8 and values.size and values.min() >= 0 and values.max() <= 255:
        return 0.0, 255.0
    if padding := scan.header.get("padding"):
        shown = values[(values < padding[0]) | (values > padding[1])]
        values = shown if shown.size else values
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def as_jpeg(picture: np.ndarray, quality: int = 78) -> str:
    """uint8 pixels as a JPEG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
