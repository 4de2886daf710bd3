"""Each grey step against MONAI's of the same kind."""

from __future__ import annotations

import monai.transforms as mt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError, ScanError
from medtl.intensity import grey, steps
from medtl.scans import Scan

RANDOM = np.random.default_rng(0)
CLOSE = {"rtol": 0, "atol": 2e-5}


def a_scan(*shape: int, low: float = 0.0, high: float = 255.0, **facts) -> Scan:
    return Scan(RANDOM.uniform(low, high, shape).astype(np.float32), **facts)


def monai(transform, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(transform(torch.from_numpy(pixels.copy())[None]))[0]  # some work in place


@pytest.mark.parametrize("limits", [(0.5, 99.5), (1.0, 99.0), (0.0, 100.0)])
def test_percentile_window_is_monais(limits: tuple[float, float]) -> None:
    scan = a_scan(1, 200, 256)
    expected = monai(mt.ScaleIntensityRangePercentiles(*limits, -1, 1, clip=True), scan.pixels)
    np.testing.assert_allclose(grey.percentile_window(scan, *limits).pixels, expected, **CLOSE)


def test_percentile_window_ignores_a_bright_mark() -> None:
    scan = a_scan(1, 100, 100, high=100)
    marked = scan.pixels.copy()
    marked[0, :5, :5] = 4000
    difference = grey.percentile_window(scan).pixels - grey.percentile_window(Scan(marked)).pixels
    assert np.abs(difference[0, 5:, 5:]).max() < 0.02


def test_percentile_window_of_a_nearly_empty_picture_keeps_what_is_there() -> None:
    pixels = np.zeros((1, 64, 64), np.float32)
    pixels[0, 3, 4] = 9
    windowed = grey.percentile_window(Scan(pixels)).pixels
    assert windowed[0, 3, 4] == 1
    assert windowed.sum() == 1 - (64 * 64 - 1)


@pytest.mark.parametrize(("level", "width"), [(40, 400), (-600, 1500), (400, 1800)])
def test_window_is_monais_scale_intensity_range(level: float, width: float) -> None:
    scan = a_scan(5, 40, 40, low=-1024, high=3000)
    transform = mt.ScaleIntensityRange(level - width / 2, level + width / 2, -1, 1, clip=True)
    np.testing.assert_allclose(grey.window(scan, level, width).pixels, monai(transform, scan.pixels), **CLOSE)


def test_z_score_is_monais_normalize_intensity_over_the_foreground() -> None:
    scan = a_scan(8, 40, 40, low=600, high=1500)
    scan.pixels[:, :25] = 0  # air; what is left is brighter than the mean of all
    expected = monai(mt.NormalizeIntensity(nonzero=True), scan.pixels) / 3
    inside = scan.pixels > 0
    normalised = grey.z_score(scan, limit=3).pixels
    np.testing.assert_allclose(normalised[inside], np.clip(expected, -1, 1)[inside], **CLOSE)
    assert (normalised[~inside] == -1).all()


def test_bit_range_knows_the_depth_from_the_header_or_the_pixels() -> None:
    scan = a_scan(1, 8, 8, high=255)
    scaled = grey.bit_range(scan).pixels
    np.testing.assert_allclose(scaled, monai(mt.ScaleIntensityRange(0, 255, -1, 1), scan.pixels), **CLOSE)
    twelve = grey.bit_range(Scan(scan.pixels, header={"bits": 12})).pixels
    np.testing.assert_allclose(twelve, monai(mt.ScaleIntensityRange(0, 4095, -1, 1), scan.pixels), **CLOSE)
    np.testing.assert_allclose(grey.bit_range(a_scan(1, 4, 4, low=0.5, high=1)).pixels.max(), 1, atol=0.2)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["percentile_window", "z_score", "bit_range"]),
    low=st.floats(-2000, 2000),
    spread=st.floats(1e-3, 70000),
    seed=st.integers(0, 1000),
)
def test_grey_values_stay_between_black_and_white(name: str, low: float, spread: float, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(low, low + spread, (2, 9, 7)).astype(np.float32)
    before = pixels.copy()
    scaled = steps.STEPS[name](Scan(pixels)).pixels
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    assert scaled.min() >= -1 and scaled.max() <= 1
    np.testing.assert_array_equal(pixels, before)  # the scan itself is left alone


def test_padding_takes_no_part_in_percentiles_mean_and_deviation_and_turns_black() -> None:
    pixels = np.array([[[-2000, -1999, 0, 10, 20, 40]]], np.float32)
    scan = Scan(pixels, header={"padding": (-2000.0, -1999.0), "bits": 12})
    by_percentiles = grey.percentile_window(scan, 0, 100)
    np.testing.assert_allclose(by_percentiles.pixels, [[[-1, -1, -1, -0.5, 0, 1]]], atol=1e-6)
    by_mean = grey.z_score(scan)  # the foreground, brighter than the mean of 17.5, is 20 and 40: 30 ± 10
    np.testing.assert_allclose(by_mean.pixels, [[[-1, -1, -1, -2 / 3, -1 / 3, 1 / 3]]], atol=1e-6)
    bright = Scan(pixels, header={"padding": (40.0, 40.0)})
    np.testing.assert_allclose(grey.window(bright, 10, 20).pixels, [[[-1, -1, -1, 0, 1, -1]]], atol=1e-6)
    for new in (by_percentiles, by_mean):  # the values are others now, and none of them is padding
        assert new.header == {"bits": 12}
    assert scan.header["padding"] == (-2000.0, -1999.0)


# ---- windows as channels, clipping


def test_windows_are_window_by_window() -> None:
    scan = a_scan(3, 20, 30, low=-1024, high=2000, header={"padding": (-2000.0, -2000.0), "bits": 12})
    scan.pixels[:, :4] = -2000
    seen = grey.windows(scan, ["brain", [50, 350], "lung"])
    assert seen.pixels.shape == (3, 20, 30, 3)
    for channel, (level, width) in enumerate([(40, 80), (50, 350), (-600, 1500)]):
        np.testing.assert_array_equal(seen.pixels[..., channel], grey.window(scan, level, width).pixels)
    assert (seen.pixels[:, :4] == -1).all() and seen.header == {"bits": 12}
    assert grey.count_windows(["brain", [50, 350], "lung"]) == 3


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["brian"], "CT window 'brian' is unknown: give brain, subdural, bone, lung, soft tissue, liver, or a pair"),
        ([[40]], r"CT window \[40\] is no name and no pair"),
        ([["a", "b"]], "is no name and no pair"),
        ([40], "CT window 40 is no name and no pair"),
        ([[40, 0]], "the width is 0 HU; give one above 0"),
        ([], r"a list of names, such as \[brain, bone\]: it got \[\]"),
        ("brain", "a list of names, such as .*: it got 'brain'"),
    ],
)
def test_a_window_that_is_none_is_named(names, says: str) -> None:
    with pytest.raises(InputError, match=says):
        grey.count_windows(names)


