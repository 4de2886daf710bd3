"""Grey values of one cohort for all: against scikit-image, against hand-computed landmarks, and on real scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import match_histograms

from medtl.errors import InputError, ScanError
from medtl.intensity import RECIPES
from medtl.intensity.grey import percentile_window, z_score
from medtl.intensity.histograms import (
    LANDMARKS,
    QUANTILES,
    landmarks,
    learn_histogram,
    learn_landmarks,
    match_histogram,
)
from medtl.intensity.recipes import harmonised
from medtl.scans import Scan, read

STEPS = [(landmarks, learn_landmarks), (match_histogram, learn_histogram)]


def a_scan(seed: int, shape: tuple[int, ...] = (1, 40, 50), low: float = -0.9, high: float = 0.9) -> Scan:
    """Grey values in the grey range, skewed as those of scans are."""
    random = np.random.default_rng(seed)
    return Scan((low + (high - low) * random.beta(1 + random.random(), 3, shape)).astype(np.float32))


def real_pairs(shared: Path, n: int) -> list[tuple[Scan, Scan]]:
    """Ultrasounds of Brazil, each with one of Egypt."""
    brazil, egypt = (sorted((shared / "ultrasound" / site).rglob("*.jp*g"))[:n] for site in ("brazil", "egypt"))
    assert len(brazil) == n
    return [
        (percentile_window(read(one)), percentile_window(read(two))) for one, two in zip(brazil, egypt, strict=True)
    ]


# ---- landmarks


def test_landmarks_are_a_hand_computed_piecewise_map() -> None:
    """Nyúl's percentiles of the foreground: of 101 values each percentile is one of them."""
    foreground = np.linspace(0.1, 0.6, 101)  # percentile p is 0.1 + 0.005 p
    dark = np.linspace(-0.9, -0.8, 400)  # far below the mean, no foreground
    scan = Scan(np.concatenate([dark, foreground]).astype(np.float32).reshape(1, 3, 167))
    assert scan.pixels.mean() < 0.1
    (learnt,) = learn_landmarks([scan])["scale"]
    np.testing.assert_allclose(learnt, 0.1 + 0.005 * np.array(LANDMARKS), atol=1e-5)
    wanted = [-0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.8]
    mapped = landmarks(scan, [wanted]).pixels.reshape(-1)[400:]
    np.testing.assert_allclose(mapped[list(LANDMARKS)], wanted, atol=1e-5)
    np.testing.assert_allclose(mapped[55], 0.05, atol=1e-5)  # half-way between the 50th and 60th percentile
    np.testing.assert_allclose(mapped[100], 0.8 + 0.2 * 0.005 / (1 - 0.595), atol=1e-5)  # on the way to white
    first = landmarks(scan, [wanted]).pixels.reshape(-1)[0]
    np.testing.assert_allclose(first, -1 + 0.1 * 0.5 / 1.105, atol=1e-5)  # on the way from black to the first landmark


def test_a_saturated_scan_has_no_scale_and_is_left_out() -> None:
    pixels = a_scan(0).pixels.copy()
    pixels[pixels > pixels.mean()] = 0.9
    saturated = Scan(pixels)
    assert learn_landmarks([saturated, a_scan(1)]) == learn_landmarks([a_scan(1)])
    assert np.isfinite(landmarks(saturated, **learn_landmarks([a_scan(1)])).pixels).all()
    with pytest.raises(InputError, match="in every scan all that is bright has one value"):
        learn_landmarks([saturated, saturated])


def test_the_standard_scale_is_the_mean_after_the_ends_were_made_common() -> None:
    scans = [a_scan(seed) for seed in range(5)]
    each = np.array([learn_landmarks([scan])["scale"][0] for scan in scans])
    start, end = each[:, 0].mean(), each[:, -1].mean()
    stretched = start + (each - each[:, :1]) / (each[:, -1:] - each[:, :1]) * (end - start)
    np.testing.assert_allclose(learn_landmarks(scans)["scale"][0], stretched.mean(axis=0), atol=2e-5)


