"""Each step against MONAI's, torch's or nibabel's of the same kind, and the place in the patient against itself."""

from __future__ import annotations

import monai.transforms as mt
import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.intensity import colour, geometry, steps
from medtl.scans import Scan

RANDOM = np.random.default_rng(0)
CLOSE = {"rtol": 0, "atol": 2e-5}


def a_scan(*shape: int, low: float = 0.0, high: float = 255.0, **facts) -> Scan:
    return Scan(RANDOM.uniform(low, high, shape).astype(np.float32), **facts)


def monai(transform, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(transform(torch.from_numpy(pixels.copy())[None]))[0]  # some work in place


# ---- what is no picture


def test_crop_to_region_is_monais_spatial_crop_around_all_regions() -> None:
    affine = an_affine("LPS", (0.3, 0.2, 1.0))
    scan = a_scan(
        4, 50, 80, affine=affine, spacing=(1.0, 0.2, 0.3), header={"regions": [(7, 10, 40, 30), (9, 25, 45, 70)]}
    )
    cropped = steps.crop_to_region(scan)
    expected = mt.SpatialCrop(roi_start=(0, 7, 10), roi_end=(4, 45, 70))(_meta(scan))
    np.testing.assert_array_equal(cropped.pixels, expected[0].numpy())
    np.testing.assert_allclose(cropped.affine, expected.affine.numpy())
    assert cropped.spacing == scan.spacing
    assert cropped.header["regions"] == [(0, 0, 33, 20), (2, 15, 38, 60)]
    np.testing.assert_array_equal(steps.crop_to_region(cropped).pixels, cropped.pixels)


@pytest.mark.parametrize("regions", [[], [(60, 10, 70, 20)], [(0, 0, 50, 80)], [(-5, -5, 500, 500)]])
def test_without_a_region_inside_the_picture_nothing_is_cropped(regions: list[tuple[int, int, int, int]]) -> None:
    scan = a_scan(2, 50, 80, header={"regions": regions})
    assert steps.crop_to_region(scan) is scan


# ---- slices and orientation


def an_affine(codes: str, spacing: tuple[float, float, float]) -> np.ndarray:
    turn = nib.orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    for axis, (world, way) in enumerate(turn):
        affine[int(world), axis] = way * spacing[axis]
    affine[:, 3] = (-12.5, 40.0, 7.25, 1)
    return affine


@pytest.mark.parametrize("codes", ["PSR", "RAS", "LPS", "SPL", "ILA", "ARI"])
def test_orient_of_axial_slices_is_monais_orientation(codes: str) -> None:
    scan = a_scan(5, 7, 9, affine=an_affine(codes, (2, 2, 2)), spacing=(2.0, 2.0, 2.0))
    volume = mt.Orientation("SPL")(_meta(scan))
    turned = steps.orient(scan)
    np.testing.assert_array_equal(turned.pixels, volume[0].numpy())
    np.testing.assert_allclose(turned.affine, volume.affine.numpy())


@pytest.mark.parametrize(("thick", "codes"), [("S", "SPL"), ("A", "PIL"), ("R", "LIP")])
@pytest.mark.parametrize("stored", ["PSR", "RAS", "LPS"])
def test_slices_are_cut_as_they_were_taken_however_they_are_stored(thick: str, codes: str, stored: str) -> None:
    opposite = dict(zip("RLAPSI", "LRPAIS", strict=True))
    spacing = tuple(5.0 if thick in (code, opposite[code]) else 1.0 for code in stored)
    scan = a_scan(5, 7, 9, affine=an_affine(stored, spacing), spacing=spacing)
    turned = steps.orient(scan)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    assert turned.spacing == (5, 1, 1)
    np.testing.assert_array_equal(turned.pixels, mt.Orientation(codes)(_meta(scan))[0].numpy())


def test_a_volume_that_does_not_know_its_place_is_cut_across_its_thickest_axis() -> None:
    assert steps.orient(a_scan(5, 7, 9, spacing=(1.0, 1.0, 4.0))).pixels.shape == (9, 5, 7)
    assert steps.orient(a_scan(5, 7, 9)).pixels.shape == (5, 7, 9)


def test_a_picture_keeps_its_slice_axis() -> None:
    affine = an_affine("LSP", (0.5, 0.5, 0.5))  # one sagittal slice upside down, thinner than its pixels
    turned = steps.orient(a_scan(1, 6, 8, affine=affine, spacing=(0.1, 0.5, 0.5)))
    assert turned.pixels.shape == (1, 6, 8)
    assert nib.aff2axcodes(turned.affine) == ("L", "I", "P")


def test_the_volume_of_a_real_brain_lies_as_a_radiologist_sees_it(shared_data) -> None:
    image = nib.load(sorted((shared_data / "brain-mr").glob("*.nii.gz"))[0])
    assert nib.aff2axcodes(image.affine) == ("P", "S", "R")
    turned = steps.orient(Scan(image.get_fdata(dtype=np.float32), image.affine, spacing=(2.0, 2.0, 2.0)))
    expected = nib.as_closest_canonical(image).get_fdata(dtype=np.float32)  # right, front, head
    np.testing.assert_array_equal(turned.pixels, expected.transpose(2, 1, 0)[:, ::-1, ::-1])


@settings(max_examples=60, deadline=None)
@given(
    slices=st.integers(1, 40),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    stored=st.sampled_from(["PSR", "RAS", "LPS", "ISL"]),
    size=st.integers(8, 64),
)
def test_every_step_keeps_the_place_in_the_patient(
    slices: int, rows: int, columns: int, stored: str, size: int
) -> None:
    """A picture of the world's own coordinates must still tell them after each step."""
    spacing = (1.5, 0.7, 0.7)
    affine = an_affine(stored, spacing)
    index = np.indices((slices, rows, columns)).reshape(3, -1)
    world = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, slices, rows, columns)
    for axis in range(3):
        scan = Scan(world[axis].astype(np.float32), affine, spacing=spacing)
        turned = steps.orient(scan)
        np.testing.assert_allclose(turned.pixels, _coordinate(turned, axis), atol=1e-3)
        fewer = steps.choose_slices(turned, 5)
        half_a_slice = turned.spacing[0] / 2 if len(turned.pixels) > 5 else 0
        assert np.abs(fewer.pixels - _coordinate(fewer, axis)).max() <= half_a_slice + 1e-3
        square = geometry.fit_square(turned, size)
        inside = _inner(square.pixels.shape[1:], turned.pixels.shape[1:3], size)
        coordinate = _coordinate(square, axis)
        np.testing.assert_allclose(square.pixels[:, *inside], coordinate[:, *inside], atol=0.1)  # a seventh of a pixel


