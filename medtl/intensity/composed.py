"""A recipe that somebody composed of steps in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medtl.errors import InputError, nearest
from medtl.files import read_yaml
from medtl.intensity.recipe import FLIPS, Recipe, Step, made_channels

_KEYS = ("name", "size", "channels", *FLIPS, "steps")


def is_recipe_file(name: str | Path) -> bool:
    """Whether this names a file with a recipe rather than a recipe of `RECIPES`."""
    return str(name).lower().endswith((".yaml", ".yml", ".json"))


def recipe_from_file(path: str | Path, size: int = 112) -> Recipe:
    """The recipe that a YAML file composes, or that of a Run: its recipe.json, with all that it has learnt.

    Raises:
        InputError: as `recipe_from_yaml` and `Recipe.from_dict`.
    """
    if Path(path).suffix.lower() != ".json":
        return recipe_from_yaml(path, size)
    from medtl.scans.table import read_json

    return Recipe.from_dict(read_json(Path(path)))


def recipe_from_yaml(path: str | Path, size: int = 112) -> Recipe:
    """The recipe that a YAML file composes.

        name: chest-windows            # the file's name unless told
        size: 160                      # rows and columns; as the config says unless told
        channels: 2                    # what the steps make of grey unless told; three times that keeps colours
        flip: false                    # whether left for right is still a patient; false unless told
        flip_vertical: false           # whether top for bottom is; false unless told
        steps:
          - orient
          - choose_slices: {most: 24}
          - windows: {names: [lung, [50, 350]]}

    Args:
        path: of the file.
        size: rows and columns where the file tells none.

    Raises:
        InputError: the file is not there or no YAML, or a key, step or parameter is unknown; it names the nearest.
    """
    path = Path(path)
    told = _read(path)
    if unknown := [key for key in told if key not in _KEYS]:
        raise InputError(f"{path.name}: there is no key {unknown[0]!r}{_nearest(unknown[0])}")
    steps = told.get("steps")
    if not isinstance(steps, list) or not steps:
        raise InputError(f"{path.name}: give `steps:`, a list of names such as `- orient`; see `medtl recipes`")
    try:
        made = tuple(_step(each) for each in steps)
        return Recipe(
            name=str(told.get("name", path.stem)),
            size=told.get("size", size),
            channels=told.get("channels", made_channels(made)),
            steps=made,
            flip=told.get("flip", False),
            flip_vertical=told.get("flip_vertical", False),
        )
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _read(path: Path) -> Mapping[str, Any]:
    told = read_yaml(path, "there is no such recipe file; see docs/recipes.md for how to compose one")
    if not isinstance(told, Mapping):
        raise InputError(f"{path}: is not a list of `key: value` lines; see docs/recipes.md for an example")
    return told


def _step(told: Any) -> Step:
    """A step written as its name, or as its name with parameters."""
    if isinstance(told, str):
        return Step(told)
    if isinstance(told, Mapping) and len(told) == 1:
        ((name, parameters),) = told.items()
        if parameters is None or isinstance(parameters, Mapping):
            return Step(str(name), dict(parameters or {}))
        raise InputError(f"recipe step {name!r}: write its parameters by name, such as {{most: 16}}")
    raise InputError(f"recipe step {told!r}: write a name, or one name with its parameters, `- window: {{level: 40}}`")


def _nearest(key: Any) -> str:
    return ": " + nearest(key, _KEYS, f"there is {', '.join(_KEYS)}")
