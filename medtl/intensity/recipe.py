"""How pixels become network input, as a value that is saved with every model."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from medtl.errors import InputError, ScanError
from medtl.intensity.colour import as_colour, as_grey
from medtl.intensity.geometry import fit_square
from medtl.intensity.steps import STEPS
from medtl.scans.scan import Scan


@dataclass(frozen=True)
class Step:
    """One step of a recipe: a function of `medtl.intensity.steps` by its name, and its parameters."""

    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in STEPS:
            raise InputError(f"recipe step {self.name!r} is unknown: this medtl knows {', '.join(sorted(STEPS))}")
        try:
            inspect.signature(STEPS[self.name]).bind(None, **self.parameters)
        except TypeError as error:
            raise InputError(f"recipe step {self.name!r}: {error}; see medtl/intensity/steps.py") from error

    def __call__(self, scan: Scan) -> Scan:
        """The scan after this step."""
        return STEPS[self.name](scan, **self.parameters)


@dataclass(frozen=True)
class Recipe:
    """How a scan becomes network input: `recipe(scan)`. Named, versioned, saved with every model.

    Attributes:
        name: its name in `RECIPES`.
        version: rises whenever the same scan would give other pixels than before.
        size: rows and columns of each instance.
        channels: 1 grey, 3 red, green, blue.
        steps: what sets this recipe apart, in order. Before them a scan becomes grey or colour; after them every
            recipe ends alike: resized to `size` with its aspect kept and padded with black to a square.
    """

    name: str
    version: int = 1
    size: int = 112
    channels: int = 1
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 8 <= self.size <= 4096:
            raise InputError(f"recipe {self.name!r}: size is {self.size!r}; give whole pixels from 8 to 4096")
        if self.channels not in (1, 3):
            raise InputError(f"recipe {self.name!r}: channels is {self.channels!r}; give 1 (grey) or 3 (colour)")

    def fit(self, scans: Iterable[Scan]) -> Recipe:
        """The recipe with what it learns from `scans`. Every step so far looks at one scan alone and learns nothing."""
        return self

    def __call__(self, scan: Scan) -> np.ndarray:
        """Network input: float32 (instances, channels, size, size) in [-1, 1]; a picture is a bag of one.

        Raises:
            ScanError: the scan has no pixels, or one value everywhere.
        """
        scan = _sound(scan)
        scan = as_grey(scan) if self.channels == 1 else as_colour(scan)
        for step in self.steps:
            scan = step(scan)
        pixels = fit_square(scan, self.size).pixels
        pixels = pixels[:, None] if self.channels == 1 else np.moveaxis(pixels, -1, 1)
        return np.ascontiguousarray(pixels, dtype=np.float32)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that decides the pixels."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The recipe in JSON's types."""
        return {
            **asdict(self),
            "steps": [{"name": step.name, "parameters": dict(step.parameters)} for step in self.steps],
        }

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises:
            InputError: this medtl has no such recipe, step or parameter, or another version of it.
        """
        from medtl.intensity.recipes import RECIPES  # the registry is made of recipes

        try:
            name, version, size, channels = (saved[key] for key in ("name", "version", "size", "channels"))
            steps = [(step["name"], dict(step["parameters"])) for step in saved["steps"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "recipe.json is not a recipe: it was changed or cut off; take the whole Run again"
            ) from error
        if unknown := sorted(set(saved) - {"name", "version", "size", "channels", "steps"}):
            raise InputError(f"recipe.json has {unknown[0]!r}, which this medtl does not know: it needs a newer medtl")
        if name not in RECIPES:
            raise InputError(f"recipe {name!r} is unknown: this medtl has {', '.join(sorted(RECIPES))}; update medtl")
        if version != RECIPES[name].version:
            raise InputError(
                f"recipe {name!r} is of version {version} and this medtl makes version {RECIPES[name].version}: "
                "the pixels would differ; use the medtl that the model was trained with, or train again"
            )
        return Recipe(name, version, size, channels, tuple(Step(step, parameters) for step, parameters in steps))


def _sound(scan: Scan) -> Scan:
    """The scan in float32 and without gaps (nan or infinite values become its smallest value)."""
    pixels = np.asarray(scan.pixels, dtype=np.float32)
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[-1] != 3):
        raise ScanError(f"the pixels have shape {pixels.shape}: (slices, rows, columns[, 3]) is needed")
    if pixels.size == 0:
        raise ScanError("the scan has no pixels: export it again")
    finite = np.isfinite(pixels)
    if not finite.any():
        raise ScanError("no pixel has a finite value: export the scan again")
    if not finite.all():
        pixels = np.where(finite, pixels, pixels[finite].min())
    if pixels.min() == pixels.max():
        raise ScanError("every pixel has the same value: there is nothing to see")
    return Scan(pixels, scan.affine, scan.modality, scan.spacing, scan.header)
