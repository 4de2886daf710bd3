"""What of a volume a 2-D backbone sees, against slices taken by hand and MONAI's resampling."""

from __future__ import annotations

import monai.transforms as mt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.intensity import RECIPES
from medtl.intensity.geometry import orient
from medtl.intensity.overlay import fill_overlay
from medtl.intensity.recipe import Recipe, Step
from medtl.intensity.recipes import for_volumes, harmonised
from medtl.intensity.slices import choose_slices, neighbouring_slices, project
from medtl.scans import Scan
from medtl.scans.read import read_scan

RANDOM = np.random.default_rng(0)


def a_scan(*shape: int, **facts) -> Scan:
    return Scan(RANDOM.normal(size=shape).astype(np.float32), **facts)


# ---- neighbours


@settings(deadline=None)
@given(slices=st.integers(1, 60), most=st.integers(1, 20), n=st.sampled_from([1, 3, 5]))
def test_each_chosen_slice_lies_between_its_neighbours(slices: int, most: int, n: int) -> None:
    """A scan whose slices hold their own number tells which were taken."""
    scan = Scan(np.broadcast_to(np.arange(slices, dtype=np.float32)[:, None, None], (slices, 2, 3)))
    found = neighbouring_slices(scan, most, n)
    middle = choose_slices(scan, most).pixels[:, 0, 0]
    assert found.pixels.shape == (min(most, slices), 2, 3, n)
    for channel in range(n):
        expected = np.clip(middle + channel - n // 2, 0, slices - 1)
        np.testing.assert_array_equal(found.pixels[:, 1, 2, channel], expected)


def test_neighbours_keep_the_place_of_the_middle_slice() -> None:
    scan = a_scan(41, 3, 4, affine=np.diag([2.0, 1.0, 1.0, 1.0]), spacing=(2.0, 1.0, 1.0))
    found, chosen = neighbouring_slices(scan, 6), choose_slices(scan, 6)
    np.testing.assert_array_equal(found.affine, chosen.affine)
    assert found.spacing == chosen.spacing


def test_neighbours_of_windows_bring_all_their_channels() -> None:
    scan = a_scan(9, 3, 4, 2)
    found = neighbouring_slices(scan, 16, 3).pixels
    assert found.shape == (9, 3, 4, 6)
    np.testing.assert_array_equal(found[4], np.concatenate([scan.pixels[3], scan.pixels[4], scan.pixels[5]], axis=-1))


# ---- projections


def test_projections_of_cubes_are_the_largest_values_along_each_axis() -> None:
    scan = a_scan(8, 8, 8, spacing=(1.5, 1.5, 1.5), affine=np.zeros((4, 4)))  # an affine that tells nothing
    found = project(scan)
    np.testing.assert_array_equal(found.pixels, np.stack([scan.pixels.max(axis=axis) for axis in range(3)]))
    assert found.affine is None and found.spacing[1:] == (1.5, 1.5)


def test_projections_are_true_in_mm_and_share_a_square() -> None:
    """A bright block of 20 x 20 x 20 mm is a square of one size in each projection."""
    pixels = np.zeros((12, 80, 64), np.float32)
    pixels[4:8, 20:40, 10:30] = 1  # slices of 5 mm, pixels of 1 mm
    found = project(Scan(pixels, spacing=(5.0, 1.0, 1.0)))
    assert found.pixels.shape == (3, 80, 80)
    for each in found.pixels:
        rows, columns = (np.flatnonzero(each.max(axis=axis) > 0.5) for axis in (1, 0))
        assert abs(len(rows) - 20) <= 1 and abs(len(columns) - 20) <= 1


def test_projections_are_resized_as_monai_resizes() -> None:
    scan = a_scan(40, 30, 20, spacing=(0.5, 1.0, 1.0))  # extents 20, 30, 20 mm: 40 pixels of 0.75 mm
    across = project(scan).pixels[0]
    flat = torch.from_numpy(scan.pixels.max(axis=0))[None]
    expected = mt.Resize((40, 27), mode="bilinear", align_corners=False)(flat)[0].numpy()
    np.testing.assert_allclose(across[:, 6:33], expected, atol=1e-5)
    assert (across[:, :6] == scan.pixels.min()).all() and (across[:, 33:] == scan.pixels.min()).all()


def test_the_head_is_up(shared_data) -> None:
    """In a real brain, the upper half of coronal and sagittal projections holds the vault and not the neck."""
    scan = orient(read_scan([min((shared_data / "brain-mr").glob("*.nii.gz"))]))
    assert scan.affine is not None and scan.affine[2, 0] > 0  # slices run to the head, so they are turned
    for along, each in ((1, project(scan).pixels[1]), (2, project(scan).pixels[2])):
        upright = scan.pixels.max(axis=along)[::-1].max(axis=1)
        rows = np.flatnonzero(each.max(axis=1) > scan.pixels.min())[: len(upright)]
        assert np.corrcoef(each.max(axis=1)[rows], upright[: len(rows)])[0, 1] > 0.99


#: The world axis (right, front, head) of each array axis, and which way it runs.
CUTS = {
    "axial": [(2, 1), (1, -1), (0, -1)],
    "coronal": [(1, -1), (2, -1), (0, -1)],
    "sagittal": [(0, -1), (2, -1), (1, -1)],
}


def cut(axial: np.ndarray, axes: list[tuple[int, int]]) -> Scan:
    """What runs to the head, the back and the left, as a file has it that is cut along other axes; cubes of 2 mm."""
    place = {2: 0, 1: 1, 0: 2}  # of a world axis in `axial`
    turned = [new for new, (world, way) in enumerate(axes) if way != (1 if world == 2 else -1)]
    affine = np.eye(4)
    affine[:3, :3] = 0
    for new, (world, way) in enumerate(axes):
        affine[world, new] = 2.0 * way
    return Scan(np.flip(axial.transpose([place[world] for world, _ in axes]), turned), affine, spacing=(2.0,) * 3)


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2)])
def test_however_a_volume_is_cut_the_three_views_are_the_same_and_the_head_is_up(name: str, flipped: tuple) -> None:
    axial = RANDOM.normal(size=(10, 14, 12)).astype(np.float32)
    axes = [(world, -way if axis in flipped else way) for axis, (world, way) in enumerate(CUTS[name])]
    found = project(cut(axial, axes)).pixels
    np.testing.assert_array_equal(found, project(cut(axial, CUTS["axial"])).pixels)
    np.testing.assert_array_equal(found[0][:, 1:13], axial.max(axis=0))  # front up, left on the right
    np.testing.assert_array_equal(found[1][2:12, 1:13], axial.max(axis=1)[::-1])  # head up, left on the right
    np.testing.assert_array_equal(found[2][2:12], axial.max(axis=2)[::-1])  # head up, back on the right


