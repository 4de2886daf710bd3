"""The background has one colour in every laboratory, and nuclei are as dense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medtl.errors import ScanError
from medtl.intensity.colour import as_colour, as_grey, balance_stain
from medtl.intensity.recipes import RECIPES
from medtl.scans import Scan, read

BACKGROUND = np.array([1.0, 0.9, 0.8])


def test_grey_is_pillows():
    colour = np.random.default_rng(0).integers(0, 256, (1, 20, 30, 3)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(colour[0].astype(np.uint8)).convert("L"), np.float32)
    np.testing.assert_allclose(as_grey(Scan(colour)).pixels[0], pillow, atol=0.6)
    grey = as_grey(Scan(colour))
    np.testing.assert_allclose(as_grey(as_colour(grey)).pixels, grey.pixels, rtol=1e-5)


def a_slide(lamp: tuple[float, float, float], dye: float, seed: int = 0) -> Scan:
    """Cells that swallow light by Beer and Lambert's law, under a lamp, with more or less dye."""
    y, x = np.mgrid[:120, :120]
    cytoplasm = np.hypot(y - 60, x - 60) < 40
    nucleus = np.hypot(y - 55, x - 62) < 20
    density = (0.3 * cytoplasm + 0.8 * nucleus)[..., None] * np.array([1.0, 1.5, 0.5])
    noise = np.random.default_rng(seed).normal(0, 0.5, (*density.shape[:2], 3))
    return Scan((np.asarray(lamp) * np.exp(-dye * density) + noise)[None].clip(0, 255).astype(np.float32))


def test_lamp_and_dye_go():
    one = balance_stain(a_slide((250, 240, 235), 1.0)).pixels
    for lamp, dye in (((250, 225, 200), 0.7), ((255, 250, 150), 1.3), ((140, 140, 140), 1.0)):
        other = balance_stain(a_slide(lamp, dye, seed=1)).pixels
        assert np.abs(other - one).mean() < 0.04, (lamp, dye)
        plain = np.abs(a_slide(lamp, dye, seed=1).pixels - a_slide((250, 240, 235), 1.0).pixels).mean() / 127.5
        assert np.abs(other - one).mean() < plain / 3


@pytest.mark.parametrize("strength", [0.8, 1.1])
def test_background_and_nuclei_are_as_asked(strength):
    light = (balance_stain(a_slide((250, 225, 200), 0.8), strength=strength).pixels[0] + 1) / 2
    np.testing.assert_allclose(light[:10, :10].mean(axis=(0, 1)), BACKGROUND, atol=0.01)
    density = -np.log(light / BACKGROUND)
    assert np.percentile(density, 98, axis=(0, 1)).mean() == pytest.approx(strength, rel=1e-3)


def test_what_is_redder_stays_redder():
    """The ratio of the densities of red, green and blue, which tells one dye from another, stays."""
    for lamp in ((250, 225, 200), (255, 250, 150)):
        light = (balance_stain(a_slide(lamp, 0.8)).pixels[0] + 1) / 2
        density = -np.log(light / BACKGROUND)[50:60, 57:67].mean(axis=(0, 1))
        np.testing.assert_allclose(density / density[0], [1.0, 1.5, 0.5], rtol=0.12)


def test_the_order_of_densities_stays_in_each_channel():
    scan = a_slide((250, 225, 200), 0.8)
    done = balance_stain(scan).pixels
    for channel in range(3):
        order = np.argsort(scan.pixels[..., channel].ravel(), kind="stable")
        assert (np.diff(done[..., channel].ravel()[order]) >= -1e-6).all()


def test_brightness_and_bit_depth_do_not_matter():
    eight = a_slide((250, 225, 200), 0.8)
    twelve = Scan(eight.pixels * 16)
    np.testing.assert_allclose(balance_stain(twelve).pixels, balance_stain(eight).pixels, atol=1e-4)


def test_an_empty_field_does_not_become_a_stain():
    empty = Scan(np.random.default_rng(0).normal(240, 1, (1, 50, 50, 3)).astype(np.float32))
    assert balance_stain(empty, green=1, blue=1).pixels.min() > 0.8


def test_grey_and_black_are_refused():
    with pytest.raises(ScanError, match="grey"):
        balance_stain(Scan(np.ones((1, 5, 5), np.float32)))
    with pytest.raises(ScanError, match="black"):
        balance_stain(Scan(np.zeros((1, 5, 5, 3), np.float32)))


@given(seed=st.integers(0, 10**6), high=st.sampled_from([1.0, 255.0, 4095.0]), side=st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_whatever_the_pixels_colours_stay_in_range(seed, high, side):
    noise = np.random.default_rng(seed).uniform(0, high, (1, side, side, 3)).astype(np.float32)
    done = balance_stain(Scan(noise)).pixels
    assert done.dtype == np.float32 and done.min() >= -1 and done.max() <= 1


def test_three_laboratories_come_nearer(shared_data):
    """The colour of the background and of the nuclei, between Barcelona, Jiangxi and CellaVision."""
    plain, stained = {}, {}
    for site in ("barcelona", "jiangxi", "cellavision"):
        files = sorted(file for file in (shared_data / "cells" / site).iterdir())
        scans = [read(file) for file in files[:: len(files) // 20][:20]]
        for recipe, found in (("colour", plain), ("stained", stained)):
            pixels = [RECIPES[recipe](scan)[0][:, 8:-8, 8:-8].reshape(3, -1) for scan in scans]
            found[site] = np.mean([np.percentile(each, (2, 98), axis=1) for each in pixels], axis=0)
    for other in ("jiangxi", "cellavision"):
        before = np.abs(plain["barcelona"] - plain[other]).mean()
        after = np.abs(stained["barcelona"] - stained[other]).mean()
        assert after < (0.6 if other == "jiangxi" else 1.0) * before