def test_windows_are_for_grey_scans() -> None:
    with pytest.raises(ScanError, match="several channels"):
        grey.windows(a_scan(1, 5, 5, 3), ["brain"])


@pytest.mark.parametrize("limits", [(0.5, 99.5), (5.0, 90.0)])
def test_clip_percentiles_is_monais(limits: tuple[float, float]) -> None:
    scan = a_scan(1, 200, 256, low=-40, high=3000)
    expected = monai(mt.ClipIntensityPercentiles(*limits), scan.pixels)
    np.testing.assert_allclose(grey.clip_percentiles(scan, *limits).pixels, expected, rtol=1e-6)


def test_clip_percentiles_leaves_padding_out_and_as_it_is() -> None:
    scan = a_scan(1, 40, 40, low=100, high=200, header={"padding": (-2000.0, -2000.0)})
    alone = grey.clip_percentiles(Scan(scan.pixels[:, 10:]), 10, 90).pixels
    scan.pixels[:, :10] = -2000
    clipped = grey.clip_percentiles(scan, 10, 90)
    np.testing.assert_array_equal(clipped.pixels[:, 10:], alone)
    assert (clipped.pixels[:, :10] == -2000).all() and clipped.header == scan.header
    assert 100 < alone.min() < alone.max() < 200
