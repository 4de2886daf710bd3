"""A mask lands where the pixels that it was drawn on land, through every crop, turn and resize of the recipes."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.errors import ScanError
from medtl.intensity import RECIPES, Recipe, Step
from medtl.intensity.masks import mask_on_input
from medtl.scans.scan import Scan

SPOT = (slice(0, 1), slice(24, 44), slice(150, 174))


def picture(spot: tuple[slice, slice, slice] = SPOT, rows: int = 160, columns: int = 230, **facts: object) -> Scan:
    """Dim noise with one bright spot."""
    pixels = np.random.default_rng(0).uniform(20, 60, (1, rows, columns)).astype(np.float32)
    pixels[spot] = 250
    return Scan(pixels, **facts)  # type: ignore[arg-type]


def mask_of(scan: Scan) -> np.ndarray:
    return scan.pixels > 200


def agreement(recipe: Recipe, scan: Scan) -> float:
    """Of the pixels that are bright in the input or on the mask, the share that are both."""
    shown = recipe(scan)[:, 0]
    mask = mask_on_input(recipe, scan, mask_of(scan))
    assert mask is not None and mask.dtype == bool and mask.shape == shown.shape
    bright = shown > (shown.max() + np.median(shown)) / 2
    return float((bright & mask).sum() / (bright | mask).sum())


@pytest.mark.parametrize("size", [112, 64, 256])
def test_a_picture_that_is_cropped_and_resized(size: int) -> None:
    recipe = Recipe("x", size=size, steps=RECIPES["ultrasound"].steps)
    scan = picture(header={"regions": [(10, 40, 150, 220)], "bits": 8})
    assert agreement(recipe, scan) > 0.85


def test_pixels_that_are_not_square() -> None:
    assert agreement(RECIPES["picture"], picture(spacing=(1.0, 0.4, 0.2), header={"bits": 8})) > 0.85


def test_crops_and_a_turn_that_depend_on_what_is_seen() -> None:
    scan = picture()
    pixels = np.zeros((1, 260, 330), np.float32)
    pixels[:, 50:210, 80:310] = scan.pixels
    framed = Scan(pixels)
    assert agreement(RECIPES["radiograph-clean"], framed) > 0.85
    breast = np.zeros((1, 240, 200), np.float32)
    rows, columns = np.indices((240, 200))
    breast[0, (rows - 120) ** 2 / 90**2 + (columns - 200) ** 2 / 120**2 < 1] = 90  # its chest wall is on the right
    breast[0, 90:112, 150:176] = 250
    turned = Scan(breast)
    assert agreement(RECIPES["mammogram"], turned) > 0.85
    mask = mask_on_input(RECIPES["mammogram"], turned, mask_of(turned))
    assert mask is not None and np.nonzero(mask[0])[1].mean() < 56  # and so on the left of the input


def test_one_pixel_in_a_corner_stays_in_its_corner() -> None:
    scan = picture()
    corner = np.zeros(scan.pixels.shape, bool)
    corner[0, -1, -1] = True
    mask = mask_on_input(Recipe("x", size=230, steps=RECIPES["picture"].steps), scan, corner)
    assert mask is not None
    assert np.argwhere(mask).tolist() == [[0, (230 - 160) // 2 + 159, 229]]


@pytest.mark.parametrize("affine", [None, np.diag([-1.0, 1.0, 2.5, 1.0])[[2, 1, 0, 3]][:, [0, 1, 2, 3]]])
def test_a_volume_that_is_turned_and_thinned(affine: np.ndarray | None) -> None:
    pixels = np.random.default_rng(0).uniform(20, 60, (40, 60, 50)).astype(np.float32)
    pixels[8:26, 10:24, 30:44] = 250
    scan = Scan(pixels, affine, "MR", (2.5, 1.0, 1.0))
    assert agreement(RECIPES["mr"], scan) > 0.75


def test_resampling() -> None:
    recipe = Recipe("x", steps=(Step("resample", {"spacing": [None, 0.7, 0.7]}), *RECIPES["picture"].steps))
    assert agreement(recipe, picture(spacing=(float("nan"), 0.4, 0.4), header={"bits": 8})) > 0.8


def test_what_cannot_be_followed_and_a_mask_of_another_size() -> None:
    recipe = Recipe("x", steps=(Step("project"), *RECIPES["picture"].steps))
    volume = Scan(np.random.default_rng(0).uniform(0, 255, (5, 20, 20)).astype(np.float32), header={"bits": 8})
    assert mask_on_input(recipe, volume, mask_of(volume)) is None
    scan = picture(header={"bits": 8})
    assert agreement(recipe, scan) > 0.85  # a picture is not projected
    with pytest.raises(ScanError, match=r"\(1, 20, 20\) and its scan \(1, 160, 230\)"):
        mask_on_input(recipe, scan, np.ones((1, 20, 20)))


def test_following_changes_no_pixel_and_leaves_no_trace() -> None:
    scan = picture(header={"regions": [(10, 40, 150, 220)]})
    before = RECIPES["ultrasound"](scan)
    mask_on_input(RECIPES["ultrasound"], scan, mask_of(scan))
    assert set(scan.header) == {"regions"}
    np.testing.assert_array_equal(RECIPES["ultrasound"](scan), before)
