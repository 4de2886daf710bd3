"""How a DICOM header says that the values of its pixels lie: size, bits, sign, colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medtl.errors import ScanError

GREY, PALETTE, YBR = ("MONOCHROME1", "MONOCHROME2"), "PALETTE COLOR", ("YBR_FULL", "YBR_FULL_422")
COLOUR = ("RGB", *YBR, "YBR_ICT", "YBR_RCT")
SMALL = 2**26  # values that any file may promise, whatever its own size: a blank picture shrinks without end
SHRINKS = 1000  # values a stored byte that a larger picture may promise
IMPOSSIBLE = "the header does not say rightly how the pixels are stored: the file is damaged, export it again"


@dataclass(frozen=True)
class PixelFormat:
    """How values lie, as the header has it.

    Attributes:
        frames, rows, columns: of the picture.
        samples: values a pixel, 1 or 3.
        allocated: bits from one value to the next (1, 8, 16, 32 or 64); 32 or 64 for floating point.
        stored: bits that carry the value; high_bit: the highest of them.
        signed: whether the highest is the sign.
        planar: whether all red comes before all green.
        photometric: how values become grey or colour, "MONOCHROME2" for one.
        keyword: the field that holds them.
    """

    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    planar: bool
    photometric: str
    keyword: str = "PixelData"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values: (frames, rows, columns), or (frames, rows, columns, 3)."""
        grid = (self.frames, self.rows, self.columns)
        return grid if self.samples == 1 else (*grid, self.samples)

    @property
    def size(self) -> int:
        """Values in all frames."""
        return self.frames * self.rows * self.columns * self.samples

    @property
    def real(self) -> bool:
        """Whether the values are stored in floating point."""
        return self.keyword != "PixelData"


def pixel_format_of(elements: Any) -> PixelFormat:
    """Read and check what a header says.

    Raises:
        ScanError: it says nothing, what cannot be, or names colours that are not read.
    """
    colour = photometric(elements)
    samples = whole(elements, "SamplesPerPixel", 1)
    if colour == "" and samples in (1, 3):
        colour = "MONOCHROME2" if samples == 1 else "RGB"
    if colour not in (*GREY, PALETTE, *COLOUR):
        raise ScanError(f"its colours are stored as {_words(colour)}, which is not read: export it as RGB")
    if samples != (3 if colour in COLOUR else 1):
        raise ScanError(IMPOSSIBLE)
    keyword = pixel_keyword(elements)
    allocated = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword) or whole(elements, "BitsAllocated", 0)
    if not allocated:
        raise ScanError("the header does not say how many bits its pixels have: it is cut off, copy or export it again")
    if allocated not in (1, 8, 16, 32, 64):
        raise ScanError(f"its pixels have {allocated} bits each, which is not read: export it with 8 or 16 bits")
    stored = whole(elements, "BitsStored", allocated) or allocated
    if not 1 <= stored <= allocated or (samples == 3 and allocated == 1):
        raise ScanError(IMPOSSIBLE)
    high_bit = whole(elements, "HighBit", stored - 1)
    form = PixelFormat(
        frames=max(1, whole(elements, "NumberOfFrames", 1)),
        rows=whole(elements, "Rows", 0),
        columns=whole(elements, "Columns", 0),
        samples=samples,
        allocated=allocated,
        stored=stored,
        high_bit=high_bit if stored - 1 <= high_bit < allocated else stored - 1,
        signed=whole(elements, "PixelRepresentation", 0) == 1,
        planar=samples == 3 and whole(elements, "PlanarConfiguration", 0) == 1,
        photometric=colour,
        keyword=keyword,
    )
    if form.rows < 1 or form.columns < 1:
        raise ScanError("the header promises a picture of no rows or no columns: the file is damaged, export it again")
    if form.rows > 65535 or form.columns > 65535:
        raise ScanError(IMPOSSIBLE)
    return form


def refuse_impossible(form: PixelFormat, held: int) -> None:
    """Raise ScanError where the header promises far more than `held` bytes can hold."""
    if form.frames > max(held, 1) * 8 or form.size > max(SMALL, SHRINKS * held):
        raise ScanError("the header promises far more pixels than the file can hold: it is damaged, export it again")


def photometric(elements: Any) -> str:
    """How the header says that values become grey or colour, such as "MONOCHROME2"."""
    return str(elements.get("PhotometricInterpretation") or "").strip(" \0").upper()


def bits(elements: Any) -> int:
    """Bits that carry the value: of a palette's colours, or as stored; 32 or 64 for floating point."""
    if photometric(elements) == PALETTE:
        descriptor = elements.get("RedPaletteColorLookupTableDescriptor")
        if descriptor is not None and len(descriptor) == 3:
            return int(descriptor[2])
    keyword = pixel_keyword(elements)
    if keyword != "PixelData":
        return 32 if keyword == "FloatPixelData" else 64
    return whole(elements, "BitsStored", 0) or whole(elements, "BitsAllocated", 0)


def pixel_keyword(elements: Any) -> str:
    """The field that holds the pixels."""
    at = elements.pixels_at
    return "PixelData" if at is None else str(at[2])


def whole(elements: Any, keyword: str, default: int) -> int:
    """A whole number of the header; the first of several.

    Raises:
        ScanError: what stands there is no number.
    """
    try:
        value = elements.get(keyword)
        if value is None or value == "":
            return default
        return int(value if isinstance(value, int | float | str) else value[0])
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise ScanError(f"{keyword} in the header is no number: the file is damaged, export it again") from error


def _words(colour: str) -> str:
    known = ("HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB")
    return colour if colour in known else "something unknown"