def _coordinate(scan: Scan, axis: int) -> np.ndarray:
    index = np.indices(scan.pixels.shape[:3]).reshape(3, -1)
    assert scan.affine is not None
    return (scan.affine[axis, :3] @ index + scan.affine[axis, 3]).reshape(scan.pixels.shape[:3])


def _inner(shape: tuple[int, ...], old: tuple[int, ...], size: int) -> tuple[slice, slice]:
    """The part of the square away from the padding and from the filter's width at the picture's edge."""
    sides = []
    for length in old:
        new = max(1, round(size * length / max(old)))
        before, edge = (size - new) // 2, 1 + int(np.ceil(max(1.0, new / length)))
        sides.append(slice(before + edge, max(before + edge, before + new - edge)))
    return sides[0], sides[1]


def _meta(scan: Scan):
    from monai.data import MetaTensor

    return MetaTensor(torch.from_numpy(scan.pixels)[None], affine=torch.from_numpy(scan.affine))


@given(n_slices=st.integers(1, 300), most=st.integers(1, 32))
def test_chosen_slices_are_evenly_spaced_and_symmetric(n_slices: int, most: int) -> None:
    scan = Scan(np.arange(n_slices, dtype=np.float32)[:, None, None])
    chosen = steps.choose_slices(scan, most).pixels[:, 0, 0]
    assert len(chosen) == min(most, n_slices)
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.min() >= 1
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert abs(chosen[0] - (n_slices - 1 - chosen[-1])) <= 1


# ---- size


@pytest.mark.parametrize("shape", [(256, 256), (256, 199), (215, 256), (64, 100), (112, 112), (112, 80)])
def test_fit_square_is_torchs_antialiased_resize_and_monais_padding(shape: tuple[int, int]) -> None:
    scan = a_scan(2, *shape, low=-1, high=1)
    new = [max(1, round(112 * side / max(shape))) for side in shape]
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(scan.pixels)[None], new, mode="bilinear", antialias=True, align_corners=False
    )[0]
    expected = mt.ResizeWithPadOrCrop((112, 112), mode="constant", value=-1)(resized).numpy()
    squared = geometry.fit_square(scan, 112).pixels
    np.testing.assert_allclose(squared, expected, **CLOSE)
    np.testing.assert_allclose(squared, mt.SpatialPad((112, 112), mode="constant", value=-1)(resized), **CLOSE)


def test_enlarging_is_monais_resize_by_the_longest_side() -> None:
    scan = a_scan(1, 40, 56, low=-1, high=1)
    resized = mt.Resize(112, size_mode="longest", mode="bilinear", align_corners=False)(torch.from_numpy(scan.pixels))
    np.testing.assert_allclose(geometry.fit_square(scan, 112).pixels[:, 16:96], resized.numpy(), **CLOSE)


def test_fit_square_keeps_the_aspect_in_mm() -> None:
    squared = geometry.fit_square(Scan(np.ones((1, 50, 100), np.float32), spacing=(3.0, 2.0, 1.0)), 64)
    assert (squared.pixels == 1).all()  # 100 mm x 100 mm: nothing to pad
    assert squared.spacing == pytest.approx((3, 100 / 64, 100 / 64))


@pytest.mark.parametrize("spacing", [(np.nan, 1.0, np.nan), (np.nan, np.nan, 1.0), (1.0, 0.0, 2.0)])
def test_half_known_spacing_is_none(spacing: tuple[float, float, float]) -> None:
    half, none = (Scan(np.ones((1, 20, 40), np.float32), spacing=each) for each in (spacing, (np.nan,) * 3))
    np.testing.assert_array_equal(geometry.fit_square(half, 40).pixels, geometry.fit_square(none, 40).pixels)


def test_colours_are_resized_one_by_one() -> None:
    colour = a_scan(2, 30, 41, 3, low=-1, high=1)
    squared = geometry.fit_square(colour, 24)
    assert squared.pixels.shape == (2, 24, 24, 3)
    for channel in range(3):
        alone = geometry.fit_square(Scan(colour.pixels[..., channel]), 24)
        np.testing.assert_array_equal(squared.pixels[..., channel], alone.pixels)


def test_brightness_of_colours_is_pillows() -> None:
    from PIL import Image

    colours = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"), np.float32)
    np.testing.assert_allclose(colour.as_grey(Scan(colours[None].astype(np.float32))).pixels[0], expected, atol=0.51)
    grey = a_scan(1, 4, 4)
    np.testing.assert_allclose(colour.as_grey(colour.as_colour(grey)).pixels, grey.pixels, rtol=1e-6)
