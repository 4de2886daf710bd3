"""The choice of a recipe, and its one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.intensity import ABOUT, RECIPES, recipe_for, recipe_for_scans
from medtl.scans import Scan

GREY = np.tile(np.arange(64, dtype=np.float32) * 4, (1, 64, 1))


@pytest.mark.parametrize(
    ("modalities", "name"),
    [
        (["US"], "ultrasound"),
        (["US", ""], "ultrasound"),
        (["us"], "ultrasound"),
        (["CR", "DX"], "radiograph"),
        (["MG"], "radiograph"),
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
        (["PT"], "auto", "no recipe for scans of modality PT: choose one of ultrasound,"),
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


def test_every_recipe_says_what_it_does() -> None:
    assert list(ABOUT) == list(RECIPES)


def test_no_modality_has_two_recipes() -> None:
    modalities = [modality for codes, _ in ABOUT.values() for modality in codes]
    assert len(modalities) == len(set(modalities))
