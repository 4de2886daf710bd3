"""The steps of a recipe by name: each takes a scan and gives a new one, and keeps its place in the patient.

Grey values leave the intensity steps in [-1, 1] (black is -1), which is what an ImageNet stem with mean = std = 0.5
was trained on. Every step is a pure function: the same scan and parameters give the same scan, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medtl.intensity.bias import correct_bias
from medtl.intensity.breast import chest_wall_left, crop_to_breast
from medtl.intensity.colour import balance_stain
from medtl.intensity.contrast import clahe
from medtl.intensity.geometry import orient, resample
from medtl.intensity.grey import (
    bit_range,
    clip_percentiles,
    count_windows,
    percentile_window,
    window,
    windows,
    z_score,
)
from medtl.intensity.histograms import landmarks, learn_histogram, learn_landmarks, match_histogram
from medtl.intensity.overlay import fill_overlay
from medtl.intensity.pet import suv
from medtl.intensity.regions import crop_border, crop_to_body, crop_to_foreground, crop_to_region
from medtl.intensity.slices import choose_slices, neighbouring_slices, project

#: Adding a step = adding a function in a file of this folder, a line here, and in `allowed.py` what its parameters may
#: be. A recipe names its steps by these names, on disk too. Pixels inside a recipe: (slices, rows, columns) or (slices,
#: rows, columns, channels).
STEPS: Mapping[str, Callable[..., Any]] = {
    "crop_to_region": crop_to_region,
    "crop_to_foreground": crop_to_foreground,
    "crop_to_body": crop_to_body,
    "crop_to_breast": crop_to_breast,
    "crop_border": crop_border,
    "chest_wall_left": chest_wall_left,
    "fill_overlay": fill_overlay,
    "suv": suv,
    "clahe": clahe,
    "balance_stain": balance_stain,
    "percentile_window": percentile_window,
    "window": window,
    "windows": windows,
    "clip_percentiles": clip_percentiles,
    "z_score": z_score,
    "bit_range": bit_range,
    "correct_bias": correct_bias,
    "landmarks": landmarks,
    "match_histogram": match_histogram,
    "orient": orient,
    "resample": resample,
    "choose_slices": choose_slices,
    "neighbouring_slices": neighbouring_slices,
    "project": project,
}

#: The version of a step, where it is above 1. It rises whenever the same scan and parameters give other pixels.
VERSIONS: Mapping[str, int] = {}

#: The version of what every recipe has in common: gaps filled, grey or colour at the start, `fit_square` at the end.
COMMON = 1

#: What a step learns from a cohort: (scans as the steps before leave them, its other parameters) -> the parameters
#: that are learnt, in JSON's types. In the step's function those have the default None, and no others have it.
LEARNERS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "landmarks": learn_landmarks,
    "match_histogram": learn_histogram,
}

#: How many channels a step makes of one, by all its parameters, for steps that make channels themselves.
CHANNELS: Mapping[str, Callable[..., int]] = {
    "windows": count_windows,
    "neighbouring_slices": lambda most, n: n,
}

#: Steps that choose among slices or put them together. What harmonises grey values goes before them: see `harmonised`.
SLICES = frozenset({"choose_slices", "neighbouring_slices", "project"})
