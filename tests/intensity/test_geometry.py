"""Resampling against MONAI's, and each voxel's place in the patient against itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Spacing

from medtl.errors import ScanError
from medtl.intensity.geometry import resample
from medtl.scans import Scan

AFFINE = np.array([[0.0, 0.0, -0.7, 80.0], [0.0, -0.7, 0.0, 90.0], [5.0, 0.0, 0.0, -300.0], [0.0, 0.0, 0.0, 1.0]])
SPACING = (5.0, 0.7, 0.7)


def a_volume(*shape: int, **facts) -> Scan:
    return Scan(np.random.default_rng(0).random(shape or (10, 21, 30)).astype(np.float32), AFFINE, "CT", SPACING, facts)


def by_monai(scan: Scan, spacing: tuple[float, ...]) -> MetaTensor:
    volume = MetaTensor(torch.from_numpy(scan.pixels)[None], affine=torch.from_numpy(scan.affine))
    return Spacing(spacing, mode="bilinear", padding_mode="border", dtype=np.float64)(volume)


@pytest.mark.parametrize("spacing", [(2.0, 0.5, 0.6), (5.0, 0.35, 0.7), (1.7, 0.31, 0.69), (2.5, 0.35, 0.35)])
def test_smaller_voxels_are_monais(spacing):
    scan = a_volume()
    ours, monai = resample(scan, spacing), by_monai(scan, spacing)
    np.testing.assert_allclose(ours.pixels, monai.numpy()[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.affine, monai.affine.numpy(), atol=1e-9)
    assert ours.spacing == pytest.approx(spacing)


@pytest.mark.parametrize("spacing", [(10.0, 1.4, 0.7), (6.0, 1.1, 0.9)])
def test_larger_voxels_lie_where_monais_do(spacing):
    scan = a_volume()
    ours, monai = resample(scan, spacing), by_monai(scan, spacing)
    assert ours.pixels.shape == tuple(monai.shape[1:])
    np.testing.assert_allclose(ours.affine, monai.affine.numpy(), atol=1e-9)


def test_a_slope_stays_the_same_slope_in_the_patient():
    """Value = place in the patient, before and after, where the Gaussian does not reach over the edge."""
    index = np.moveaxis(np.indices((12, 40, 50)), 0, -1)
    place = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    scan = Scan((place @ [0.3, -0.2, 0.5]).astype(np.float32), AFFINE, "CT", SPACING)
    for spacing in ((2.0, 0.5, 0.6), (8.0, 1.5, 1.0), (None, 2.1, None)):
        new = resample(scan, spacing)
        there = np.moveaxis(np.indices(new.pixels.shape), 0, -1) @ new.affine[:3, :3].T + new.affine[:3, 3]
        inner = (slice(2, -2), slice(5, -5), slice(5, -5))
        np.testing.assert_allclose(new.pixels[inner], (there @ [0.3, -0.2, 0.5])[inner], atol=2e-4)


def test_fine_stripes_fade_rather_than_fold():
    stripes = np.cos(np.arange(240) * 2 * np.pi / 2.5)[None, None] * np.ones((1, 240, 1))
    scan = Scan(stripes.astype(np.float32), AFFINE, "", (1.0, 1.0, 1.0))
    assert np.abs(resample(scan, (None, None, 4.0)).pixels[:, :, 2:-2]).max() < 0.02
    monai = Spacing((1.0, 1.0, 4.0), mode="bilinear")(
        MetaTensor(torch.from_numpy(scan.pixels)[None], affine=torch.eye(4))
    )
    assert monai.abs().max() > 0.5  # a coarse stripe that is not there


def test_none_and_a_single_slice_keep_an_axis():
    scan = a_volume(1, 20, 20)
    new = resample(scan, (2.0, None, 0.35))
    assert new.pixels.shape == (1, 20, 39) and new.spacing == pytest.approx((5.0, 0.7, 0.35))
    assert resample(scan, (None, None, None)) is scan
    assert resample(scan, SPACING) is scan


def test_padding_is_not_mixed_into_the_picture():
    pixels = np.full((4, 30, 30), 100.0, np.float32)
    pixels[:, :, 15:] = -2000
    scan = Scan(pixels, AFFINE, "CT", SPACING, {"padding": (-2000.0, -2000.0)})
    new = resample(scan, (5.0, 0.5, 1.3)).pixels
    np.testing.assert_allclose(new[new != -2000], 100, rtol=1e-4)
    assert 0.4 < np.mean(new == -2000) < 0.6


def test_channels_are_resampled_each():
    scan = a_volume(6, 9, 9)
    many = Scan(np.stack([scan.pixels, 2 * scan.pixels], axis=-1), AFFINE, "CT", SPACING)
    one = resample(scan, (3.0, 0.9, 0.5)).pixels
    np.testing.assert_allclose(resample(many, (3.0, 0.9, 0.5)).pixels, np.stack([one, 2 * one], axis=-1), rtol=1e-5)


def test_an_unknown_spacing_is_refused_and_kept_where_it_may_be():
    unknown = Scan(np.ones((3, 9, 9), np.float32), None, "", (float("nan"), 1.0, 1.0))
    with pytest.raises(ScanError, match="between slices"):
        resample(unknown, (1.0, 1.0, 1.0))
    assert resample(unknown, (None, 2.0, 2.0)).pixels.shape == (3, 5, 5)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 20), st.integers(1, 20)),
    spacing=st.tuples(*[st.floats(0.2, 30.0)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_values_stay_within_their_range_and_the_first_voxel_in_place(shape, spacing):
    scan = a_volume(*shape)
    new = resample(scan, spacing)
    assert new.pixels.dtype == np.float32 and new.pixels.size
    assert scan.pixels.min() - 1e-5 <= new.pixels.min() and new.pixels.max() <= scan.pixels.max() + 1e-5
    np.testing.assert_allclose(new.affine[:3, 3], AFFINE[:3, 3])
