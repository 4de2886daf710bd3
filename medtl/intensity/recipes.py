"""The recipes that medtl knows, a plain dictionary, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from medtl.errors import InputError, nearest
from medtl.intensity.composed import is_recipe_file, recipe_from_file
from medtl.intensity.grey import WINDOWS
from medtl.intensity.recipe import Recipe, Step, made_channels
from medtl.intensity.steps import SLICES
from medtl.scans.scan import IN_COLOUR, Scan, share_in_colour

#: At most so many instances of a volume or cine loop.
_slices = Step("choose_slices", {"most": 16})

#: A radiograph without its border and letters, in grey.
_clean = (
    Step("crop_border", {"tolerance": 0.04, "most": 0.35}),
    _slices,
    Step("fill_overlay", {"margin": 2}),
    Step("percentile_window", {"lower": 1.0, "upper": 99.0}),
)


def _ct(name: str, window: str) -> Recipe:
    level, width = WINDOWS[window]
    steps = (Step("orient"), _slices, Step("window", {"level": level, "width": width}))
    return Recipe(name, version=2, steps=steps)


def _through(window: str) -> str:
    level, width = WINDOWS[window]
    return f"{window.replace(' ', '-')} window (level {level:g}, width {width:g} HU), at most 16 evenly spaced slices"


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
            "ultrasound-filled",
            flip=True,
            steps=(
                Step("crop_to_region"),
                _slices,
                Step("fill_overlay", {"margin": 2}),
                Step("percentile_window", {"lower": 0.5, "upper": 99.5}),
            ),
        ),
        Recipe(
            "mammogram",
            steps=(
                Step("crop_to_breast", {"margin": 0.01}),
                Step("chest_wall_left"),
                _slices,
                Step("percentile_window", {"lower": 1.0, "upper": 99.0}),
            ),
        ),
        Recipe("radiograph-clean", steps=_clean),
        Recipe("radiograph-clahe", steps=(*_clean, Step("clahe", {"clip_limit": 0.01, "kernel": 0.125}))),
        Recipe(
            "radiograph",
            version=2,
            steps=(_slices, Step("percentile_window", {"lower": 1.0, "upper": 99.0})),
        ),
        _ct("ct", "soft tissue"),
        _ct("ct-brain", "brain"),
        _ct("ct-subdural", "subdural"),
        _ct("ct-bone", "bone"),
        _ct("ct-lung", "lung"),
        _ct("ct-liver", "liver"),
        Recipe(
            "ct-head",
            channels=3,
            steps=(Step("orient"), _slices, Step("windows", {"names": ["brain", "subdural", "bone"]})),
        ),
        Recipe("mr", version=2, flip=True, steps=(Step("orient"), Step("z_score", {"limit": 3.0}), _slices)),
        Recipe(
            "mr-n4",
            flip=True,
            steps=(Step("orient"), Step("correct_bias", {"shrink": 4}), Step("z_score", {"limit": 3.0}), _slices),
        ),
        Recipe("pet", steps=(Step("orient"), _slices, Step("suv"), Step("window", {"level": 5.0, "width": 10.0}))),
        Recipe("colour", channels=3, flip=True, flip_vertical=True, steps=(_slices, Step("bit_range"))),
        Recipe(
            "stained",
            channels=3,
            flip=True,
            flip_vertical=True,
            steps=(_slices, Step("balance_stain", {"red": 1.0, "green": 0.9, "blue": 0.8, "strength": 1.1})),
        ),
        Recipe("picture", flip=True, steps=(_slices, Step("bit_range"))),
    )
}

#: Recipe -> (the DICOM modalities it is chosen for, what it does).
ABOUT: dict[str, tuple[tuple[str, ...], str]] = {
    "ultrasound": (
        ("US", "IVUS"),
        "the region that holds the picture, grey values between its own 0.5 and 99.5 percentiles",
    ),
    "ultrasound-filled": (
        (),
        "as ultrasound, burned-in letters and callipers filled from the tissue around them",
    ),
    "mammogram": (
        ("MG",),
        "the breast alone, its chest wall on the left, grey values between its own 1 and 99 percentiles",
    ),
    "radiograph-clean": ((), "as radiograph, collimation border cut off and letters filled from around them"),
    "radiograph-clahe": ((), "as radiograph-clean, then contrast evened out over the picture (CLAHE)"),
    "radiograph": (
        ("CR", "DX", "RG", "RF", "XA", "IO", "PX"),
        "grey values between the picture's own 1 and 99 percentiles",
    ),
    "ct": (("CT",), _through("soft tissue")),
    "ct-brain": ((), _through("brain")),
    "ct-subdural": ((), _through("subdural")),
    "ct-bone": ((), _through("bone")),
    "ct-lung": ((), _through("lung")),
    "ct-liver": ((), _through("liver")),
    "ct-head": ((), "brain, subdural and bone window as three channels, at most 16 evenly spaced slices"),
    "mr": (("MR",), "z-score within the foreground, at most 16 evenly spaced slices"),
    "mr-n4": ((), "as mr, after N4 bias correction (seconds a volume)"),
    "pet": (("PT",), "SUV by body weight from the header, 0 to 10 g/ml, at most 16 evenly spaced slices"),
    "colour": (("GM", "SM", "ES", "XC", "OP"), "red, green and blue as the file has them"),
    "stained": ((), "colour, the bright background and the stain of nuclei brought to one colour and strength"),
    "picture": (("", "OT", "SC"), "grey values as the file has them, by its bit depth"),
}


#: What harmonises grey values as part of the recipe -> its step.
HARMONISING_STEPS = {"histogram": "match_histogram", "landmarks": "landmarks"}


def recipe_for(
    modalities: Iterable[str], size: int = 112, name: str = "auto", colour: bool = False
) -> tuple[Recipe, str]:
    """Choose the recipe for scans of these DICOM modalities, and say why in one sentence.

    Args:
        modalities: those of all scans, source and target; "" where a file does not know (PNG, JPEG, NIfTI). Scans that
            do not know go with those that do.
        size: rows and columns of each instance. 112 is where the frozen-feature figures of the sample scans were taken.
        name: a name in RECIPES, the path of a file (see `recipe_from_file`), or "auto".
        colour: whether the colours of the scans mean something (see `recipe_for_scans`).

    Raises:
        InputError: the name is unknown, the modalities need different recipes, or there is none for one of them.
    """
    if is_recipe_file(name):
        recipe = recipe_from_file(name, size)
        return recipe, f"Recipe {recipe.name!r}, as its file composes it: {', '.join(s.name for s in recipe.steps)}."
    if name != "auto":
        if name not in RECIPES:
            advice = nearest(name, RECIPES, f"choose one of {', '.join(RECIPES)}, or a YAML file")
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
        coloured.append(scan.colour and share_in_colour(scan.pixels) > IN_COLOUR)
    in_colour = sum(coloured) * 2 > len(coloured)
    if modalities != {""} or not guesses or name != "auto" or in_colour:
        return recipe_for(modalities, size, name, in_colour)
    recipe, _ = recipe_for(guesses, size)
    return recipe, (
        f"Recipe {recipe.name!r}, because the files name no modality and hold volumes whose values look like "
        f"{guesses.pop()}: {ABOUT[recipe.name][1]}."
    )


def harmonised(recipe: Recipe, names: Iterable[str]) -> Recipe:
    """The recipe with what harmonises grey values between hospitals, still to be fitted on the source's scans.

    The steps come last, when values are grey and padding is black, but before slices are chosen where that comes
    last: a whole volume is standardised. A step that is there already is not added again.

    Args:
        recipe: any.
        names: of `HARMONISING_STEPS`, in this order; others ("fda", "mixstyle") act on batches and change no recipe.
    """
    wanted = [name for name in names if name in HARMONISING_STEPS]
    added = [name for name in wanted if HARMONISING_STEPS[name] not in {step.name for step in recipe.steps}]
    last = len(recipe.steps)
    while last and recipe.steps[last - 1].name in SLICES:
        last -= 1
    steps = (*recipe.steps[:last], *(Step(HARMONISING_STEPS[name]) for name in added), *recipe.steps[last:])
    return replace(recipe, name="+".join([recipe.name, *added]), steps=steps)


#: What the backbone sees of a volume -> the step that makes it, given the most instances. See `for_volumes`.
VOLUMES: dict[str, Callable[[int], Step]] = {
    "slices": lambda most: Step("choose_slices", {"most": most}),
    "neighbours": lambda most: Step("neighbouring_slices", {"most": most, "n": 3}),
    "projections": lambda most: Step("project"),
}


def for_volumes(recipe: Recipe, volumes: str = "slices", slices: int = 16) -> Recipe:
    """The recipe with another choice of what the backbone sees of a volume or cine loop; pictures stay pictures.

    Another number of slices changes `choose_slices` where it stands. Neighbours and projections come last, in the
    place of what chose slices before, since the other steps look at a picture or at a whole volume, and not at slices
    side by side; so those steps go through all slices, which of a long loop takes a while. A recipe that puts slices
    together its own way (composed in YAML), or takes them all, keeps that unless neighbours or projections are asked
    for. With the defaults every recipe stays as it is, so that what a YAML file says of slices counts.

    Args:
        recipe: any.
        volumes: "slices", each an instance; "neighbours", each with the slice before and after it as three channels;
            "projections", three maximum-intensity projections.
        slices: the most instances of a scan; projections are three.

    Raises:
        InputError: there is no such choice, or three slices of the recipe's channels are more than 16.
    """
    if volumes not in VOLUMES:
        raise InputError(f"volumes: there is no {volumes!r}; choose one of {', '.join(VOLUMES)}")
    here = [step.name for step in recipe.steps if step.name in SLICES]
    if volumes == "slices" and (slices == 16 or set(here) != {"choose_slices"}):
        return recipe
    others = tuple(step for step in recipe.steps if step.name not in SLICES)
    at = [step.name in SLICES for step in recipe.steps].index(True) if volumes == "slices" else len(others)
    steps = (*others[:at], VOLUMES[volumes](slices), *others[at:])
    colours = recipe.channels // made_channels(recipe.steps)  # 3 for a recipe in colour
    return replace(recipe, steps=steps, channels=colours * made_channels(steps))


def _recipe_of(modality: str) -> str:
    for name, (modalities, _) in ABOUT.items():
        if modality in modalities:
            return name
    raise InputError(f"there is no recipe for scans of modality {modality}: choose one of {', '.join(RECIPES)} by name")
