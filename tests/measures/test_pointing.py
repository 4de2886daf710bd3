"""The pointing game on pictures small enough to see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.measures import chance_level, hits, mass_inside

LESION = np.zeros((10, 10), int)
LESION[2:4, 2:6] = 255


def spot(*places):
    heat = np.full((10, 10), -1.0)
    for place in places:
        heat[place] = 2.0
    return heat


def test_the_maximum_on_the_lesion_is_a_hit():
    assert hits(spot((3, 5)), LESION)
    assert not hits(spot((4, 5)), LESION)
    assert hits(spot((3, 5), (2, 2)), LESION)
    assert not hits(spot((3, 5), (9, 9)), LESION)


def test_a_map_that_is_flat_points_nowhere():
    assert not hits(np.ones((10, 10)), np.ones((10, 10)))
    assert not hits(np.full((10, 10), np.nan), LESION)


def test_the_tolerance_is_a_distance():
    assert hits(spot((6, 9)), LESION, tolerance=5)  # 3 rows and 4 columns off
    assert not hits(spot((6, 9)), LESION, tolerance=4.9)


def test_the_mass_inside_leaves_out_what_speaks_against():
    heat = np.full((10, 10), -5.0)
    heat[2, 2], heat[9, 9] = 3.0, 1.0
    assert mass_inside(heat, LESION) == pytest.approx(0.75)
    assert np.isnan(mass_inside(np.zeros((10, 10)), LESION))


def test_chance_is_the_share_of_the_area():
    assert chance_level(LESION) == pytest.approx(0.08)
    assert chance_level(LESION, tolerance=1) == pytest.approx((8 + 12) / 100)  # its 12 neighbours, without corners
    assert mass_inside(np.ones((10, 10)), LESION) == pytest.approx(chance_level(LESION))
    found = np.mean([hits(spot((row, column)), LESION, 1) for row in range(10) for column in range(10)])
    assert found == pytest.approx(chance_level(LESION, 1))


@given(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 9)), st.floats(0.1, 10))
def test_volumes_and_any_scale(place, scale):
    heat = np.random.default_rng(0).random((3, 10, 10))
    heat[place] = 2.0
    lesion = np.stack([LESION] * 3)
    assert hits(heat, lesion) == bool(lesion[place])
    assert hits(scale * heat - 1, lesion) == hits(heat, lesion)
    assert mass_inside(scale * heat, lesion) == pytest.approx(mass_inside(heat, lesion))


def test_what_cannot_be_compared_is_said():
    with pytest.raises(ValueError, match="the mask"):
        hits(np.zeros((5, 5)), LESION)
    with pytest.raises(ValueError, match="empty"):
        mass_inside(np.zeros((5, 5)), np.zeros((5, 5)))
