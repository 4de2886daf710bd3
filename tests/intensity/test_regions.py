"""What is cut away is no patient, and what stays lies where it lay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import CropForeground
from scipy import ndimage

from medtl.errors import ScanError
from medtl.intensity.regions import crop_border, crop_to_body, crop_to_foreground, crop_to_region
from medtl.scans import Scan, read

AFFINE = np.array([[0.0, 0.0, -0.7, 80.0], [0.0, -0.7, 0.0, 90.0], [5.0, 0.0, 0.0, -300.0], [0.0, 0.0, 0.0, 1.0]])


def where(scan: Scan, value: float) -> np.ndarray:
    """RAS+ mm of the voxel of this value."""
    assert scan.affine is not None
    index = np.argwhere(scan.pixels == value)[0]
    return (scan.affine @ [*index[:3], 1])[:3]


def test_regions_and_place_move_with_the_crop():
    pixels = np.arange(2 * 30 * 40, dtype=np.float32).reshape(2, 30, 40)
    header = {"regions": [(5, 4, 20, 30), (10, 8, 25, 35)]}
    scan = Scan(pixels, AFFINE, "US", (5.0, 0.7, 0.7), header)
    cropped = crop_to_region(scan)
    assert cropped.pixels.shape == (2, 20, 31)
    assert cropped.header["regions"] == [(0, 0, 15, 26), (5, 4, 20, 31)]
    np.testing.assert_allclose(where(cropped, pixels[1, 12, 13]), where(scan, pixels[1, 12, 13]))


@pytest.mark.parametrize("regions", [None, [], [(0, 0, 30, 40)], [(9, 9, 3, 3)]])
def test_without_a_region_a_scan_stays(regions):
    scan = Scan(np.ones((1, 30, 40), np.float32), header={"regions": regions} if regions is not None else {})
    assert crop_to_region(scan) is scan


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12)),
    margin=st.integers(0, 4),
    above=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_foreground_is_monais(shape, margin, above, seed):
    generator = np.random.default_rng(seed)
    pixels = (generator.random(shape) * (generator.random(shape) > 0.8)).astype(np.float32)
    scan = Scan(pixels, AFFINE)
    if not (pixels > above).any():
        with pytest.raises(ScanError, match="no pixel is brighter"):
            crop_to_foreground(scan, above, margin)
        return
    monai = CropForeground(lambda values: values > above, margin=margin, allow_smaller=True)(pixels[None])
    cropped = crop_to_foreground(scan, above, margin)
    np.testing.assert_array_equal(cropped.pixels, np.asarray(monai)[0])
    np.testing.assert_allclose(where(cropped, pixels.max()), where(scan, pixels.max()))


def patient_on_a_table(attached: bool = False) -> Scan:
    """12 slices of 5 mm: an oval trunk with lungs, in air; under it a table 3 mm thick. HU."""
    y, x = np.mgrid[:160, :200]
    oval = ((y - 70) / 45) ** 2 + ((x - 100) / 70) ** 2 < 1
    lung = ((y - 65) / 22) ** 2 + ((np.abs(x - 100) - 35) / 18) ** 2 < 1
    pixels = np.full((12, 160, 200), -1000.0, np.float32)
    pixels[2:, oval] = 40
    pixels[2:, lung] = -850
    pixels[:, 117 if attached else 125 :, :][:, :2, 20:180] = 200
    pixels += np.random.default_rng(0).normal(0, 20, pixels.shape).astype(np.float32)
    return Scan(pixels, AFFINE, "CT", (5.0, 1.5, 1.5))


def test_the_body_is_kept_and_the_table_goes():
    scan = patient_on_a_table()
    body = crop_to_body(scan, margin=5.0)
    body_mask = scan.pixels > -500
    body_mask[:, 117:] = False
    kept = crop_to_body(Scan(body_mask.astype(np.float32) * 1000 - 1000, AFFINE, "CT", scan.spacing), margin=5.0)
    assert body.pixels.shape == kept.pixels.shape
    assert (body.pixels > -500).sum() >= body_mask.sum()  # no voxel of the patient is lost
    assert body.pixels.shape[0] == 11  # two slices of air: one is the margin of 5 mm
    assert body.pixels.shape[1] <= 89 + 2 * 3 and body.pixels.shape[2] <= 139 + 2 * 3
    value = scan.pixels[5, 70, 100]
    np.testing.assert_allclose(where(body, value), where(scan, value))


def test_a_table_that_touches_the_back_goes_too():
    assert crop_to_body(patient_on_a_table(attached=True)).pixels.shape[1] <= 89 + 2 * 3


def test_large_slices_are_cut_to_whole_pixels_around_the_body():
    small = patient_on_a_table()
    large = Scan(np.kron(small.pixels, np.ones((1, 4, 4), np.float32)), None, "CT", (5.0, 0.375, 0.375))
    large = Scan(large.pixels[:, :-3, :-1], None, "CT", large.spacing)
    rows, columns = crop_to_body(large).pixels.shape[1:]
    assert 89 * 4 <= rows <= 89 * 4 + 2 * 18 and 139 * 4 <= columns <= 139 * 4 + 2 * 18


def test_air_alone_is_refused():
    with pytest.raises(ScanError, match="-500 HU"):
        crop_to_body(Scan(np.full((2, 9, 9), -1000.0, np.float32)))


def test_a_real_head_leaves_its_holder(shared_data):
    from pydicom.data import get_testdata_file

    head = read(get_testdata_file("J2K_pixelrep_mismatch.dcm"))  # skin, both ears
    cropped = crop_to_body(head)
    assert cropped.pixels.shape[1] * cropped.pixels.shape[2] < 0.85 * 512 * 512
    assert (cropped.pixels > -200).sum() > 0.999 * (head.pixels > -200).sum()


def films(shared_data, each: int) -> list[np.ndarray]:
    """Radiographs of four hospitals, without the frames that they came with."""
    found = []
    for folder in ("tb/new-delhi", "tb/yakutia", "cxr/guangzhou", "cxr/nih"):
        files = sorted(file for file in (shared_data / folder).rglob("*") if file.suffix in (".jpg", ".png", ".jpeg"))
        for file in files[:: len(files) // each][:each]:
            film = read(file).pixels[0]
            found.append(film if film.ndim == 2 else film.mean(axis=-1))
    return found


def framed(film: np.ndarray, value: float, degrees: float, generator: np.random.Generator) -> tuple[Scan, np.ndarray]:
    """A film within a noisy frame, turned, and where the film is."""
    around = [tuple((side * generator.uniform(0.04, 0.15, 2)).astype(int)) for side in film.shape]
    picture = np.pad(film, around, constant_values=value)
    there = np.pad(np.ones_like(film), around)
    if degrees:
        picture = ndimage.rotate(picture, degrees, reshape=False, order=1, cval=value)
        there = ndimage.rotate(there, degrees, reshape=False, order=0)
    noisy = np.clip(picture + generator.normal(0, 1, picture.shape), 0, 255)
    return Scan(noisy[None].astype(np.float32), np.eye(4), "DX"), there > 0.5


@pytest.mark.parametrize("value", [0, 12, 255])
@pytest.mark.parametrize("degrees", [0, -3])
def test_frames_are_cut_and_films_are_not(shared_data, value, degrees):
    """Bright frames and frames that slant too; of the film nothing is lost but black edges of its own."""
    generator = np.random.default_rng(7)
    lost, left, before = [], [], []
    for film in films(shared_data, 5):
        film = crop_border(Scan(film[None])).pixels[0]  # its own frame is not the test's
        scan, there = framed(film, value, degrees, generator)
        cropped = crop_border(scan)
        (top, left_edge), (rows, columns) = cropped.affine[1:3, 3].astype(int), cropped.pixels.shape[1:]
        inside = there[top : top + rows, left_edge : left_edge + columns]
        shows = there & (np.abs(scan.pixels[0] - value) > 12)
        lost.append(1 - shows[top : top + rows, left_edge : left_edge + columns].sum() / shows.sum())
        left.append(1 - inside.mean())
        before.append(1 - there.mean())
    assert max(lost) < 0.02 and np.median(lost) < 0.002
    assert np.median(left) < 0.6 * np.median(before)


def test_films_without_a_frame_stay(shared_data):
    """Of the pixels that real films came with hardly any are cut, and those that are, are even."""
    shares = []
    for film in films(shared_data, 25):
        cropped = crop_border(Scan(film[None])).pixels[0]
        shares.append(1 - cropped.size / film.size)
        dark = film.min() + 0.1 * np.ptp(film)
        assert (cropped > dark).sum() > 0.995 * (film > dark).sum()
    assert np.mean(shares) < 0.02 and np.mean(np.array(shares) == 0) > 0.7


def test_a_patient_in_air_is_no_frame():
    y, x = np.mgrid[:300, :300]
    trunk = 200.0 * (((y - 160) / 130) ** 2 + ((x - 150) / 110) ** 2 < 1)
    scan = Scan(trunk[None].astype(np.float32))
    assert crop_border(scan) is scan


def test_a_letter_in_the_frame_goes_with_it_and_an_arm_that_reaches_in_stays():
    film = np.random.default_rng(0).uniform(90, 200, (200, 200))
    picture = np.pad(film, 40)
    picture[10:22, 180:189] = 250  # a letter
    assert crop_border(Scan(picture[None].astype(np.float32))).pixels.shape == (1, 200, 200)
    picture[20:40, 60:120] = 150  # an arm, as far as row 20
    cropped = crop_border(Scan(picture[None].astype(np.float32)))
    assert cropped.pixels.shape == (1, 220, 200)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (2, 64, 64), (1, 33, 2000)])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_even_and_tiny_pictures_stay(shape, value):
    scan = Scan(np.full(shape, value, np.float32))
    assert crop_border(scan) is scan


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 80), st.integers(1, 80)),
    levels=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    colour=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_pixels_a_third_of_each_side_stays(shape, levels, seed, colour):
    noise = np.random.default_rng(seed).integers(0, levels, (*shape, 3) if colour else shape)
    cropped = crop_border(Scan(noise.astype(np.float32)))
    assert all(new >= 0.3 * old for new, old in zip(cropped.pixels.shape[1:3], shape[1:], strict=True))
