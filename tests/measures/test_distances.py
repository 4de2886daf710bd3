"""The proxy A-distance knows its two ends."""

import numpy as np
import pytest

from medtl.measures import proxy_a_distance

RNG = np.random.default_rng(0)


def test_alike_is_near_0_and_apart_is_2():
    a = RNG.normal(size=(200, 8))
    assert proxy_a_distance(a, RNG.normal(size=(200, 8))) < 0.4
    assert proxy_a_distance(a, RNG.normal(size=(200, 8)) + 8) == pytest.approx(2, abs=0.03)


def test_between_it_is_the_error_of_the_best_line():
    # Two normals 1 apart: the best line errs on 30.9 %, so 2 (1 - 2 x 0.309) = 0.77.
    a, b = RNG.normal(size=(3000, 1)), RNG.normal(size=(3000, 1)) + 1
    assert proxy_a_distance(a, b) == pytest.approx(0.766, abs=0.08)


def test_a_larger_site_is_no_further_away():
    assert proxy_a_distance(RNG.normal(size=(100, 4)), RNG.normal(size=(3000, 4))) < 0.5


def test_scale_of_a_feature_does_not_matter_and_too_few_scans_are_nan():
    a, b = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 3)) + 0.7
    scale = np.array([1, 1000, 0.001])
    assert proxy_a_distance(a, b) == pytest.approx(proxy_a_distance(a * scale, b * scale))
    assert np.isnan(proxy_a_distance(a[:1], b))