@pytest.mark.parametrize("name", ["coronal", "sagittal"])
def test_coronal_and_sagittal_brains_are_projected_as_axial_ones(shared_data, name: str) -> None:
    axial = orient(read_scan([min((shared_data / "brain-mr").glob("*.nii.gz"))]))
    other = orient(cut(axial.pixels, CUTS[name]))
    as_cut = orient(cut(axial.pixels, CUTS["axial"]))
    np.testing.assert_array_equal(project(other).pixels, project(as_cut).pixels)


def test_padding_hides_nothing_and_stays_padding() -> None:
    pixels = np.full((4, 6, 6), 3000, np.float32)  # a padding brighter than the patient
    pixels[:, 1:5, 1:5] = RANDOM.uniform(0, 100, (4, 4, 4))
    scan = Scan(pixels, spacing=(1.0, 1.0, 1.0), header={"padding": (3000, 3000)})
    found = project(scan).pixels
    np.testing.assert_array_equal(found[0, 1:5, 1:5], pixels[:, 1:5, 1:5].max(axis=0))
    assert (found[0, 0] == 3000).all() and (found[1, :, 0] == 3000).all()
    assert project(Scan(pixels[:1], header=scan.header)).pixels.shape == (1, 6, 6)


@pytest.mark.parametrize("spacing", [(np.nan,) * 3, (0.0, 1.0, 1.0)])
def test_unknown_spacing_counts_voxels(spacing: tuple[float, float, float]) -> None:
    scan = a_scan(5, 9, 7, spacing=spacing)
    found = project(scan)
    assert found.pixels.shape == (3, 9, 9) and np.isnan(found.spacing).all()
    np.testing.assert_array_equal(found.pixels[0][:, 1:8], scan.pixels.max(axis=0))


