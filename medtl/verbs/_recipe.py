"""Which recipe the scans of a training get: chosen, made for volumes, harmonised, and fitted on the source alone."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from medtl.errors import InputError, ScanError
from medtl.intensity import Recipe, recipe_for_scans
from medtl.intensity.differences import Sight, differences, watched
from medtl.intensity.recipes import HARMONISERS, for_volumes, harmonised
from medtl.progress import say, track, warn
from medtl.runs.run import Run
from medtl.scans import Manifest, Row, Scan, read
from medtl.training.config import Config

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
        watched(some_scans(labelled), ours), watched(some_scans(unlabelled) if unlabelled else iter(()), theirs)
    )
    if start is not None:
        recipe = _that_of(start, config)
    else:
        recipe, why = recipe_for_scans(few, config.size, config.recipe)
        say(why)
        recipe = for_volumes(harmonised(recipe, config.harmonise), config.volumes, config.slices)
    deque(few, maxlen=0)  # with a recipe that is named already, not all have passed
    for text in differences(ours, theirs, recipe):
        warn(text)
    if not recipe.needs_fit:
        return recipe
    rows = list(labelled.split("train").usable)
    return recipe.fit(_Scans(rows[:: -(-len(rows) // LEARNT_FROM)], "Learning grey values of the source"))


def as_started(config: Config, start: Run) -> Config:
    """The config with what a Run to start from has settled: backbone, input size, pooling, and what is predicted."""
    settled = {"pooling": start.facts.get("pooling", "mean"), "unit": start.unit}
    return config.model_copy(update={"backbone": start.facts["backbone"], "size": start.recipe.size, **settled})


def _that_of(start: Run, config: Config) -> Recipe:
    there = {step.name for step in start.recipe.steps}
    if missing := [name for name in config.harmonise if name in HARMONISERS and HARMONISERS[name] not in there]:
        raise InputError(
            f"harmonise: {missing[0]} is part of the recipe, and {start.path} was trained without it: "
            "train anew with it, or leave it out"
        )
    return start.recipe


def some_scans(manifest: Manifest) -> Iterator[Scan]:
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
