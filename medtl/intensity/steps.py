"""The steps of a recipe by name: each takes a scan and gives a new one, and keeps its place in the patient.

Grey values leave the intensity steps in [-1, 1] (black is -1), which is what an ImageNet stem with mean = std = 0.5
was trained on. Every step is a pure function: the same scan and parameters give the same scan, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medtl.intensity.geometry import orient
from medtl.intensity.grey import bit_range, percentile_window, window, z_score
from medtl.intensity.regions import crop_to_region
from medtl.intensity.slices import choose_slices

#: Adding a step = adding a function in a file of this folder and a line here. A recipe names its steps by these names,
#: on disk too.
STEPS: Mapping[str, Callable[..., Any]] = {
    "crop_to_region": crop_to_region,
    "percentile_window": percentile_window,
    "window": window,
    "z_score": z_score,
    "bit_range": bit_range,
    "orient": orient,
    "choose_slices": choose_slices,
}