@pytest.mark.parametrize("gain", [0.5, 0.8])
@pytest.mark.parametrize("shift", [-0.2, 0.1])
def test_landmarks_undo_another_gain_and_level(gain: float, shift: float) -> None:
    scan = a_scan(3, (4, 30, 30))
    other = replace(scan, pixels=scan.pixels * np.float32(gain) + np.float32(shift))
    learnt = learn_landmarks([scan])
    first, last = (learnt["scale"][0][end] for end in (0, -1))
    between = (scan.pixels >= first) & (scan.pixels <= last)
    undone = landmarks(other, **learnt).pixels
    np.testing.assert_allclose(undone[between], scan.pixels[between], atol=1e-4)


# ---- histograms


def test_matching_to_one_picture_is_scikit_images() -> None:
    source, reference = a_scan(1, (1, 200, 256)), a_scan(2, (1, 200, 250), low=-0.5)
    expected = match_histograms(source.pixels, reference.pixels)
    matched = match_histogram(source, **learn_histogram([reference])).pixels
    np.testing.assert_allclose(matched, expected, rtol=0, atol=0.02)
    assert np.quantile(np.abs(matched - expected), 0.999) < 0.005


def test_matching_real_ultrasound_is_scikit_images_but_for_the_black(shared_data: Path) -> None:
    for source, reference in real_pairs(shared_data, 6):
        shown = source.pixels > -1
        expected = match_histograms(source.pixels[shown], reference.pixels[reference.pixels > -1])
        matched = match_histogram(source, **learn_histogram([reference])).pixels
        assert (matched[~shown] == -1).all()
        off = np.abs(matched[shown] - expected)
        assert off.mean() < 0.01
        assert np.quantile(off, 0.99) < 0.03


def test_matching_brings_two_hospitals_together(shared_data: Path) -> None:
    """The distance between their mean distributions (Wasserstein's) falls to a tenth, on scans not learnt from."""
    pairs = real_pairs(shared_data, 24)
    learnt = learn_histogram([one for one, _ in pairs])
    brazil = np.array(learnt["quantiles"])
    egypt = np.array(learn_histogram([two for _, two in pairs])["quantiles"])
    matched = np.array(learn_histogram([match_histogram(two, **learnt) for _, two in pairs])["quantiles"])
    assert np.abs(matched - brazil).mean() < 0.1 * np.abs(egypt - brazil).mean()


def test_the_cohorts_quantiles_are_the_mean_of_its_scans() -> None:
    scans = [a_scan(seed, shape) for seed, shape in enumerate([(1, 30, 30), (2, 50, 20), (1, 9, 9)])]
    each = [learn_histogram([scan])["quantiles"] for scan in scans]
    np.testing.assert_allclose(learn_histogram(scans)["quantiles"], np.mean(each, axis=0), atol=2e-5)


# ---- both


@pytest.mark.parametrize(("step", "learn"), STEPS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([2, 3, 16, 255, 10**6]), spread=st.floats(0.05, 1.0))
def test_brighter_stays_brighter_and_black_stays_black(step, learn, seed: int, levels: int, spread: float) -> None:
    """Of few grey values or many, narrow or wide, with a black border or without."""
    random = np.random.default_rng(seed)
    learnt = learn([a_scan(seed + 1), a_scan(seed + 2)])
    values = np.round(random.random((1, 20, 20)) * levels) / levels * 2 * spread - 1
    values[:, : random.integers(0, 10)] = -1
    values[0, -1, :2] = -1, -1 + 2 * spread
    scan = Scan(values.astype(np.float32))
    before = scan.pixels.copy()
    try:
        mapped = step(scan, **learnt).pixels
    except ScanError as error:  # of two grey values one is black
        assert "nothing to see" in str(error)
        return
    order = np.argsort(scan.pixels, axis=None)
    assert np.diff(mapped.reshape(-1)[order]).min() >= 0
    assert mapped.min() >= -1 and mapped.max() <= 1 and mapped.dtype == np.float32
    assert (mapped[scan.pixels == -1] == -1).all()
    np.testing.assert_array_equal(scan.pixels, before)


