"""What one scan was like as it was read, in a few numbers, and those of many scans as a small table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medtl.intensity.geometry import orient
from medtl.scans.scan import Scan, share_in_colour

#: What `Print.numbers` holds, in order: percentiles 1, 50 and 99 of the pixels that show something, in their own unit,
#: those of PET in g/ml (SUV) where the header tells; mm; counts; the share of pixels in colour.
NUMBERS = (
    "low",
    "middle",
    "high",
    "spacing of slices",
    "spacing of rows",
    "spacing of columns",
    "slices",
    "rows",
    "columns",
    "colour",
)

#: So many of a scan's values are looked at, evenly: percentiles of 16,384 are right to a rank of 0.1 %.
_SAMPLED = 2**14


@dataclass(frozen=True)
class Print:
    """What one scan was like as it was read.

    Attributes:
        numbers: float, one for each of `NUMBERS`, nan where the file does not know.
        modality: the DICOM code, "" where the file does not know.
        manufacturer: of the machine, "" where the file does not know.
    """

    numbers: tuple[float, ...]
    modality: str = ""
    manufacturer: str = ""

    def number(self, name: str) -> float:
        """One of `numbers` by its name in `NUMBERS`."""
        return self.numbers[NUMBERS.index(name)]


@dataclass(frozen=True)
class Prints:
    """The prints of N scans in about 50 bytes each.

    Attributes:
        numbers: float32 (N, len(NUMBERS)), nan where unknown.
        modality: int32 (N,), a place in `modalities`.
        manufacturer: int32 (N,), a place in `manufacturers`.
        modalities: the different ones.
        manufacturers: the different ones.
    """

    numbers: np.ndarray
    modality: np.ndarray
    manufacturer: np.ndarray
    modalities: tuple[str, ...]
    manufacturers: tuple[str, ...]

    @classmethod
    def of(cls, prints: Iterable[Print]) -> Prints:
        """The prints in their order; they may come one by one."""
        modalities: dict[str, int] = {}
        manufacturers: dict[str, int] = {}
        numbers, modality, manufacturer = [], [], []
        for each in prints:
            numbers.append(np.array(each.numbers, dtype=np.float32))
            modality.append(modalities.setdefault(each.modality, len(modalities)))
            manufacturer.append(manufacturers.setdefault(each.manufacturer, len(manufacturers)))
        return cls(
            np.array(numbers, dtype=np.float32).reshape(-1, len(NUMBERS)),
            np.array(modality, dtype=np.int32),
            np.array(manufacturer, dtype=np.int32),
            tuple(modalities),
            tuple(manufacturers),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Print:
        """The print of scan `i`, its numbers to float32's precision."""
        return Print(
            tuple(self.numbers[i].tolist()),
            self.modalities[self.modality[i]],
            self.manufacturers[self.manufacturer[i]],
        )

    def __iter__(self) -> Iterator[Print]:
        return (self[i] for i in range(len(self)))

    def select(self, chosen: np.ndarray) -> Prints:
        """Those where a boolean (N,) is true, or those at whole-numbered places (M,), in that order."""
        return Prints(
            self.numbers[chosen],
            self.modality[chosen],
            self.manufacturer[chosen],
            self.modalities,
            self.manufacturers,
        )

    @staticmethod
    def concat(several: Sequence[Prints]) -> Prints:
        """One after the other."""
        modality, modalities = _joined([(each.modality, each.modalities) for each in several])
        manufacturer, manufacturers = _joined([(each.manufacturer, each.manufacturers) for each in several])
        empty = np.empty((0, len(NUMBERS)), dtype=np.float32)
        numbers = np.concatenate([empty, *(each.numbers for each in several)])
        return Prints(numbers, modality, manufacturer, modalities, manufacturers)


def print_of(scan: Scan) -> Print:
    """The scan's print, before any recipe.

    Args:
        scan: as `medtl.read` gives it. Its values are taken as they are; those of its padding (the header's "padding")
            and what is not finite do not count. A volume's axes are taken as `orient` turns them. PET in Bq/ml counts
            as SUV, by the header's "suv": doses differ.
    """
    values = _sample(scan.pixels)
    if padding := scan.header.get("padding"):
        low, high = padding
        values = values[(values < np.float32(low)) | (values > np.float32(high))]
    percentiles = [value * float(scan.header.get("suv") or 1.0) for value in _percentiles(values)]
    volume = len(scan.pixels) > 1
    placed = orient(scan) if volume else scan  # a view: files store the axes of one and the same volume in any order
    spacing = [float(mm) if mm > 0 else math.nan for mm in placed.spacing]
    if not volume:
        spacing[0] = math.nan
    return Print(
        (*percentiles, *spacing, *map(float, placed.pixels.shape[:3]), _share_in_colour(scan)),
        scan.modality,
        str(scan.header.get("manufacturer") or "").strip(),
    )


def in_words(number: float) -> str:
    """Three digits that count, whole numbers whole: 1,024, 0.8, 12.5."""
    if number == round(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def to_json(print_: Print) -> str:
    """One line of JSON; what is unknown is null."""
    numbers = [number if math.isfinite(number) else None for number in print_.numbers]
    return json.dumps({"numbers": numbers, "modality": print_.modality, "manufacturer": print_.manufacturer})


def from_json(text: str) -> Print:
    """The print that `to_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        saved = json.loads(text)
        numbers = tuple(math.nan if number is None else float(number) for number in saved["numbers"])
        modality, manufacturer = saved["modality"], saved["manufacturer"]
    except (KeyError, TypeError) as error:
        raise ValueError("not the print of a scan") from error
    if len(numbers) != len(NUMBERS) or not isinstance(modality, str) or not isinstance(manufacturer, str):
        raise ValueError("not the print of a scan")
    return Print(numbers, modality, manufacturer)


def _sample(pixels: np.ndarray) -> np.ndarray:
    """At most about 16,384 finite values, evenly over the scan, float32 (n,)."""
    flat = pixels.reshape(-1)
    step = max(1, flat.size // _SAMPLED)
    line = flat.size // max(1, pixels.shape[0] * pixels.shape[1])
    while line and step > 1 and math.gcd(step, line) > 1:  # so that it does not go down one column
        step += 1
    values = flat[::step]
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]


def _percentiles(values: np.ndarray) -> list[float]:
    """Percentiles 1, 50 and 99 as np.percentile gives them, in a tenth of its time (sorting is vectorised)."""
    if not values.size:
        return [math.nan] * 3
    places = (values.size - 1) * np.array([0.01, 0.5, 0.99])
    found: list[float] = np.interp(places, np.arange(values.size), np.sort(values)).tolist()
    return found


def _share_in_colour(scan: Scan) -> float:
    """`share_in_colour` of some of its pixels, 0 for a grey scan."""
    if not scan.colour:
        return 0.0
    every = max(1, scan.pixels[..., 0].size // _SAMPLED)
    return share_in_colour(scan.pixels.reshape(-1, scan.pixels.shape[-1])[::every])


def _joined(several: Sequence[tuple[np.ndarray, tuple[str, ...]]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes with their names, one after the other -> codes int32 (N,) in one list of names."""
    place: dict[str, int] = {}
    parts = [np.empty(0, dtype=np.int32)]
    for codes, names in several:
        new = np.array([place.setdefault(name, len(place)) for name in names], dtype=np.int32)
        parts.append(new[codes] if len(names) else codes)
    return np.concatenate(parts), tuple(place)
