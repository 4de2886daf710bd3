"""What a model was trained on, as ranges, and how a later scan is compared with it.

After nnU-Net's data fingerprint (Isensee et al., Nature Methods 2021, arXiv:1809.10486), which plans a training by it.
Here it also stays with the model: a recipe makes something presentable of any scan, and so hides what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtl.errors import InputError
from medtl.intensity.prints import NUMBERS, Print, Prints, from_json, in_words, print_of, to_json

__all__ = ["NUMBERS", "Fingerprint", "Print", "Prints", "from_json", "print_of", "to_json"]

#: In the order in which they tell a scan apart.
_VALUES = ("low", "high", "contrast", "middle")
_WORDS = {
    "low": "darkest values (1st percentile)",
    "middle": "median value",
    "high": "brightest values (99th percentile)",
    "contrast": "values from dark to bright (1st to 99th percentile) over",
}

#: How far beyond the range a scan may lie and still be familiar. "value": a quarter of the whole range of grey values,
#: or this factor (the values of MR have no unit, and vary as much at one machine); "times": this factor; "share": a
#: quarter more, or this factor less (where all are in colour, none in grey is familiar).
_MARGINS: dict[str, tuple[str, float]] = {
    "low": ("value", 2.0),
    "middle": ("value", 2.0),
    "high": ("value", 2.0),
    "contrast": ("times", 2.5),
    "spacing of slices": ("times", 1.5),
    "spacing of rows": ("times", 1.5),
    "spacing of columns": ("times", 1.5),
    "slices": ("times", 3.0),
    "rows": ("times", 3.0),
    "columns": ("times", 3.0),
    "colour": ("share", 4.0),
}
_QUARTER = 0.25
#: Modalities of one kind of picture, by another machine.
_ALIKE = ({"CR", "DX", "RG"}, {"US", "IVUS"})


@dataclass(frozen=True)
class Fingerprint:
    """The range of what a model was trained on.

    Attributes:
        scans: how many.
        ranges: name -> (least, most) of the scans, for each of `NUMBERS` that they know, and for "contrast", the
            difference of high and low.
        modalities: the different ones that are known, sorted.
        manufacturers: likewise.
    """

    scans: int
    ranges: Mapping[str, tuple[float, float]]
    modalities: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()

    @classmethod
    def fit(cls, prints: Prints | Iterable[Print]) -> Fingerprint:
        """The ranges of these scans.

        Of thousands of scans a few are always odd (a test image, a wrong unit) and would make every later one look
        usual: least and most are the quantiles 0.001 and 0.999, which are the smallest and largest of up to 1,000. A
        number that fewer than a tenth of the scans know gets no range.
        """
        table = prints if isinstance(prints, Prints) else Prints.of(prints)
        ranges = {}
        for name, column in _columns(table.numbers).items():
            known = column[np.isfinite(column)]
            if len(known) and 10 * len(known) >= len(column):
                least = np.quantile(known, 0.001, method="lower")
                most = np.quantile(known, 0.999, method="higher")
                ranges[name] = (float(least), float(most))
        modalities = {table.modalities[code] for code in np.unique(table.modality)}
        manufacturers = {table.manufacturers[code] for code in np.unique(table.manufacturer)}
        return cls(len(table), ranges, _sorted(modalities), _sorted(manufacturers))

    def joined(self, other: Fingerprint) -> Fingerprint:
        """That of a model trained on both, one after the other."""
        ranges = {
            name: (
                min(each.ranges[name][0] for each in (self, other) if name in each.ranges),
                max(each.ranges[name][1] for each in (self, other) if name in each.ranges),
            )
            for name in (*NUMBERS, "contrast")
            if name in self.ranges or name in other.ranges
        }
        return Fingerprint(
            self.scans + other.scans,
            ranges,
            _sorted({*self.modalities, *other.modalities}),
            _sorted({*self.manufacturers, *other.manufacturers}),
        )

    def outside(self, scan: Print) -> list[str]:
        """Why a scan lies outside what the model was trained on, a short phrase each; none where it does not.

        What is unknown on one side is not compared. Held against the ranges are the values (one phrase for the first
        of them that tells), the spacing, the size, the colour and the modality, with the margins in `_MARGINS`. Half of
        a hospital's patients held against the other half are hardly ever outside: see `tests/intensity`. Where no
        scan trained on names its modality, that of this scan alone is no reason, and of one outside it is said first.
        """
        said = _other_modality(scan.modality, self.modalities)
        numbers = dict(zip(NUMBERS, scan.numbers, strict=True))
        numbers["contrast"] = numbers["high"] - numbers["low"]
        out = {name for name in self.ranges if math.isfinite(numbers[name]) and not self._holds(name, numbers[name])}
        said += [self._phrase(name, numbers[name]) for name in _VALUES if name in out][:1]
        if "spacing of rows" in out and numbers["spacing of rows"] == numbers["spacing of columns"]:
            out.discard("spacing of columns")  # pixels are square nearly always: it would be said twice
        said += [self._phrase(name, numbers[name]) for name in NUMBERS if name in out and name not in _VALUES]
        if said and scan.modality and not self.modalities:
            return [f"modality {scan.modality}, trained on scans that name none", *said]
        return said

    def new_manufacturer(self, scan: Print) -> str:
        """A phrase where the scan's machine is of none of the manufacturers trained on, else "".

        Every new hospital has such machines: it is worth knowing, and alone makes no scan unfamiliar. Manufacturers
        are told apart by the first word of their names ("GE MEDICAL SYSTEMS" and "GE Healthcare" are one).
        """
        known = {_maker(name) for name in self.manufacturers}
        if not known or not _maker(scan.manufacturer) or _maker(scan.manufacturer) in known:
            return ""
        return f"a machine of {scan.manufacturer}, trained on {_listed(self.manufacturers)}"

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "scans": self.scans,
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "modalities": list(self.modalities),
            "manufacturers": list(self.manufacturers),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Fingerprint:
        """What `to_dict` gave.

        Raises:
            InputError: it is something else.
        """
        try:
            ranges = {str(name): (float(least), float(most)) for name, (least, most) in saved["ranges"].items()}
            if unknown := sorted(set(ranges) - {*NUMBERS, "contrast"}):
                raise InputError(f"the fingerprint holds {unknown[0]!r}, which this medtl does not know: update medtl")
            names = [tuple(map(str, saved[key])) for key in ("modalities", "manufacturers")]
            return cls(int(saved["scans"]), ranges, *names)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError("the fingerprint of what the model was trained on is damaged: copy it again") from error

    def _holds(self, name: str, number: float) -> bool:
        least, most = self.ranges[name]
        kind, factor = _MARGINS[name]
        if kind == "share":
            return least / factor <= number <= most + _QUARTER
        if kind == "value" and least - _QUARTER * self._span <= number <= most + _QUARTER * self._span:
            return True
        return least / factor <= number <= most * factor and (number > 0 or kind == "times")

    @property
    def _span(self) -> float:
        """From the darkest to the brightest value trained on."""
        values = [end for name in ("low", "middle", "high") for end in self.ranges.get(name, ())]
        return max(values, default=0.0) - min(values, default=0.0)

    def _phrase(self, name: str, number: float) -> str:
        least, most = self.ranges[name]
        if name == "colour":
            trained = "in grey" if most < 0.01 else f"with {least:.0%} to {most:.0%} of the pixels in colour"
            return f"{number:.0%} of its pixels are in colour, trained on scans {trained}"
        unit = " mm" if name.startswith("spacing") else ""
        trained = in_words(least) if in_words(least) == in_words(most) else f"{in_words(least)} to {in_words(most)}"
        if name in ("slices", "rows", "columns"):
            return f"{in_words(number)} {name if number != 1 else name[:-1]}, trained on {trained}"
        return f"{_WORDS.get(name, name)} {in_words(number)}{unit}, trained on {trained}{unit}"


def _columns(numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers (N, len(NUMBERS)) -> each by its name (N,), and the contrast."""
    columns = {name: numbers[:, k] for k, name in enumerate(NUMBERS)}
    return {**columns, "contrast": columns["high"] - columns["low"]}


def _other_modality(modality: str, known: Sequence[str]) -> list[str]:
    alike = next((kind for kind in _ALIKE if modality in kind), {modality})
    return [f"modality {modality}, trained on {_listed(known)}"] if modality and known and not alike & {*known} else []


def _maker(manufacturer: str) -> str:
    """The first word of a manufacturer's name, in lower case."""
    words = re.findall(r"[^\W_]+", manufacturer.casefold())
    return words[0] if words else ""


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name[:64] for name in names} - {""}))


def _listed(names: Sequence[str]) -> str:
    """Two of them by name: "GE and SIEMENS", "GE, SIEMENS and 3 more"."""
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
