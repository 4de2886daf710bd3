"""Where a recipe would treat the scans of source and target differently, because their files tell different things."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from medtl.intensity.prints import Print, in_words, print_of
from medtl.intensity.recipe import Recipe
from medtl.scans.scan import IN_COLOUR, Scan

_HU = "Hounsfield units"
_EIGHT = "values of 8-bit pictures"
_UNIT = "values from 0 to 1"
_DEEP = "values of more than 8 bits"
#: Steps that look at all values of a scan, so that a border of one value matters.
_OF_ALL_VALUES = {"percentile_window", "clip_percentiles", "z_score", "landmarks", "match_histogram", "correct_bias"}


@dataclass(frozen=True)
class Sight:
    """What decides how a recipe treats a scan, without the scan, which may be large.

    Attributes:
        print: the scan's.
        bits: of the file, 0 where unknown.
        regions: whether the header says where an ultrasound machine put its pictures.
        padding: whether the header says which value shows nothing.
        placed: whether the file knows how the scan lies in the patient.
    """

    print: Print
    bits: int
    regions: bool
    padding: bool
    placed: bool


def sight_of(scan: Scan) -> Sight:
    """What decides how a recipe treats the scan."""
    header = scan.header
    return Sight(
        print=print_of(scan),
        bits=int(header.get("bits") or 0),
        regions=bool(header.get("regions")),
        padding=bool(header.get("padding")),
        placed=scan.affine is not None,
    )


def watched(scans: Iterable[Scan], sights: list[Sight]) -> Iterator[Scan]:
    """The scans as they come, each noted in `sights` as it passes: so they need not be read again for `differences`."""
    for scan in scans:
        sights.append(sight_of(scan))
        yield scan


def differences(source: Iterable[Scan | Sight], target: Iterable[Scan | Sight], recipe: Recipe) -> list[str]:
    """A sentence for each way in which the recipe would treat source and target differently.

    A network learns such a difference instead of the disease, and training cannot know: the user can often export one
    side again.

    Args:
        source: some scans, as they were read.
        target: likewise.
        recipe: what is said depends on its steps: regions matter where it crops to them, depth where it scales by it.

    Returns:
        One sentence each, for the user; none where they are treated alike, or a side has no scan.
    """
    ours, theirs = ([each if isinstance(each, Sight) else sight_of(each) for each in side] for side in (source, target))
    if not ours or not theirs:
        return []
    steps = {step.name for step in recipe.steps}
    said = [*_modality(ours, theirs, recipe), *_slices(ours, theirs), *_colour(ours, theirs, recipe)]
    said += _values(ours, theirs)
    if "bit_range" in steps:
        said += _bits(ours, theirs)
    if "crop_to_region" in steps:
        said += _one_side(
            ours,
            theirs,
            lambda sight: sight.regions,
            "say where the ultrasound machine put its picture and those of the {without} scans do not: only the first "
            "are cropped to it, the others keep the logos and settings around; crop them before",
        )
    if steps & _OF_ALL_VALUES:
        said += _one_side(
            ours,
            theirs,
            lambda sight: sight.padding,
            "name a value that shows nothing and those of the {without} scans do not: it is left out of percentiles "
            "and means in the first alone; export both sides by one program",
        )
    said += _aspect(ours, theirs)
    if "orient" in steps:
        said += _one_side(
            ours,
            theirs,
            lambda sight: sight.placed or sight.print.number("slices") < 2,
            "say how the volumes lie in the patient and those of the {without} scans do not: only the first are turned "
            "alike; convert the others again with their place kept (dcm2niix does)",
        )
    return said


def _one_side(ours: Sequence[Sight], theirs: Sequence[Sight], has: Callable[[Sight], bool], sentence: str) -> list[str]:
    """The sentence where most of one side have it and none of the other."""
    for this, these, that, those in (("source", ours, "target", theirs), ("target", theirs, "source", ours)):
        if 2 * sum(map(has, these)) >= len(these) and not any(map(has, those)):
            return [f"The files of the {this} scans {sentence.format(without=that)}."]
    return []


def _modality(ours: Sequence[Sight], theirs: Sequence[Sight], recipe: Recipe) -> list[str]:
    of_ours, of_theirs = ({sight.print.modality for sight in side} - {""} for side in (ours, theirs))
    if bool(of_ours) != bool(of_theirs):
        named, silent = ("source", "target") if of_ours else ("target", "source")
        names = " and ".join(sorted(of_ours or of_theirs))
        return [
            f"The {named} files name the modality {names} and the {silent} files none: recipe {recipe.name!r} takes "
            f"all as such; see that the {silent} scans are."
        ]
    if of_ours and not of_ours & of_theirs:
        return [
            f"The source scans are {' and '.join(sorted(of_ours))} and the target scans "
            f"{' and '.join(sorted(of_theirs))}: recipe {recipe.name!r} takes both alike; see that it suits both."
        ]
    return []


def _slices(ours: Sequence[Sight], theirs: Sequence[Sight]) -> list[str]:
    slices = [median(sight.print.number("slices") for sight in side) for side in (ours, theirs)]
    if (slices[0] > 1) == (slices[1] > 1):
        return []
    volumes, pictures = ("source", "target") if slices[0] > 1 else ("target", "source")
    return [
        f"The {volumes} scans are volumes, of about {max(slices):.0f} slices, and the {pictures} scans single "
        "pictures: the answer for a volume joins its slices; choose the one slice of each that is read, or give "
        "both as volumes."
    ]


def _colour(ours: Sequence[Sight], theirs: Sequence[Sight], recipe: Recipe) -> list[str]:
    coloured = [median(sight.print.number("colour") for sight in side) > IN_COLOUR for side in (ours, theirs)]
    if coloured[0] == coloured[1]:
        return []
    this, that = ("source", "target") if coloured[0] else ("target", "source")
    lost = "their colours are dropped" if recipe.channels == 1 else "the grey ones are taken as colours without hue"
    return [f"The {this} scans are in colour and the {that} scans in grey: {lost}; see that they show the same thing."]


def _values(ours: Sequence[Sight], theirs: Sequence[Sight]) -> list[str]:
    kinds = [_kind(side) for side in (ours, theirs)]
    if kinds[0] == kinds[1] or not all(kinds):
        return []
    told = [f"{kind} ({in_words(low)} to {in_words(high)})" for kind, low, high in map(_described, (ours, theirs))]
    return [
        f"The source scans hold {told[0]}, the target scans {told[1]}: one side was saved through a window or without "
        "its rescale values, which cannot be undone; export both sides alike, as DICOM where possible."
    ]


def _described(side: Sequence[Sight]) -> tuple[str, float, float]:
    seen = [sight.print for sight in side if math.isfinite(sight.print.number("high"))]
    return _kind(side), min(each.number("low") for each in seen), max(each.number("high") for each in seen)


def _kind(side: Sequence[Sight]) -> str:
    """What the values of most scans are; "" where that is not clear."""
    kinds = [_kind_of(sight) for sight in side]
    commonest = max(sorted(set(kinds)), key=kinds.count)
    return commonest if 2 * kinds.count(commonest) > len(kinds) else ""


def _kind_of(sight: Sight) -> str:
    low, high = sight.print.number("low"), sight.print.number("high")
    if not math.isfinite(high):
        return ""
    if low < -500:
        return _HU
    if low >= 0 and high <= 1:
        return _UNIT
    if low >= 0 and high <= 255:
        return _EIGHT if 0 < sight.bits <= 8 else ""  # MR has no unit: its floats may be of any size
    return _DEEP


def _bits(ours: Sequence[Sight], theirs: Sequence[Sight]) -> list[str]:
    of_ours, of_theirs = ({sight.bits for sight in side} - {0} for side in (ours, theirs))
    if not of_ours or not of_theirs or of_ours & of_theirs:
        return []
    told = [" or ".join(map(str, sorted(bits))) for bits in (of_ours, of_theirs)]
    return [
        f"The source files have {told[0]} bits and the target files {told[1]}: each picture is "
        "scaled by its own file's depth, and is dark where it uses little of it; save both sides alike."
    ]


def _aspect(ours: Sequence[Sight], theirs: Sequence[Sight]) -> list[str]:
    """Pixels that are not square are stretched to their true aspect, where the file says how large they are."""
    known = [
        [sight.print for sight in side if math.isfinite(sight.print.number("spacing of rows"))]
        for side in (ours, theirs)
    ]
    if bool(known[0]) == bool(known[1]):
        return []
    this, that = ("source", "target") if known[0] else ("target", "source")
    for scan in known[0] or known[1]:
        rows, columns = scan.number("spacing of rows"), scan.number("spacing of columns")
        if abs(rows / columns - 1) > 0.05:
            return [
                f"The {this} files say how large a pixel is, and it is not square ({rows:.3g} by {columns:.3g} mm); "
                f"the {that} files do not: only the first are shown in their true aspect; export the others with their "
                "spacing, or see that their pixels are square."
            ]
    return []
