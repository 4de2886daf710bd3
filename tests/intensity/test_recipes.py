"""The choice of a recipe, and its one sentence."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.intensity import ABOUT, RECIPES, Recipe, Step, recipe_for, recipe_for_scans
from medtl.intensity.composed import recipe_from_yaml
from medtl.intensity.recipes import harmonised
from medtl.scans import Scan

GREY = np.tile(np.arange(64, dtype=np.float32) * 4, (1, 64, 1))


@pytest.mark.parametrize(
    ("modalities", "name"),
    [
        (["US"], "ultrasound"),
        (["US", ""], "ultrasound"),
        (["us"], "ultrasound"),
        (["CR", "DX"], "radiograph"),
        (["MG"], "mammogram"),
        (["CT"], "ct"),
        (["MR"], "mr"),
        (["SM"], "colour"),
        ([""], "picture"),
        ([], "picture"),
        (["OT"], "picture"),
    ],
)
def test_the_modality_chooses(modalities: list[str], name: str) -> None:
    recipe, why = recipe_for(modalities, size=96)
    assert (recipe.name, recipe.size, recipe.steps) == (name, 96, RECIPES[name].steps)
    assert why.endswith(".") and ". " not in why  # one sentence
    assert f"'{name}'" in why
    for modality in modalities:
        assert modality.upper() in why


def test_colour_and_a_name_win_over_the_modality() -> None:
    assert recipe_for(["US"], colour=True)[0].name == "colour"
    recipe, why = recipe_for(["US"], name="picture", colour=True)
    assert recipe.name == "picture"
    assert why == "Recipe 'picture': you chose it."


@pytest.mark.parametrize(
    ("modalities", "name", "says"),
    [
        (["CT", "MR"], "auto", r"modalities CT, MR, which need different recipes \(ct, mr\)"),
        (["ECG"], "auto", "no recipe for scans of modality ECG: choose one of ultrasound,"),
        (["US"], "ultrasond", "did you mean 'ultrasound'"),
        (["US"], "zzz", "choose one of ultrasound,"),
    ],
)
def test_what_cannot_be_chosen_says_why(modalities: list[str], name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        recipe_for(modalities, name=name)


def test_the_scans_tell_modality_and_colour() -> None:
    grey = Scan(GREY, modality="US")
    stored_as_colour = Scan(np.repeat(GREY[..., None], 3, -1), modality="US")
    stored_as_colour.pixels[:, :8, :8, 0] = 255  # a logo
    coloured = Scan(np.stack([GREY, GREY * 0.5, 250 - GREY], -1))
    assert recipe_for_scans([grey, stored_as_colour])[0].name == "ultrasound"
    assert recipe_for_scans([coloured, coloured, Scan(GREY)])[0].name == "colour"
    assert recipe_for_scans([coloured, Scan(GREY), Scan(GREY)])[0].name == "picture"
    assert recipe_for_scans([])[0].name == "picture"


def test_a_nifti_volume_is_known_by_its_values() -> None:
    volume = np.repeat(GREY, 20, axis=0)
    recipe, why = recipe_for_scans([Scan(volume)], size=64)
    assert (recipe.name, recipe.size) == ("mr", 64)
    assert "name no modality" in why and "like MR" in why
    assert recipe_for_scans([Scan(volume - 1024)])[0].name == "ct"
    assert recipe_for_scans([Scan(volume)], name="ct-lung")[0].name == "ct-lung"
    with pytest.raises(InputError, match="CT, MR"):
        recipe_for_scans([Scan(volume), Scan(volume - 1024)])


# ---- composed in YAML


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_recipe_may_be_composed_in_yaml(tmp_path: Path) -> None:
    """All keys, and the same pixels as of the recipe written in Python."""
    path = written(
        tmp_path,
        """
name: chest
size: 64
channels: 2
flip: false
flip_vertical: true
steps:
  - orient
  - choose_slices: {most: 4}
  - windows:
      names: [lung, [50, 350]]
