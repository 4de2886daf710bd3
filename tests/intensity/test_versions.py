"""The numbers of each step, on a scan that has what it works on: a Run's recipe gives the same pixels for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medtl.intensity import Step
from medtl.intensity.steps import STEPS
from medtl.scans import Scan

RAMP = np.add.outer(np.arange(48.0), np.arange(64.0)).astype(np.float32)  # 0 to 110
WAVES = (60 + 40 * np.sin(RAMP / 9) * np.cos(np.subtract.outer(np.arange(48), np.arange(64)) / 5)).astype(np.float32)


def picture(pixels: np.ndarray, **header: Any) -> Scan:
    return Scan(pixels[None].astype(np.float32), None, "", header={"bits": 8, **header})


def volume(**header: Any) -> Scan:
    """A bright ball in darkness with a gradient, sagittal slices of 3 mm first, in a frame of padding."""
    z, y, x = np.mgrid[:12, :40, :48]
    ball = (z - 6) ** 2 * 9 + (y - 20) ** 2 + (x - 22) ** 2 < 200
    pixels = np.where(ball, 100 + 3 * x + y + 5 * z, 4 + (x * y + z) % 7).astype(np.float32)
    affine = np.array([[3.0, 0, 0, -18], [0, 0, -1, 20], [0, 1, 0, -20], [0, 0, 0, 1]])
    return Scan(pixels, affine, "MR", (3.0, 1.0, 1.0), header)


def padded() -> Scan:
    pixels = volume().pixels.copy()
    pixels[:, :5] = -50
    return replace(volume(padding=(-50.0, -50.0)), pixels=pixels)


def ct() -> Scan:
    """A body in air on a table, HU."""
    scan = volume()
    pixels = np.where(scan.pixels > 50, scan.pixels - 120, -1000)
    pixels[:, 38, 4:44] = 300
    return replace(scan, pixels=pixels.astype(np.float32), modality="CT")


def breast() -> Scan:
    """A half disc at the right edge, brighter inside, and a letter."""
    y, x = np.mgrid[:120, :100]
    from_wall = np.hypot(y - 60, x - 99)
    pixels = np.where(from_wall < 50, 120 - from_wall + WAVES[20, 20] * ((y + x) % 3 == 0), 5)
    pixels[10:20, 10:14] = 250
    return picture(pixels)


def framed() -> Scan:
    """A frame, dark on two sides and bright on one."""
    pixels = np.pad(np.tile(WAVES, (2, 2)), ((9, 0), (12, 0)), constant_values=2)
    return picture(np.pad(pixels, ((0, 7), (0, 0)), constant_values=230))


def lettered() -> Scan:
    """Letters L and T in a row, and a calliper, on waves."""
    pixels = np.tile(WAVES, (3, 3)) * 0.8
    for left in range(30, 110, 9):
        pixels[60:70, left : left + 2] = 250
        pixels[slice(60, 62) if left % 2 else slice(68, 70), left : left + 6] = 250
    pixels[100, 90:99] = pixels[96:105, 94] = 245
    return picture(pixels)


def stained() -> Scan:
    """Purple nuclei and pink cells on a yellowish ground."""
    y, x = np.mgrid[:48, :64]
    pixels = np.full((48, 64, 3), (240, 230, 200.0)) + (WAVES[..., None] - 60) / 20
    pixels[np.hypot(y - 24, x - 30) < 16] = (220, 150, 170)
    pixels[np.hypot(y - 20, x - 26) < 7] = (90, 50, 130)
    return picture(pixels)


def grey() -> Scan:
    """In [-1, 1], with black in it."""
    return picture(np.where(RAMP < 20, -1, WAVES / 60 - 1))


SCALE = [[-0.7, -0.6, -0.4, -0.3, -0.1, 0.0, 0.2, 0.3, 0.5, 0.6, 0.8]]
QUANTILES = [(np.linspace(0, 1, 256) ** 2 * 1.5 - 0.9).round(5).tolist()]

#: Step -> its parameters, a scan that has what it works on, and of the result: shape, mean, standard deviation, and the
#: mean with weights that differ from place to place.
EXPECTED: dict[str, tuple[dict[str, Any], Scan, tuple[int, ...], tuple[float, float, float]]] = {
    "crop_to_region": (
        {},
        picture(WAVES, regions=[(5, 8, 30, 50), (20, 12, 40, 60)]),
        (1, 35, 52),
        (61.8514, 19.7658, 0.1779),
    ),
    "crop_to_foreground": ({"above": 50, "margin": 2}, volume(), (12, 33, 33), (69.7065, 96.6572, -0.0555)),
    "crop_to_body": ({"margin": 3.0}, ct(), (11, 33, 33), (-640.8882, 514.5789, -2.5811)),
    "crop_to_breast": ({}, breast(), (1, 101, 51), (73.2537, 40.2505, -0.7718)),
    "crop_border": ({}, framed(), (1, 96, 128), (59.3479, 20.0750, 0.0172)),
    "chest_wall_left": ({}, breast(), (1, 120, 100), (35.2017, 44.5305, -0.0687)),
    "fill_overlay": ({}, lettered(), (1, 144, 192), (47.4649, 15.8733, 0.0857)),
    "suv": ({}, volume(suv=0.02, padding=(4.0, 5.0)), (12, 40, 48), (0.8508, 1.5834, 0.0140)),
    "clahe": ({}, grey(), (1, 48, 64), (-0.0107, 0.5034, 0.0032)),
    "balance_stain": ({}, stained(), (1, 48, 64, 3), (0.6516, 0.3378, 0.0047)),
    "percentile_window": ({}, padded(), (12, 40, 48), (-0.6983, 0.6269, 0.0028)),
    "window": ({"level": 60, "width": 120}, padded(), (12, 40, 48), (-0.5780, 0.7166, 0.0037)),
    "windows": ({"names": ["brain", [100, 90]]}, padded(), (12, 40, 48, 2), (-0.5983, 0.7290, -0.0038)),
    "clip_percentiles": ({"lower": 5, "upper": 90}, padded(), (12, 40, 48), (33.7319, 80.4407, 0.7408)),
    "z_score": ({}, padded(), (12, 40, 48), (-0.8296, 0.4003, 0.0007)),
    "bit_range": ({}, picture(WAVES), (1, 48, 64), (-0.5345, 0.1575, 0.0032)),
    "correct_bias": ({"shrink": 2}, padded(), (12, 40, 48), (41.8124, 95.8086, 0.8678)),
    "landmarks": ({"scale": SCALE}, grey(), (1, 48, 64), (-0.4166, 0.5181, -0.0016)),
    "match_histogram": ({"quantiles": QUANTILES}, grey(), (1, 48, 64), (-0.4912, 0.3520, 0.0001)),
    "orient": ({}, volume(), (12, 40, 48), (42.5407, 79.1696, 0.8888)),
    "resample": ({"spacing": [2.0, None, 1.7]}, padded(), (18, 40, 29), (34.5617, 80.9075, 0.2573)),
    "choose_slices": ({"most": 5}, volume(), (5, 40, 48), (43.8460, 80.6900, 0.7824)),
    "neighbouring_slices": ({"most": 5, "n": 3}, volume(), (5, 40, 48, 3), (43.8626, 80.5810, 0.7121)),
    "project": ({}, padded(), (3, 48, 48), (49.9702, 112.3194, 0.3630)),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_pixels_of_each_version_stay_as_they_are(name: str) -> None:
    """Where this fails, the step gives other pixels: raise its number in VERSIONS of `medtl/intensity/steps.py`."""
    parameters, scan, shape, expected = EXPECTED[name]
    pixels = Step(name, parameters)(scan).pixels
    assert not np.array_equal(pixels, scan.pixels), "the scan has nothing for the step to work on"
    assert pixels.shape == shape
    np.testing.assert_allclose(numbers(pixels), expected, rtol=2e-4, atol=2e-4)


def numbers(pixels: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation, and the mean with weights that differ from place to place."""
    values = pixels.astype(np.float64).reshape(-1)
    weights = np.random.default_rng(0).uniform(-1, 1, values.size)
    return values.mean(), values.std(), (values * weights).mean()
