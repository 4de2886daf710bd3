"""PET in SUV: through the file, the recipe and the refusal."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.errors import ScanError
from medtl.intensity.pet import suv
from medtl.intensity.recipes import RECIPES, recipe_for
from medtl.scans import Scan

BQML = np.linspace(0, 50_000, 2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
FACTOR = 4e-4


def a_pet(**header) -> Scan:
    return Scan(BQML, None, "PT", (5.0, 4.0, 4.0), header)


def test_pixels_become_uptake_and_padding_and_error_follow():
    scan = a_pet(suv=FACTOR, padding=(-100.0, -100.0), rounded=2.0, windows=[(1.0, 2.0)], window_center=1.0)
    uptake = suv(scan)
    np.testing.assert_allclose(uptake.pixels, BQML * FACTOR, rtol=1e-6)
    assert uptake.header["padding"] == pytest.approx((-0.04, -0.04)) and uptake.header["rounded"] == 2.0 * FACTOR
    assert not {"windows", "window_center"} & set(uptake.header)
    np.testing.assert_array_equal(scan.pixels, BQML)


def test_padding_is_found_again_bit_for_bit():
    pixels = BQML.copy()
    pixels[0, 0, :3] = 12345.678
    edge = float(pixels[0, 0, 0])
    uptake = suv(Scan(pixels, None, "PT", header={"suv": 0.00031234567, "padding": (edge, edge)}))
    low, high = uptake.header["padding"]
    empty = (uptake.pixels >= np.float32(low)) & (uptake.pixels <= np.float32(high))
    np.testing.assert_array_equal(empty, pixels == np.float32(edge))


def test_twice_is_once():
    once = suv(a_pet(suv=FACTOR))
    np.testing.assert_array_equal(suv(once).pixels, once.pixels)


def test_what_is_missing_is_said():
    with pytest.raises(ScanError, match=r"PatientWeight \(0010,1030\) is missing: export"):
        suv(a_pet(suv_missing="PatientWeight (0010,1030) is missing"))
    with pytest.raises(ScanError, match="no DICOM header"):
        suv(a_pet())


def test_the_recipe_shows_0_to_10_suv():
    recipe, why = recipe_for(["PT"], size=16)
    assert recipe.name == "pet" and "SUV" in why
    shown = recipe(a_pet(suv=FACTOR))
    np.testing.assert_allclose(
        np.sort(shown.ravel()), np.sort(np.clip(BQML * FACTOR / 5 - 1, -1, 1).ravel()), atol=1e-5
    )
    with pytest.raises(ScanError, match="SUV"):
        RECIPES["pet"](a_pet())