# ---- recipes


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("volumes", ["slices", "neighbours", "projections"])
def test_every_recipe_takes_every_choice(name: str, volumes: str) -> None:
    """On scans such as it is made for: stained and colour see colours, and all other steps see no slices as colours."""
    recipe = RECIPES[name]
    changed = for_volumes(recipe, volumes, 4)
    colours = (3,) if recipe.flip_vertical else ()
    scan = Scan(
        RANDOM.uniform(0, 1000, (9, 40, 32, *colours)).astype(np.float32), spacing=(3.0, 1.0, 1.0), header={"suv": 0.01}
    )
    pixels = changed(scan)
    instances, channels = {"slices": (4, 1), "neighbours": (4, 3), "projections": (3, 1)}[volumes]
    assert pixels.shape == (instances, channels * recipe.channels, 112, 112)
    assert pixels.min() >= -1 and pixels.max() <= 1
    assert Recipe.from_dict(changed.to_dict()) == changed


def test_the_middle_channel_of_neighbours_is_the_slice_alone() -> None:
    scan = a_scan(20, 30, 40, spacing=(2.0, 1.0, 1.0))
    alone, between = (for_volumes(RECIPES["mr"], volumes, 5)(scan) for volumes in ("slices", "neighbours"))
    np.testing.assert_array_equal(between[:, 1:2], alone)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("volumes", ["neighbours", "projections"])
@pytest.mark.parametrize("names", [(), ("histogram",)])
def test_slices_are_put_together_last(name: str, volumes: str, names: tuple[str, ...]) -> None:
    recipe = harmonised(RECIPES[name], names)
    *others, last = (step.name for step in for_volumes(recipe, volumes, 4).steps)
    assert others == [step.name for step in recipe.steps if step.name != "choose_slices"]
    assert last == {"neighbours": "neighbouring_slices", "projections": "project"}[volumes]


def test_neighbours_of_a_loop_are_filled_as_its_frames_are() -> None:
    """Letters are looked for in each frame, and not in three frames as if they were red, green and blue."""
    frames = np.random.default_rng(0).integers(40, 60, (5, 90, 120)).astype(np.float32)
    for left in range(20, 84, 8):
        frames[:, 30:42, left : left + 2] = frames[:, 30:32, left : left + 5] = 250
    loop = Scan(frames, None, "US", header={"bits": 8})
    assert (fill_overlay(loop).pixels != frames).any(axis=(1, 2)).all()
    recipe = Recipe("mine", size=120, steps=(Step("choose_slices"), Step("fill_overlay"), Step("bit_range")))
    alone, between = (for_volumes(recipe, volumes, 5)(loop) for volumes in ("slices", "neighbours"))
    np.testing.assert_array_equal(between[:, 1:2], alone)
    np.testing.assert_array_equal(between[1:, 0], alone[:-1, 0])


def test_defaults_change_nothing_and_a_recipe_of_ones_own_is_kept() -> None:
    assert for_volumes(RECIPES["mr"]) is RECIPES["mr"]
    own = Recipe("mine", channels=5, steps=(Step("bit_range"), Step("neighbouring_slices", {"most": 7, "n": 5})))
    assert for_volumes(own, "slices", 9) is own
    three = for_volumes(own, "neighbours", 9)
    assert three.channels == 3 and three.steps[1] == Step("neighbouring_slices", {"most": 9, "n": 3})
    whole = Recipe("whole", steps=(Step("choose_slices"), Step("bit_range")))
    assert for_volumes(whole, "slices", 9).steps == (Step("choose_slices", {"most": 9}), Step("bit_range"))
    bare = Recipe("bare", steps=(Step("bit_range"),))
    assert for_volumes(bare, "slices", 9) is bare
    assert for_volumes(bare, "projections").steps == (Step("bit_range"), Step("project"))


def test_what_is_not_known_is_said() -> None:
    with pytest.raises(InputError, match="choose one of slices, neighbours, projections"):
        for_volumes(RECIPES["mr"], "cubes")
