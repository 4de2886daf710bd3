"""CLAHE against scikit-image's, and black borders against turning grey."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import equalize_adapthist

from medtl.intensity.contrast import clahe
from medtl.intensity.recipes import RECIPES
from medtl.scans import Scan


def test_it_is_scikit_images_slice_by_slice():
    pixels = np.random.default_rng(0).uniform(-0.99, 0.9, (2, 80, 64)).astype(np.float32)
    done = clahe(Scan(pixels), clip_limit=0.02).pixels
    for new, old in zip(done, pixels, strict=True):
        unit = (old - old.min()) / np.ptp(old)
        np.testing.assert_allclose(new, 2 * equalize_adapthist(unit, (10, 8), 0.02) - 1, atol=1e-4)


def test_faint_structure_beside_a_bright_half_gains_contrast():
    y, x = np.mgrid[:128, :128]
    faint = -0.9 + 0.01 * ((x // 4 + y // 4) % 2) + 1.5 * (x > 64)
    done = clahe(Scan(faint[None].astype(np.float32))).pixels[0]
    contrast = done[:, :60].std() / faint[:, :60].std()
    assert contrast > 1.3


def test_a_black_border_stays_black():
    pixels = np.full((1, 100, 100), -1.0, np.float32)
    pixels[:, 20:80, 20:80] = np.random.default_rng(0).uniform(-0.9, 1, (60, 60))
    done = clahe(Scan(pixels)).pixels
    assert (done[pixels == -1] == -1).all() and done.max() > 0.9


def test_channels_are_equalised_each():
    grey = np.random.default_rng(0).uniform(-1, 1, (1, 40, 40)).astype(np.float32)
    colour = np.stack([grey, grey * 0.5, grey], axis=-1)
    done = clahe(Scan(colour)).pixels
    np.testing.assert_allclose(done[..., 0], clahe(Scan(grey)).pixels, atol=1e-6)
    assert done.shape == colour.shape


def test_the_recipe_keeps_the_aspect():
    film = np.random.default_rng(0).uniform(0, 255, (1, 100, 50)).astype(np.float32)
    shown = RECIPES["radiograph-clahe"](Scan(film, None, "DX"))[0, 0]
    assert (shown[:, :28] == -1).all() and (shown[:, 84:] == -1).all() and shown[:, 30:80].std() > 0.1


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)), levels=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_whatever_the_pixels_grey_stays_in_range(shape, levels):
    noise = np.random.default_rng(0).integers(0, levels, shape) / 4.0 * 2 - 1
    done = clahe(Scan(noise.astype(np.float32))).pixels
    assert done.dtype == np.float32 and done.shape == shape
    assert np.isfinite(done).all() and done.min() >= -1 and done.max() <= 1
