"""A recipe is a value: the same pixels from the same scan, for as long as its file says so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from medtl.errors import InputError, ScanError
from medtl.intensity import RECIPES, Recipe, Step
from medtl.intensity.histograms import learn_histogram, learn_landmarks
from medtl.intensity.recipes import harmonised
from medtl.scans import Scan

RANDOM = np.random.default_rng(1)
FACTS = {"pet": {"suv": 0.02}}  # that a recipe needs of the header


def a_scan(name: str) -> Scan:
    """A scan such as the recipe is made for."""
    if RECIPES[name].steps[0].name == "orient":
        pixels = RANDOM.normal(0, 300, (30, 60, 50)).astype(np.float32)
        return Scan(pixels, np.diag([3.0, 1, 1, 1]), spacing=(3.0, 1.0, 1.0), header=FACTS.get(name, {}))
    colour = (3,) if name == "colour" else ()
    return Scan(RANDOM.integers(0, 256, (1, 90, 70, *colour)).astype(np.float32), header={"bits": 8})


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_gives_network_input_and_the_same_again(name: str) -> None:
    scan = a_scan(name)
    recipe = replace(RECIPES[name], size=32)
    pixels = recipe(scan)
    instances = 16 if len(scan.pixels) > 1 else 1
    assert pixels.shape == (instances, recipe.channels, 32, 32)
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.min() >= -1 and pixels.max() <= 1 and pixels.std() > 0.05
    np.testing.assert_array_equal(pixels, recipe(scan))
    saved = json.loads(json.dumps(recipe.to_dict()))
    again = Recipe.from_dict(saved)
    assert again == recipe
    assert again.digest == recipe.digest
    np.testing.assert_array_equal(pixels, again(scan))
    assert recipe.fit([scan]) == recipe and not recipe.needs_fit


def test_the_digest_follows_all_that_decides_the_pixels() -> None:
    recipe = RECIPES["ct"]
    others = [
        replace(recipe, size=128),
        replace(recipe, channels=3),
        replace(recipe, version=1),
        replace(recipe, steps=recipe.steps[:-1]),
        replace(recipe, steps=(*recipe.steps[:-1], Step("window", {"level": 41, "width": 400}))),
    ]
    assert len({each.digest for each in (recipe, *others, *RECIPES.values())}) == 5 + len(RECIPES)


def test_the_pixels_of_each_version_stay_as_they_are() -> None:
    """Where this fails and `test_versions.py` does not, a recipe has other steps than before: raise its version.

    Version 2 crops to ultrasound regions and leaves padding out; a scan that knows of neither is as in version 1.
    """
    ramp = np.add.outer(np.arange(24.0), np.arange(36.0)).astype(np.float32)
    volume = np.stack([ramp * (1 + k / 20) for k in range(20)])
    expected = {
        "ultrasound": (-0.3333, 0.6006),
        "radiograph": (-0.3333, 0.6091),
        "ultrasound-filled": (-0.3333, 0.6006),
        "mammogram": (-0.3728, 0.6013),
        "radiograph-clean": (-0.3333, 0.6091),
        "radiograph-clahe": (-0.1761, 0.6424),
        "stained": (-0.1086, 0.6876),
        "pet": (-0.8859, 0.1045),
        "ct": (-0.3241, 0.4851),
        "ct-brain": (-0.2941, 0.6373),
        "ct-subdural": (-0.5332, 0.3645),
        "ct-bone": (-0.5979, 0.2849),
        "ct-lung": (0.2380, 0.8757),
        "ct-liver": (-0.2198, 0.5945),
        "ct-head": (-0.4751, 0.4731),
        "mr": (-0.6058, 0.4709),
        "mr-n4": (-0.5605, 0.5379),
        "colour": (-0.8484, 0.1331),
        "picture": (-0.8484, 0.1331),
    }
    assert expected.keys() == RECIPES.keys()
    for name, recipe in RECIPES.items():
        scan = Scan(ramp[None]) if recipe.steps[0].name != "orient" else Scan(volume, spacing=(4.0, 1.0, 1.0))
        scan = replace(scan, header=FACTS.get(name, {}))
        pixels = replace(recipe, size=12)(scan)
        np.testing.assert_allclose((pixels.mean(), pixels.std()), expected[name], atol=2e-4, err_msg=name)


def saved_step(name: str, version: int | None = 1, **parameters: float) -> dict:
    return {"name": name, "version": version, "parameters": parameters}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"common": 99}, "have in common is of version 99 and this medtl makes version 1"),
        (
            {"steps": [saved_step("window", 2, level=1, width=2)]},
            "step 'window' is of version 2 and .* makes version 1",
        ),
        ({"steps": [saved_step("sharpen")]}, "step 'sharpen' is unknown: this medtl knows"),
        ({"steps": [saved_step("windw", level=1, width=2)]}, "step 'windw' is unknown: did you mean 'window'"),
        ({"steps": [saved_step("window", level=1)]}, "missing a required argument: 'width'; its param.*: level, width"),
        ({"steps": [saved_step("bit_range", bits=1)]}, "step 'bit_range' has no parameter 'bits': it has none"),
        ({"steps": [saved_step("orient", None)]}, "does not say which versions"),
        ({"steps": 3}, "recipe.json is not a recipe"),
        ({"steps": ["window"]}, "recipe.json is not a recipe"),
        ({"landmarks": [1]}, "'landmarks', which this medtl does not know"),
        ({"size": "112"}, "size is '112'"),
        ({"flip": "no"}, "flip is 'no'"),
        ({"flip_vertical": 1}, "flip_vertical is 1"),
        ({"channels": 2}, "channels is 2 and its steps make 1 of grey and 3 of red, green, blue: give 1 or 3"),
    ],
)
def test_a_recipe_that_cannot_be_reproduced_is_refused(change: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Recipe.from_dict({**RECIPES["ct"].to_dict(), **change})


def test_a_recipe_cut_off_is_refused() -> None:
    for key in RECIPES["ct"].to_dict():
        saved = RECIPES["ct"].to_dict()
        del saved[key]
        if key == "flip_vertical":
            assert Recipe.from_dict(saved) == RECIPES["ct"]  # older medtl did not know it
            continue
        says = "does not say which versions" if key in ("common", "flip") else r"recipe\.json is not a recipe"
        with pytest.raises(InputError, match=says):
            Recipe.from_dict(saved)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.full((1, 9, 9), 7.0), "same value"),
        (np.full((1, 9, 9), np.nan), "finite"),
        (np.zeros((0, 9, 9)), "no pixels"),
        (np.zeros((9, 9)), "shape"),
    ],
)
def test_a_scan_that_shows_nothing_is_a_scan_error(pixels: np.ndarray, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        RECIPES["picture"](Scan(pixels.astype(np.float32)))


def test_gaps_count_as_the_darkest_value() -> None:
    whole = RANDOM.uniform(1, 255, (1, 20, 20)).astype(np.float32)
    whole[0, 0, 0] = whole[0, 5, 5] = whole[0, 9, 9] = 0
    gaps = whole.copy()
    gaps[0, 5, 5], gaps[0, 9, 9] = np.nan, -np.inf
    np.testing.assert_array_equal(RECIPES["ultrasound"](Scan(whole)), RECIPES["ultrasound"](Scan(gaps)))


@pytest.mark.parametrize("name", ["radiograph", "ct", "mr", "ultrasound"])
@pytest.mark.parametrize("padding", [-2000.0, 100.0, 9000.0])
@pytest.mark.parametrize("border", [0, 4, 12])
def test_padding_counts_for_nothing(name: str, padding: float, border: int) -> None:
    """However much padding surrounds it, of whatever value, what is shown gives the same pixels; the rest is black.

    So the contrast of a radiograph does not depend on its collimation, nor that of a site on how it pads.
    """
    shown = np.random.default_rng(2).normal(100, 80, (3, 32, 32)).astype(np.float32).clip(-300, 500)
    shown[shown == padding] = 101
    padded = np.pad(shown, ((0, 0), (border, border), (border, border)), constant_values=padding)
    side = padded.shape[1]
    scan = Scan(padded, spacing=(3.0, 1.0, 1.0), header={"padding": (padding, padding)})
    recipe = replace(RECIPES[name], size=side)  # not resized: filters would mix the border in
    inside = slice(border, side - border)
    pixels = recipe(scan)[:, 0]
    alone = replace(recipe, size=32)(Scan(shown, spacing=(3.0, 1.0, 1.0)))[:, 0]
    np.testing.assert_array_equal(pixels[:, inside, inside], alone)
    pixels[:, inside, inside] = -1
    assert (pixels == -1).all()
    assert (scan.pixels == padded).all()  # the scan itself is left alone


def test_a_scan_of_padding_alone_shows_nothing() -> None:
    pixels = np.full((1, 9, 9), 7.0, np.float32)
    pixels[0, 2, 2] = -2000
    with pytest.raises(ScanError, match="nothing to see"):
        RECIPES["radiograph"](Scan(pixels, header={"padding": (-2000.0, -2000.0)}))


# ---- channels


@pytest.mark.parametrize(
    ("steps", "channels", "start"),
    [
        ((Step("bit_range"),), 1, "grey"),
        ((Step("bit_range"),), 3, "colour"),
        ((Step("windows", {"names": ["brain", "bone"]}),), 2, "grey"),
        ((Step("windows", {"names": ["brain", "bone", "lung"]}),), 3, "grey"),
        ((Step("neighbouring_slices", {"n": 3}), Step("window", {"level": 40, "width": 80})), 3, "grey"),
        ((Step("windows", {"names": ["brain", "bone"]}), Step("neighbouring_slices", {"n": 5})), 10, "grey"),
        ((Step("neighbouring_slices", {"n": 5}), Step("bit_range")), 15, "colour"),
    ],
)
@pytest.mark.parametrize("stored", [(), (3,)])
def test_the_steps_decide_the_channels(steps: tuple[Step, ...], channels: int, start: str, stored) -> None:
    recipe = Recipe("mine", size=16, channels=channels, steps=steps)
    scan = Scan(RANDOM.uniform(-100, 100, (4, 20, 20, *stored)).astype(np.float32))
    pixels = recipe(scan)
    assert pixels.shape == (4, channels, 16, 16)
    if start == "grey":  # the same as of the scan in grey
        brightness = scan.pixels @ np.array([0.299, 0.587, 0.114], np.float32) if stored else scan.pixels
        np.testing.assert_allclose(pixels, recipe(replace(scan, pixels=brightness)), atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "channels", "says"),
    [
        ((), 4, "give 1 or 3"),
        ((), True, "channels is True"),
        ((Step("windows", {"names": ["brain", "bone"]}),), 3, "make 2 of grey and 6 of red, green, blue: give 2 or 6"),
        ((Step("neighbouring_slices", {"n": 7}),), 21, "make 7 of grey and 21 of red, green, blue: give 7"),
        ((Step("neighbouring_slices", {"n": 17}),), 17, "give at most 16"),
        ((Step("windows", {"names": ["brian"]}),), 1, "CT window 'brian' is unknown"),
    ],
)
def test_channels_that_the_steps_do_not_make_are_refused(steps: tuple[Step, ...], channels: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Recipe("mine", channels=channels, steps=steps)


def test_ct_head_is_three_windows_at_once() -> None:
    scan = a_scan("ct-head")
    pixels = RECIPES["ct-head"](scan)
    for channel, name in enumerate(["ct-brain", "ct-subdural", "ct-bone"]):
        np.testing.assert_array_equal(pixels[:, channel : channel + 1], RECIPES[name](scan))


# ---- what is learnt


def test_each_step_learns_from_what_the_steps_before_leave() -> None:
    """Also from an iterator, which can be gone through once, and with scans in it that show nothing."""
    scans = [a_scan("ct") for _ in range(3)]
    nothing = Scan(np.full((1, 9, 9), 7.0, np.float32))
    recipe = harmonised(RECIPES["ct"], ["landmarks", "histogram"])
    assert recipe.needs_fit and not RECIPES["ct"].needs_fit
    fitted = recipe.fit(iter([nothing, *scans]))
    assert not fitted.needs_fit and recipe.needs_fit
    windowed = [RECIPES["ct"].steps[2](RECIPES["ct"].steps[1](RECIPES["ct"].steps[0](scan))) for scan in scans]
    first = Step("landmarks", learn_landmarks(windowed))
    second = Step("match_histogram", learn_histogram(first(scan) for scan in windowed))
    assert fitted == replace(recipe, steps=(*RECIPES["ct"].steps, first, second))
    again = Recipe.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted and again.digest == fitted.digest != recipe.digest
    np.testing.assert_array_equal(again(scans[0]), fitted(scans[0]))


def test_what_has_learnt_stays_and_what_has_not_is_said() -> None:
    recipe = harmonised(RECIPES["picture"], ["histogram"])
    scans = [a_scan("picture"), a_scan("picture")]
    fitted = recipe.fit(scans[:1])
    assert fitted.fit(scans[1:]) == fitted
    with pytest.raises(InputError, match=r"'match_histogram' has not been fitted: call recipe\.fit"):
        recipe(scans[0])
    with pytest.raises(InputError, match="cannot be fitted: no scan shows anything"):
        recipe.fit([Scan(np.full((1, 9, 9), 7.0, np.float32))])


@pytest.mark.parametrize("steps", [(), (Step("orient"), Step("choose_slices"))])
def test_values_that_no_step_made_grey_are_refused(steps: tuple[Step, ...]) -> None:
    with pytest.raises(InputError, match=r"'mine' leaves values from .* add a step .*percentile_window"):
        Recipe("mine", steps=steps)(a_scan("ct"))
    grey = Scan(np.linspace(-1, 1, 900, dtype=np.float32).reshape(1, 30, 30))
    assert Recipe("mine", size=45, steps=steps)(grey).max() == pytest.approx(1, abs=0.01)


def test_flips_are_saved_and_change_no_digest() -> None:
    """The heart lies left, and the liver right; a breast or a brain has its like on the other side."""
    flips = {name for name, recipe in RECIPES.items() if recipe.flip}
    assert {"ultrasound", "mr", "colour", "picture"} <= flips
    assert not {name for name in RECIPES if name.startswith(("ct", "radiograph"))} & flips
    assert {name for name, recipe in RECIPES.items() if recipe.flip_vertical} == {"colour", "stained"}
    for other in (replace(RECIPES["ct"], flip=True), replace(RECIPES["ct"], flip_vertical=True)):
        assert other.digest == RECIPES["ct"].digest
        assert Recipe.from_dict(other.to_dict()) == other != RECIPES["ct"]


def test_parameters_are_what_json_can_hold() -> None:
    step = Step("windows", {"names": ("brain", np.array([40, 80]), (np.float32(1.5), 2))})
    assert step.parameters == {"names": ["brain", [40, 80], [1.5, 2]]}
    for wrong in (float("nan"), {1, 2}, b"40"):
        with pytest.raises(InputError, match=r"step 'window': .* is no number, text, list or mapping"):
            Step("window", {"level": wrong, "width": 80})


def test_grey_pictures_stored_in_colour_are_grey_pictures() -> None:
    grey = a_scan("ultrasound")
    colour = Scan(np.repeat(grey.pixels[..., None], 3, axis=-1), header=grey.header)
    np.testing.assert_allclose(RECIPES["ultrasound"](colour), RECIPES["ultrasound"](grey), atol=1e-5)
    assert RECIPES["colour"](grey).shape == (1, 3, 112, 112)


def test_recipes_need_no_torch() -> None:
    heavy = "import sys, medtl.intensity; print([m for m in ('torch', 'monai', 'pandas') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True, cwd=_root())
    assert said.stdout.strip() == "[]"


def _root() -> str:
    import medtl.intensity

    return str(medtl.intensity.__file__).removesuffix("/medtl/intensity/__init__.py")
