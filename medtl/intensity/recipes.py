"""The recipes that medtl knows, a plain dictionary, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from medtl.errors import InputError
from medtl.intensity.recipe import Recipe, Step
from medtl.scans.scan import Scan

#: At most so many instances of a volume or cine loop.
_slices = Step("choose_slices", {"most": 16})


def _ct(name: str, level: float, width: float) -> Recipe:
    steps = (Step("orient"), _slices, Step("window", {"level": level, "width": width}))
    return Recipe(name, version=2, steps=steps)


#: Adding a recipe = a line here and a line in ABOUT.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "ultrasound",
            version=2,
            flip=True,
            steps=(
                Step("crop_to_region"),
                _slices,
                Step("percentile_window", {"lower": 0.5, "upper": 99.5}),
            ),
        ),
        Recipe(
            "radiograph",
            version=2,
            steps=(_slices, Step("percentile_window", {"lower": 1.0, "upper": 99.0})),
        ),
        _ct("ct", level=40.0, width=400.0),
        _ct("ct-lung", level=-600.0, width=1500.0),
        _ct("ct-bone", level=400.0, width=1800.0),
        Recipe("mr", version=2, flip=True, steps=(Step("orient"), Step("z_score", {"limit": 3.0}), _slices)),
        Recipe("colour", channels=3, flip=True, steps=(_slices, Step("bit_range"))),
        Recipe("picture", flip=True, steps=(_slices, Step("bit_range"))),
    )
}

#: Recipe -> (the DICOM modalities it is chosen for, what it does).
ABOUT: dict[str, tuple[tuple[str, ...], str]] = {
    "ultrasound": (
        ("US", "IVUS"),
        "the region that holds the picture, grey values between its own 0.5 and 99.5 percentiles",
    ),
    "radiograph": (
        ("CR", "DX", "MG", "RG", "RF", "XA", "IO", "PX"),
        "grey values between the picture's own 1 and 99 percentiles",
    ),
    "ct": (("CT",), "soft-tissue window (level 40, width 400 HU), at most 16 evenly spaced slices as one bag"),
    "ct-lung": ((), "lung window (level -600, width 1500 HU), at most 16 evenly spaced slices as one bag"),
    "ct-bone": ((), "bone window (level 400, width 1800 HU), at most 16 evenly spaced slices as one bag"),
    "mr": (("MR",), "z-score within the foreground, at most 16 evenly spaced slices as one bag"),
    "colour": (("GM", "SM", "ES", "XC", "OP"), "red, green and blue as the file has them"),
    "picture": (("", "OT", "SC"), "grey values as the file has them, by its bit depth"),
}


def recipe_for(
    modalities: Iterable[str], size: int = 112, name: str = "auto", colour: bool = False
) -> tuple[Recipe, str]:
    """Choose the recipe for scans of these DICOM modalities, and say why in one sentence.

    Args:
        modalities: those of all scans, source and target; "" where a file does not know (PNG, JPEG, NIfTI). Scans that
            do not know go with those that do.
        size: rows and columns of each instance. 112 is where the frozen-feature figures of the sample scans were taken.
        name: a name in RECIPES, or "auto".
        colour: whether the colours of the scans mean something (see `recipe_for_scans`).

    Raises:
        InputError: the name is unknown, the modalities need different recipes, or there is none for one of them.
    """
    if name != "auto":
        if name not in RECIPES:
            near = get_close_matches(name, RECIPES, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(RECIPES)}"
            raise InputError(f"recipe {name!r} is unknown: {advice}")
        return replace(RECIPES[name], size=size), f"Recipe {name!r}: you chose it."
    known = sorted({modality.upper() for modality in modalities} - {""})
    if colour:
        return replace(RECIPES["colour"], size=size), "Recipe 'colour': the scans are in colour."
    chosen = {modality: _recipe_of(modality) for modality in known or [""]}
    names = sorted(set(chosen.values()))
    if len(names) > 1:
        raise InputError(
            f"the scans are of the modalities {', '.join(known)}, which need different recipes ({', '.join(names)}): "
            "keep one kind in the manifest, or choose one recipe by its name"
        )
    does = ABOUT[names[0]][1]
    of = f"the scans are {' and '.join(known)}" if known else "the files name no modality"
    return replace(RECIPES[names[0]], size=size), f"Recipe {names[0]!r}, because {of}: {does}."


def recipe_for_scans(scans: Iterable[Scan], size: int = 112, name: str = "auto") -> tuple[Recipe, str]:
    """Choose the recipe from a few scans of each site, by `recipe_for`; the scans tell modality and colour.

    A volume that names no modality (NIfTI) counts as CT where it holds air in Hounsfield units (below -500), else as
    MR. Many machines store grey pictures as RGB, with a coloured logo or Doppler box: a scan counts as in colour where
    red, green and blue differ by more than a twentieth of its largest value in more than a quarter of its pixels.
    """
    modalities, guesses, coloured = set(), set(), []
    for scan in scans:
        if not scan.modality and not scan.colour and len(scan.pixels) > 1:
            guesses.add("CT" if np.nanmin(scan.pixels) < -500 else "MR")
        modalities.add(scan.modality)
        spread = np.ptp(scan.pixels, axis=-1) if scan.colour else np.zeros(1)
        coloured.append(np.mean(spread > 0.05 * max(float(np.nanmax(scan.pixels)), 1e-6)) > 0.25)
    in_colour = bool(sum(coloured) * 2 > len(coloured))
    if modalities != {""} or not guesses or name != "auto" or in_colour:
        return recipe_for(modalities, size, name, in_colour)
    recipe, _ = recipe_for(guesses, size)
    return recipe, (
        f"Recipe {recipe.name!r}, because the files name no modality and hold volumes whose values look like "
        f"{guesses.pop()}: {ABOUT[recipe.name][1]}."
    )


def _recipe_of(modality: str) -> str:
    for name, (modalities, _) in ABOUT.items():
        if modality in modalities:
            return name
    raise InputError(f"there is no recipe for scans of modality {modality}: choose one of {', '.join(RECIPES)} by name")
