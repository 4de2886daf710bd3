"""Parameters that cannot be meant are refused when the recipe is made, in one sentence."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from medtl.errors import InputError
from medtl.intensity import Step
from medtl.intensity.allowed import ALLOWED
from medtl.intensity.steps import STEPS


def test_every_parameter_of_every_step_is_checked() -> None:
    for name, step in STEPS.items():
        parameters = list(inspect.signature(step).parameters)[1:]
        assert name == "windows" or parameters == list(ALLOWED.get(name, {})), name


@pytest.mark.parametrize("name", sorted({*STEPS} - {"window", "windows", "resample"}))
def test_defaults_are_allowed(name: str) -> None:
    assert Step(name).parameters == {}


@pytest.mark.parametrize(
    ("name", "told", "says"),
    [
        ("window", {"level": 40, "width": 0}, "width is 0; give a number above 0"),
        ("window", {"level": 40, "width": -80}, "width is -80; give a number above 0"),
        ("window", {"level": "40", "width": 80}, "level is '40'; give a number"),
        ("window", {"level": True, "width": 80}, "level is True; give a number"),
        ("choose_slices", {"most": 0}, "most is 0; give a whole number of 1 or more"),
        ("choose_slices", {"most": "16"}, "most is '16'"),
        ("choose_slices", {"most": 2.5}, "most is 2.5"),
        ("neighbouring_slices", {"n": "3"}, "n is '3'; give an odd number"),
        ("neighbouring_slices", {"n": 2}, "n is 2; give an odd number"),
        ("neighbouring_slices", {"n": 0}, "n is 0"),
        ("neighbouring_slices", {"n": -1}, "n is -1"),
        ("clip_percentiles", {"lower": 99, "upper": 1}, "lower is 99 and upper is 1; give upper the larger"),
        ("percentile_window", {"lower": 99.7}, "lower is 99.7 and upper is 99.5; give upper the larger"),
        ("percentile_window", {"lower": -1}, "lower is -1; give a number from 0 to 100"),
        ("percentile_window", {"upper": 101}, "upper is 101; give a number from 0 to 100"),
        ("z_score", {"limit": 0}, "limit is 0; give a number above 0"),
        ("resample", {"spacing": 1}, "spacing is 1; give mm between slices, rows and columns, null for an axis"),
        ("resample", {"spacing": [1, 1, "a"]}, "spacing is .*'a'"),
        ("resample", {"spacing": [1, 1]}, "spacing is .*1, 1"),
        ("resample", {"spacing": [None, 0, 1]}, "spacing is .*0, 1"),
        ("crop_border", {"most": "x"}, "most is 'x'; give a number from 0 and below 0.5"),
        ("crop_to_body", {"margin": "a"}, "margin is 'a'; give a number of 0 or more"),
        ("crop_to_foreground", {"margin": 0.5}, "margin is 0.5; give a whole number of 0 or more"),
        ("fill_overlay", {"margin": 1.5}, "margin is 1.5; give a whole number of 0 or more"),
        ("correct_bias", {"shrink": 0}, "shrink is 0; give a whole number of 1 or more"),
        ("correct_bias", {"shrink": "a"}, "shrink is 'a'"),
        ("clahe", {"kernel": 0}, "kernel is 0; give a number above 0 and at most 1"),
        ("clahe", {"clip_limit": -1}, "clip_limit is -1"),
        ("balance_stain", {"red": 255}, "red is 255; give a number above 0 and at most 1"),
        ("match_histogram", {"quantiles": 5}, "quantiles is 5; give 256 numbers for each channel, or leave it out"),
        ("landmarks", {"scale": [[0.1] * 10]}, "scale is .*; give 11 numbers for each channel"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, told: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=f"^recipe step '{name}': {says}"):
        Step(name, told)
