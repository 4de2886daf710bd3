"""What would be treated differently at source and target is said, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medtl.intensity import RECIPES
from medtl.intensity.differences import Sight, differences, sight_of, watched
from medtl.scans import Scan, read

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAN = float("nan")
NOISE = np.random.default_rng(0).uniform(0, 1, (1, 32, 32)).astype(np.float32)


def picture(modality: str = "", spacing: tuple[float, float, float] = (NAN,) * 3, **header: Any) -> Scan:
    """A grey picture of 8 bits."""
    return Scan(NOISE * 255, None, modality, spacing, {"bits": 8, **header})


def volume(affine: np.ndarray | None, low: float = 0.0, high: float = 900.0, **header: Any) -> Scan:
    """Ten slices."""
    pixels = np.repeat(NOISE, 10, axis=0) * np.float32(high - low) + np.float32(low)
    return Scan(pixels, affine, "", (NAN,) * 3, {"bits": 16, **header})


BOX = [(2, 2, 20, 20)]
AFFINE = np.eye(4)


@pytest.mark.parametrize(
    ("recipe", "one", "other", "says"),
    [
        ("ultrasound", picture("US"), picture(), "name the modality US and"),
        ("picture", picture("OT"), picture("SC"), "takes both alike"),
        ("ultrasound", picture(regions=BOX), picture(), "where the ultrasound machine put its picture"),
        ("radiograph", picture(padding=(0.0, 0.0)), picture(), "name a value that shows nothing"),
        ("ultrasound", picture(spacing=(NAN, 0.1, 0.2)), picture(), "not square (0.1 by 0.2 mm)"),
        ("mr", volume(AFFINE), volume(None), "how the volumes lie in the patient"),
        ("mr", volume(AFFINE), picture(), "are volumes, of about 32 slices"),  # as `orient` cuts it
        ("picture", picture(), picture(bits=16), "by its own file's depth"),
        ("ct", volume(AFFINE, -1000, 1500), volume(AFFINE, 0, 255, bits=8), "Hounsfield units (-9"),
        ("radiograph", picture(), replace(picture(bits=16), pixels=NOISE * 4000), "values of more than 8 bits (4"),
        ("picture", picture(), replace(picture(bits=32), pixels=NOISE), "values from 0 to 1 (0"),
        ("picture", Scan(NOISE[..., None] * np.float32([250, 100, 10])), Scan(NOISE * 250), "are in colour"),
    ],
)
def test_each_difference_is_said_once_and_both_ways(recipe: str, one: Scan, other: Scan, says: str) -> None:
    for source, target in ((one, other), (other, one)):
        said = [text for text in differences([source] * 3, [target] * 3, RECIPES[recipe]) if says in text]
        assert len(said) == 1, differences([source] * 3, [target] * 3, RECIPES[recipe])
        assert said[0].endswith(".") and "\n" not in said[0]
    first, second = (differences([a] * 3, [b] * 3, RECIPES[recipe]) for a, b in ((one, other), (other, one)))
    assert len(first) == len(second)
    assert differences([one, other], [one, other], RECIPES[recipe]) == []


@pytest.mark.parametrize(
    ("recipe", "one", "other"),
    [
        ("radiograph", picture(regions=BOX), picture()),  # not cropped to
        (
            "ct",
            volume(AFFINE, -1000, 1000, padding=(-2000.0, -2000.0)),
            volume(AFFINE, -1000, 1200),
        ),  # black either way
        ("ultrasound", picture(spacing=(NAN, 0.1, 0.1)), picture()),  # square
        ("ultrasound", picture(bits=8), replace(picture(bits=16))),  # its own percentiles
        ("mr", volume(AFFINE, 0, 200), volume(AFFINE, 0, 2000)),  # MR has no unit
        ("mr", picture(), replace(picture(), affine=AFFINE)),
    ],
)
def test_what_the_recipe_does_not_look_at_is_not_said(recipe: str, one: Scan, other: Scan) -> None:
    assert differences([one], [other], RECIPES[recipe]) == differences([other], [one], RECIPES[recipe]) == []


def test_a_side_of_which_some_have_it_is_not_told_apart() -> None:
    assert differences([picture(regions=BOX)], [picture(), picture(regions=BOX)], RECIPES["ultrasound"]) == []
    assert differences([picture()] * 2, [picture()] * 2 + [picture(regions=BOX)], RECIPES["ultrasound"]) == []
    assert differences([], [picture()], RECIPES["ultrasound"]) == []


def test_scans_are_noted_as_they_pass() -> None:
    sights: list[Sight] = []
    scans = [picture("US", regions=BOX), volume(AFFINE)]
    passed = list(watched(scans, sights))
    assert passed[0] is scans[0] and sights == [sight_of(scan) for scan in scans]
    assert differences(sights, sights, RECIPES["ultrasound"]) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans of ../shared are not here")
@pytest.mark.parametrize("pair", [("ultrasound/brazil", "ultrasound/egypt"), ("tb/new-delhi", "tb/yakutia")])
def test_nothing_is_said_of_hospitals_whose_files_tell_the_same(pair: tuple[str, str]) -> None:
    sides = [[read(file) for file in sorted((SHARED / folder).glob("*.jpg"))[:6]] for folder in pair]
    assert all(len(side) == 6 for side in sides)
    for recipe in ("ultrasound", "radiograph"):
        assert differences(*sides, RECIPES[recipe]) == []
