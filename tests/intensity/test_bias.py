"""N4 takes a known shading out of real brains, the same way each time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medtl.errors import ScanError
from medtl.intensity.bias import correct_bias
from medtl.scans import Scan, read


@pytest.fixture(scope="module")
def brain(shared_data: Path) -> Scan:
    """A slab of a real volume, coarse: (60, 60, 45) voxels of 4 mm."""
    scan = read(sorted((shared_data / "brain-mr").glob("*.nii.gz"))[0])
    return replace(scan, pixels=np.ascontiguousarray(scan.pixels[::2, ::2, ::2]), spacing=(4.0, 4.0, 4.0))


def shading(shape: tuple[int, ...]) -> np.ndarray:
    """A coil on one side: from 0.6 to 1.4 along one axis and a bow along another."""
    first, second, _ = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    return (1 + 0.4 * first - 0.2 * second**2).astype(np.float32)


def test_a_known_shading_goes(brain: Scan) -> None:
    """What is left of it, against the volume that was not shaded: less than half its variation."""
    field = shading(brain.pixels.shape)
    plain = correct_bias(brain, shrink=3).pixels
    corrected = correct_bias(replace(brain, pixels=brain.pixels * field), shrink=3).pixels
    tissue = plain > plain.mean()
    left = corrected[tissue] / plain[tissue]
    assert np.std(left) / np.mean(left) < np.std(field[tissue]) / np.mean(field[tissue]) / 2


def test_it_is_simpleitks_own_filter(brain: Scan) -> None:
    image = sitk.GetImageFromArray(brain.pixels)
    image.SetSpacing((4.0, 4.0, 4.0))
    mask = sitk.OtsuThreshold(image, 0, 1)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations((50, 50, 50, 50))
    n4.Execute(sitk.Shrink(image, (3, 3, 3)), sitk.Shrink(mask, (3, 3, 3)))
    expected = sitk.GetArrayFromImage(image / sitk.Exp(n4.GetLogBiasFieldAsImage(image)))
    np.testing.assert_allclose(correct_bias(brain, shrink=3).pixels, expected, rtol=0.01, atol=0.5)


def test_the_same_scan_gives_the_same_pixels_on_any_number_of_threads(brain: Scan) -> None:
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    first = correct_bias(brain).pixels
    try:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
        with ThreadPoolExecutor(2) as pool:
            for again in pool.map(correct_bias, [brain, brain]):
                np.testing.assert_array_equal(again.pixels, first)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def test_padding_and_pixels_at_zero_stay_as_they_are(brain: Scan) -> None:
    pixels = brain.pixels.copy()
    pixels[:, :6], pixels[:, 6:9] = -2000, 0
    corrected = correct_bias(replace(brain, pixels=pixels, header={"padding": (-2000.0, -2000.0)}))
    assert (corrected.pixels[:, :6] == -2000).all() and (corrected.pixels[:, 6:9] == 0).all()
    assert corrected.header["padding"] == (-2000.0, -2000.0)
    assert np.isfinite(corrected.pixels).all() and not np.array_equal(corrected.pixels[:, 9:], pixels[:, 9:])


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_few_slices_will_do(brain: Scan, slices: int) -> None:
    few = replace(brain, pixels=brain.pixels[28 : 28 + slices] + 1, spacing=(float("nan"), 4.0, 4.0))
    corrected = correct_bias(few)
    assert corrected.pixels.shape == few.pixels.shape and corrected.pixels.dtype == np.float32
    assert np.isfinite(corrected.pixels).all() and corrected.pixels.min() > 0
    assert np.corrcoef(corrected.pixels.ravel(), few.pixels.ravel())[0, 1] > 0.9


def test_what_cannot_be_done_is_a_scan_error() -> None:
    with pytest.raises(ScanError, match="several channels"):
        correct_bias(Scan(np.ones((1, 9, 9, 3), np.float32)))
    pixels = np.full((1, 9, 9), 7.0, np.float32)
    pixels[0, 2, 2] = -2000
    with pytest.raises(ScanError, match="nothing to see"):
        correct_bias(Scan(pixels, header={"padding": (-2000.0, -2000.0)}))
    with pytest.raises(ScanError, match="no pixel is above zero"):
        correct_bias(Scan(-np.arange(81, dtype=np.float32).reshape(1, 9, 9)))
