"""Which recipe the scans of a training get: chosen, made for volumes, harmonised, and fitted on the source alone."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from medtl.errors import InputError, ScanError
from medtl.intensity import Recipe, recipe_for_scans
from medtl.intensity.composed import is_recipe_file
from medtl.intensity.differences import Sight, differences, watched
from medtl.intensity.recipes import HARMONISING_STEPS, RECIPES, for_volumes, harmonised, recipe_for
from medtl.progress import say, track, warn
from medtl.runs.run import Run
from medtl.scans import Manifest, Row, Scan, read
from medtl.training.config import Config
from medtl.verbs._training import not_test

#: Scans of the source that a recipe learns from at most: the mean histogram of 200 changes little with more.
LEARNT_FROM = 200


def recipe_of(
    config: Config, labelled: Manifest, unlabelled: Manifest | None = None, start: Run | None = None
) -> Recipe:
    """The recipe for these scans, ready to use; what was chosen and why is said, and where two sites differ, warned.

    What it learns it learns from the labelled side's train split, so that neither the scans held out nor the new site
    have a say in it. The recipe of a Run to start from stays as it is: its network knows no other pixels.

    Raises:
        InputError: there is no recipe for these scans, or what it is asked to do with them cannot be done.
    """
    ours: list[Sight] = []
    theirs: list[Sight] = []
    few = itertools.chain(
        watched(_some_scans(labelled.split("train")), ours),
        watched(_some_scans(not_test(unlabelled)) if unlabelled else iter(()), theirs),
    )
    if start is not None:
        recipe = start.recipe
    else:
        chosen, why = recipe_for_scans(few, config.size, config.recipe)
        recipe = _as_wanted(chosen, config)
        say(why if recipe == chosen else f"{why} As the config wants it: {_in_words(recipe)}.")
    deque(few, maxlen=0)  # a Run's recipe needed none of them
    for text in differences(ours, theirs, recipe):
        warn(text)
    if not recipe.needs_fit:
        return recipe
    rows = to_learn_from(list(labelled.split("train").usable))
    return recipe.fit(_Scans(rows, "Learning grey values of the source"))


def to_learn_from(rows: list[Row], most: int = LEARNT_FROM) -> list[Row]:
    """At most `most` of the source's training scans, evenly spaced: those that a recipe learns from."""
    return rows[:: -(-len(rows) // most)]


def _in_words(recipe: Recipe) -> str:
    """Its steps, with the numbers that they were given."""
    return ", ".join(
        f"{step.name} {' '.join(f'{name} {value}' for name, value in step.parameters.items())}".strip()
        for step in recipe.steps
    )


def as_started(config: Config, start: Run, which: str = "model") -> Config:
    """The config with what a Run to start from has settled: what is seen of a scan, by which network, as what unit.

    Args:
        config: as told.
        start: the Run.
        which: of its models.

    Raises:
        InputError: the config tells otherwise, in words of its own.
    """
    inside = {step.name for step in start.recipe.steps}
    for name, step in HARMONISING_STEPS.items():
        if name in config.harmonise and step not in inside:
            raise InputError(
                f"harmonise: {name} is part of the recipe, and {start.path} was trained without it: "
                "train anew with it, or leave it out"
            )
    settled = {
        "backbone": start.backbone_of(which),
        "size": start.recipe.size,
        "pooling": start.facts.get("pooling", "mean"),
        "unit": start.unit,
        **{key: start.config.get(key, Config.model_fields[key].default) for key in ("volumes", "slices")},
    }
    for key in sorted(config.model_fields_set & settled.keys()):
        told_by_recipe = key == "size" and is_recipe_file(config.recipe)
        if getattr(config, key) != settled[key] and not told_by_recipe:
            raise _otherwise(key, settled[key], getattr(config, key), start)
    on_batches = [name for name in config.harmonise if name not in HARMONISING_STEPS]
    in_order = [name for step in start.recipe.steps for name, made in HARMONISING_STEPS.items() if made == step.name]
    told = config.model_copy(update={**settled, "harmonise": (*in_order, *on_batches)})
    if config.recipe != "auto":
        named, _ = recipe_for((), told.size, config.recipe)
        if not _is_like(_as_wanted(named, told), start.recipe):
            raise _otherwise("recipe", start.recipe.name, config.recipe, start)
    return told


def as_made(config: Config, recipe: Recipe) -> Config:
    """The config as a Run keeps it, to train alike again: with the recipe's size, and its name in `RECIPES`.

    One that a file composes is named by the file beside it, recipe.json: where the user's own lay is nobody's business.
    """
    config, name = config.model_copy(update={"size": recipe.size}), recipe.name.split("+")[0]
    known = name in RECIPES and _is_like(_as_wanted(replace(RECIPES[name], size=recipe.size), config), recipe)
    return config.model_copy(update={"recipe": name if known else "recipe.json"})


def _as_wanted(recipe: Recipe, config: Config) -> Recipe:
    return for_volumes(harmonised(recipe, config.harmonise), config.volumes, config.slices)


def _is_like(named: Recipe, made: Recipe) -> bool:
    """Whether the recipe that was named is the other, but for what that has learnt since."""
    ours, theirs = named.to_dict(), made.to_dict()
    pairs = list(itertools.zip_longest(ours.pop("steps"), theirs.pop("steps")))
    return ours == theirs and all(
        a and b and a["name"] == b["name"] and a["parameters"].items() <= b["parameters"].items() for a, b in pairs
    )


def _otherwise(key: str, settled: object, told: object, start: Run) -> InputError:
    return InputError(
        f"{key}: {start.path} was trained with {settled}, and what starts from it cannot have {told}: "
        f"leave {key} out, or train anew"
    )


def _some_scans(manifest: Manifest) -> Iterator[Scan]:
    """A few scans that can be read, to choose the recipe by."""
    rows = list(manifest.usable)
    yield from _Scans(rows[:: max(1, len(rows) // 6)][:6])


@dataclass(frozen=True)
class _Scans:
    """Scans read anew each time they are gone through, so that never two are in memory; unreadable ones are passed."""

    rows: list[Row]
    progress: str = ""

    def __iter__(self) -> Iterator[Scan]:
        for row in track(self.rows, self.progress) if self.progress else self.rows:
            try:
                yield read(row)
            except ScanError:
                continue