@pytest.mark.parametrize(("step", "learn"), STEPS)
def test_each_channel_has_its_own(step, learn) -> None:
    channels = [a_scan(seed, (2, 20, 30)).pixels for seed in range(4)]
    several = Scan(np.stack(channels[:2], axis=-1)), Scan(np.stack(channels[2:], axis=-1))
    mapped = step(several[1], **learn([several[0]])).pixels
    assert mapped.shape == (2, 20, 30, 2)
    for channel in range(2):
        alone = step(Scan(channels[2 + channel]), **learn([Scan(channels[channel])])).pixels
        np.testing.assert_array_equal(mapped[..., channel], alone)


@pytest.mark.parametrize(("step", "learn"), STEPS)
def test_in_the_place_of_an_intensity_step_values_may_be_any(step, learn) -> None:
    """HU, 12 bits and padding: the same as after the percentile window, so that all hospitals' files will do."""
    hounsfield = Scan(a_scan(4).pixels * 1000 + 200, header={"padding": (-2000.0, -2000.0)})
    hounsfield.pixels[:, :5] = -2000
    learnt = learn([hounsfield, a_scan(5)])
    assert learnt == learn([percentile_window(hounsfield), a_scan(5)])
    mapped = step(hounsfield, **learnt)
    np.testing.assert_array_equal(mapped.pixels, step(percentile_window(hounsfield), **learnt).pixels)
    assert (mapped.pixels[:, :5] == -1).all() and "padding" not in mapped.header


@pytest.mark.parametrize(("step", "learn"), STEPS)
def test_what_cannot_be_done_is_said(step, learn) -> None:
    with pytest.raises(InputError, match=r"has not been fitted: call recipe\.fit"):
        step(a_scan(1))
    with pytest.raises(InputError, match="no scan shows anything"):
        learn([])
    with pytest.raises(InputError, match="no scan shows anything"):
        learn([Scan(np.full((1, 4, 4), -1, np.float32))])
    with pytest.raises(InputError, match=r"fitted to \(1, \d+\) values and needs \(3, \d+\)"):
        step(Scan(a_scan(1, (1, 9, 9, 3)).pixels), **learn([a_scan(1)]))
    with pytest.raises(InputError, match="have 1 and 3 channels"):
        learn([a_scan(1), Scan(a_scan(1, (1, 9, 9, 3)).pixels)])
    with pytest.raises(ScanError, match="nothing to see"):
        step(Scan(np.full((1, 4, 4), -1, np.float32)), **learn([a_scan(1)]))


@pytest.mark.parametrize("name", ["landmarks", "histogram"])
def test_a_harmonised_mr_recipe_learns_on_real_volumes(name: str, shared_data: Path) -> None:
    """Volumes of another gain and offset then look as those that were learnt from."""
    files = sorted((shared_data / "brain-mr").glob("*.nii.gz"))[:4]
    scans = [read(file) for file in files]
    recipe = harmonised(replace(RECIPES["mr"], size=48), [name])
    assert recipe.needs_fit
    assert [step.name for step in recipe.steps][-1] == "choose_slices"
    fitted = recipe.fit(iter(scans[:3]))
    assert not fitted.needs_fit and len(np.ravel(list(fitted.steps[-2].parameters.values()))) in (11, QUANTILES)
    pixels = fitted(scans[3])
    assert pixels.shape == (16, 1, 48, 48) and pixels.min() >= -1 and pixels.max() <= 1
    brighter = replace(scans[3], pixels=(scans[3].pixels * 3.7).astype(np.float32))
    np.testing.assert_allclose(fitted(brighter), pixels, atol=2e-3)
    plain = z_score(scans[3]).pixels
    assert np.abs(fitted.steps[-2](Scan(plain)).pixels - plain).max() > 0.05  # it does something
