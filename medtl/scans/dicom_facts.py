"""The facts of a DICOM header that later steps need: no identifier, no free text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from medtl.errors import ScanError
from medtl.scans.dicom_pixel_format import bits, photometric, whole
from medtl.scans.dicom_pixels import rounding
from medtl.scans.dicom_suv import suv_facts
from medtl.scans.dicom_tables import table_of

TWO_D, TISSUE = 1, 1  # RegionSpatialFormat and RegionDataType, PS3.3 C.8.5.5.1


def facts(elements: Any, turn: float | None) -> dict[str, Any]:
    """What the header says of the pixels, in their real units.

    Args:
        elements: the header of a file, with its pixels where whole numbers of over 24 bits may lie in it.
        turn: the value about which MONOCHROME1 was turned (`turn - value`), or None.

    Returns:
        Always: "manufacturer", "model", "photometric", "bits". Where the header knows: "burned_in" (bool);
        "window_center" and "window_width", the first window, and "windows", all as (centre, width);
        "window_function" ("SIGMOID", "LINEAR_EXACT") where it is not the usual one;
        "voi_lut": (first value that it maps, its entries), to be shown in place of a window;
        "regions": where an ultrasound machine put its pictures, (top, left, bottom, right), the last two excluded;
        "suv": of PET, the SUV by body weight in g/ml that one unit of pixel is worth, or "suv_missing": what of the
        header that takes (see `suv_facts`);
        "rounded": by how much float32 changes a value, at most, where whole numbers are too large for it.
    """
    found: dict[str, Any] = {
        "manufacturer": _text(elements, "Manufacturer"),
        "model": _text(elements, "ManufacturerModelName"),
        "photometric": photometric(elements),
        "bits": bits(elements),
    }
    burned_in = {"YES": True, "NO": False}.get(_text(elements, "BurnedInAnnotation").upper())
    if burned_in is not None:
        found["burned_in"] = burned_in
    windows = _windows(elements, turn)
    if windows:
        found["window_center"], found["window_width"] = windows[0]
        found["windows"] = windows
        function = _text(elements, "VOILUTFunction").upper()
        if function in ("SIGMOID", "LINEAR_EXACT"):
            found["window_function"] = function
    # what is damaged, or not a number, is a fact that the file does not know
    with suppress(ScanError, TypeError, ValueError, IndexError):
        if (table := _voi_table(elements, turn)) is not None:
            found["voi_lut"] = table
    if regions := _regions(elements):
        found["regions"] = regions
    if _text(elements, "Modality").upper() == "PT":
        found.update(suv_facts(elements, turned=turn is not None))
    with suppress(ScanError):
        if error := rounding(elements):
            found["rounded"] = error
    return found


def _windows(elements: Any, turn: float | None) -> list[tuple[float, float]]:
    centres, widths = (_numbers(elements, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    return [
        (centre if turn is None else turn - centre, width)
        for centre, width in zip(centres, widths, strict=False)
        if math.isfinite(centre) and math.isfinite(width) and width > 0
    ]


def _voi_table(elements: Any, turn: float | None) -> tuple[float, tuple[int, ...]] | None:
    items = elements.get("VOILUTSequence")
    if not items:
        return None
    first, table = table_of(items[0])
    if turn is None:
        return float(first), tuple(table.tolist())
    # of a picture turned, the table is turned both ways: what was high is low, and what was dark is bright
    depth = int(items[0].get("LUTDescriptor")[2])
    return turn - (first + len(table) - 1), tuple((2**depth - 1 - table[::-1].astype(int)).tolist())


def _regions(elements: Any) -> list[tuple[int, int, int, int]]:
    """The regions that show tissue in two dimensions, or all where none says so."""
    chosen = list(_boxes(elements, only_tissue=True)) or list(_boxes(elements, only_tissue=False))
    return sorted(set(chosen))


def _boxes(elements: Any, only_tissue: bool) -> Iterator[tuple[int, int, int, int]]:
    for item in elements.get("SequenceOfUltrasoundRegions") or []:
        with suppress(ScanError):
            if only_tissue and (
                whole(item, "RegionSpatialFormat", 0) != TWO_D or whole(item, "RegionDataType", 0) != TISSUE
            ):
                continue
            top, left = (max(0, whole(item, f"RegionLocationMin{axis}0", -1)) for axis in "YX")
            bottom = min(whole(elements, "Rows", 0), whole(item, "RegionLocationMaxY1", -1) + 1)
            right = min(whole(elements, "Columns", 0), whole(item, "RegionLocationMaxX1", -1) + 1)
            if top < bottom and left < right:
                yield top, left, bottom, right


def _numbers(elements: Any, keyword: str) -> list[float]:
    try:
        value = elements.get(keyword)
        several = value if isinstance(value, list) else [value]
        return [float(number) for number in several]
    except (TypeError, ValueError):
        return []


def _text(elements: Any, keyword: str) -> str:
    value = elements.get(keyword)
    value = next(iter(value), "") if isinstance(value, list) else value
    return value if isinstance(value, str) else ""
