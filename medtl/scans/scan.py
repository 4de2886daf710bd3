"""One picture or volume in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scan:
    """One picture or volume in memory, in real units, at its place in the patient.

    Attributes:
        pixels: float32 (slices, rows, columns), or (slices, rows, columns, 3) for colour; a picture has one slice.
            After the modality LUT or rescale (HU for CT); MONOCHROME1 is already turned, so that more is brighter.
            No VOI window is applied. Colour is RGB.
        affine: float64 4x4, from the array index (slice, row, column, 1) to RAS+ mm, or None where the file
            does not know.
        modality: the DICOM code ("US", "CT", "MR", "CR", "DX", "MG", "PT" ...), "" where the file does not know.
        spacing: mm (between slices, between rows, between columns), nan where the file does not know.
        header: the few facts that later steps need, never an identifier: "manufacturer", "model", "photometric",
            "bits", "window_center", "window_width", "burned_in" (bool) ...
    """

    pixels: np.ndarray
    affine: np.ndarray | None = None
    modality: str = ""
    spacing: tuple[float, float, float] = (float("nan"),) * 3
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def colour(self) -> bool:
        """Whether the last axis of `pixels` is red, green, blue."""
        return self.pixels.ndim == 4