""",
    )
    recipe, why = recipe_for(["CT"], name=path)
    steps = (
        Step("orient"),
        Step("choose_slices", {"most": 4}),
        Step("windows", {"names": ["lung", [50, 350]]}),
    )
    assert recipe == Recipe("chest", size=64, channels=2, steps=steps, flip_vertical=True)
    assert why == "Recipe 'chest', as its file composes it: orient, choose_slices, windows."
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    scan = Scan(np.random.default_rng(0).normal(0, 400, (9, 40, 40)).astype(np.float32))
    assert recipe(scan).shape == (4, 2, 64, 64)
    assert recipe_for_scans([scan], name=path)[0] == recipe


def test_what_the_file_does_not_tell_has_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "steps: [bit_range, neighbouring_slices]", "plain.yml")
    recipe = recipe_from_yaml(path, size=96)
    assert (recipe.name, recipe.size, recipe.channels, recipe.flip) == ("plain", 96, 3, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: [orient, windw]", r"mine.yaml: recipe step 'windw' is unknown: did you mean 'window'"),
        (
            "steps: [window: {level: 40}]",
            r"mine.yaml: recipe step 'window': missing .* 'width'; its parameters: level, w",
        ),
        ("steps: [window: {level: 1, wdth: 2}]", "'window' has no parameter 'wdth': did you mean 'width'"),
        ("steps: [percentile_window: {low: 2}]", "'percentile_window' has no parameter 'low': did you mean 'lower'"),
        ("steps: [window: {colour: 1}]", "'window' has no parameter 'colour': it has level, width"),
        ("steps: [windows: {names: [brian]}]", "mine.yaml: CT window 'brian' is unknown"),
        ("steps: [window: 40]", "recipe step 'window': write its parameters by name"),
        ("steps: [[orient]]", r"recipe step \['orient'\]: write a name"),
        ("steps: orient", r"give `steps:`, a list"),
        ("size: 64", r"give `steps:`, a list"),
        ("steps: [orient]\nsise: 64", "there is no key 'sise': did you mean 'size'"),
        (
            "steps: [orient]\nzzz: 64",
            "there is no key 'zzz': there is name, size, channels, flip, flip_vertical, steps",
        ),
        ("steps: [orient]\nsize: big", "mine.yaml: recipe 'mine': size is 'big'"),
        ("steps: [orient]\nchannels: 2", "mine.yaml: recipe 'mine': channels is 2 .* give 1 or 3"),
        ("steps: [orient]\nflip: 1", "flip is 1; give true or false"),
        ("steps: [orient]\nflip_vertical: 1", "flip_vertical is 1; give true or false"),
        ("steps: [{window: {level: 40, width: 0}}]", "mine.yaml: recipe step 'window': width is 0; give a number abo"),
        ("[orient]", "is not a list of `key: value` lines"),
        ("steps: [", "is not a YAML file"),
        ("name: a\nsteps: [orient\nsize: 64", "mine.yaml: is not a YAML file: line 3, "),
    ],
)
def test_what_is_wrong_in_the_file_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        recipe_for([], name=written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: there is no such recipe file"):
        recipe_for([], name=str(tmp_path / "nowhere.yaml"))


def test_the_recipe_in_the_docs_is_one(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs" / "recipes.md"
    blocks = re.findall(r"```yaml\n(.*?)```", docs.read_text(encoding="utf-8"), flags=re.DOTALL)
    composed = [block for block in blocks if "steps:" in block]  # the others are configs
    assert composed
    for block in composed:
        assert recipe_from_yaml(written(tmp_path, block)).steps


# ---- harmonised


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("ultrasound", ["crop_to_region", "choose_slices", "percentile_window", "match_histogram"]),
        ("ct", ["orient", "choose_slices", "window", "match_histogram"]),
        ("mr", ["orient", "z_score", "match_histogram", "choose_slices"]),
        ("colour", ["choose_slices", "bit_range", "match_histogram"]),
    ],
)
def test_harmonising_comes_after_the_last_intensity_step(name: str, steps: list[str]) -> None:
    recipe = harmonised(RECIPES[name], ["histogram"])
    assert [step.name for step in recipe.steps] == steps
    assert recipe.name == f"{name}+histogram" and recipe.flip == RECIPES[name].flip
    assert harmonised(recipe, ["histogram"]) == recipe
    assert [step.name for step in harmonised(recipe, ["landmarks"]).steps if step.needs_fit] == [
        "match_histogram",
        "landmarks",
    ]


def test_what_acts_on_batches_changes_no_recipe() -> None:
    assert harmonised(RECIPES["mr"], ["fda", "mixstyle"]) == RECIPES["mr"]


@pytest.mark.parametrize("name", ["radiograph", "ct", "mr", "ultrasound"])
def test_harmonised_padding_stays_black(name: str) -> None:
    scans = []
    for seed in range(3):
        pixels = np.random.default_rng(seed).gamma(2, 40, (3, 40, 40)).astype(np.float32)
        pixels[:, :8] = -2000
        scans.append(Scan(pixels, spacing=(3.0, 1.0, 1.0), header={"padding": (-2000.0, -2000.0)}))
    recipe = harmonised(replace(RECIPES[name], size=40), ["landmarks", "histogram"]).fit(scans)
    pixels = recipe(scans[0])
    assert (pixels[:, :, :8] == -1).all() and pixels[:, :, 8:].std() > 0.1


def test_every_recipe_says_what_it_does() -> None:
    assert list(ABOUT) == list(RECIPES)


def test_no_modality_has_two_recipes() -> None:
    modalities = [modality for codes, _ in ABOUT.values() for modality in codes]
    assert len(modalities) == len(set(modalities))
