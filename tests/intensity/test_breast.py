"""The breast stays whole, letters go, and every chest wall is on the left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from medtl.errors import ScanError
from medtl.intensity.breast import chest_wall_left, crop_to_breast
from medtl.intensity.grey import percentile_window
from medtl.intensity.recipes import RECIPES, recipe_for
from medtl.scans import Scan

AFFINE = np.array([[1.0, 0.0, 0.0, 5.0], [0.0, 0.0, -0.1, 60.0], [0.0, -0.1, 0.0, 40.0], [0.0, 0.0, 0.0, 1.0]])


def mammogram(seed: int = 0, skin: float = 1.0) -> tuple[Scan, np.ndarray]:
    """A left MLO view, 12 bits: a half-oval of fat with glands, the pectoral muscle, a label; where the breast is."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:500, :400]
    away = ((y - 250) / 190.0) ** 2 + (x / 260.0) ** 2
    breast, thick = away < 1, np.sqrt(np.clip(1 - away, 0, 1))
    glands = ndimage.gaussian_filter(generator.normal(0, 1, away.shape), 12)
    glands = (glands - glands.min()) / np.ptp(glands)
    pixels = 60 + breast * (200 * skin + 500 * np.minimum(thick * 2, 1) + 1800 * glands**2 * thick)
    pixels = pixels + 900 * (breast & (x + 0.6 * y < 165)) + generator.normal(0, 8, away.shape)
    image = Image.fromarray(pixels.astype(np.float32))
    ImageDraw.Draw(image).text((300, 20), "L MLO", 3500, font=ImageFont.load_default(30))
    return Scan(np.array(image)[None], AFFINE, "MG", (1.0, 0.1, 0.1), {"bits": 12}), breast


def mirrored(scan: Scan) -> Scan:
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = scan.pixels.shape[2] - 1
    return Scan(scan.pixels[:, :, ::-1].copy(), AFFINE @ flip, "MG", scan.spacing, scan.header)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("skin", [1.0, 0.6])
def test_the_whole_breast_stays_and_the_label_goes(seed, skin):
    scan, breast = mammogram(seed, skin)
    cropped = crop_to_breast(scan)
    (low, _) = cropped.header["padding"]
    kept = cropped.pixels[0] != low
    assert 0.995 * breast.sum() <= kept.sum() <= 1.12 * breast.sum()
    top, left = np.linalg.inv(AFFINE) @ cropped.affine @ [0, 0, 0, 1] @ np.eye(4)[:, 1:3]
    rows, columns = (slice(round(at), round(at) + side) for at, side in zip((top, left), kept.shape, strict=True))
    assert breast[rows, columns][kept].sum() >= 0.995 * breast.sum()
    np.testing.assert_array_equal(cropped.pixels[0][kept], scan.pixels[0, rows, columns][kept])
    assert cropped.pixels.shape[1] < 410 and cropped.pixels.shape[2] < 290  # of 500 x 400
    assert cropped.pixels.max() < 3400  # the label was 3500


def test_the_window_is_the_breasts_own():
    """The darkest and brightest hundredth of the breast, not of the picture with its air and label."""
    cropped = crop_to_breast(mammogram()[0])
    inside = cropped.pixels != cropped.header["padding"][0]
    windowed = percentile_window(cropped, 1.0, 99.0).pixels
    assert np.mean(windowed[inside] == 1) == pytest.approx(0.01, abs=0.002)
    assert np.mean(windowed[inside] == -1) == pytest.approx(0.01, abs=0.002)
    assert (windowed[~inside] == -1).all()


def test_left_and_right_breasts_become_one_side():
    scan, _ = mammogram()
    right = mirrored(scan)
    assert chest_wall_left(scan) is scan
    turned = chest_wall_left(right)
    np.testing.assert_array_equal(turned.pixels, scan.pixels)
    np.testing.assert_allclose(turned.affine, AFFINE)
    once = RECIPES["mammogram"](scan)
    np.testing.assert_allclose(RECIPES["mammogram"](right), once, atol=0.2)
    assert np.mean(np.abs(RECIPES["mammogram"](right) - once)) < 0.01


def test_padding_in_the_header_is_background():
    scan, breast = mammogram()
    pixels = scan.pixels.copy()
    pixels[:, :, 300:] = -2000
    padded = Scan(pixels, AFFINE, "MG", scan.spacing, {"padding": (-2000.0, -2000.0)})
    kept = crop_to_breast(padded)
    assert (kept.pixels != kept.header["padding"][0]).sum() == pytest.approx(breast.sum(), rel=0.12)


def test_a_breast_that_fills_the_picture_stays():
    full = Scan(np.random.default_rng(0).uniform(500, 900, (1, 64, 64)).astype(np.float32))
    assert crop_to_breast(full).pixels.shape[1] > 55


def test_an_even_picture_is_refused():
    with pytest.raises(ScanError, match="breast"):
        crop_to_breast(Scan(np.full((1, 64, 64), 7.0, np.float32)))


def test_mammograms_get_their_recipe():
    recipe, why = recipe_for(["MG"])
    assert recipe.name == "mammogram" and "MG" in why and not recipe.flip


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 600)), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_whatever_the_pixels_something_stays_or_one_sentence_says_why(shape, seed):
    noise = np.random.default_rng(seed).gamma(0.3, 50, shape).astype(np.float32)
    try:
        cropped = chest_wall_left(crop_to_breast(Scan(noise)))
    except ScanError:
        return
    assert 0 < cropped.pixels.size <= noise.size and np.isfinite(cropped.pixels).all()
