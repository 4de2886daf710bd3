"""How pixels become network input, as a value that is saved with every model."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from medtl.errors import InputError, ScanError, nearest
from medtl.intensity.allowed import fault_of
from medtl.intensity.colour import as_colour, as_grey
from medtl.intensity.geometry import FROM_START, fit_square
from medtl.intensity.steps import CHANNELS, COMMON, LEARNERS, STEPS, VERSIONS
from medtl.intensity.values import BLACK, WHITE
from medtl.scans.scan import Scan

MOST_CHANNELS = 16
ROUNDING = 1e-4  # of resampling and resizing, where values are -1 to 1
FLIPS = ("flip", "flip_vertical")  # what augmentation may do: no part of the digest


@dataclass(frozen=True)
class Step:
    """One step of a recipe: a function of `medtl.intensity.steps` by its name, and its parameters in JSON's types."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in STEPS:
            advice = nearest(self.name, STEPS, f"this medtl knows {', '.join(sorted(STEPS))}")
            raise InputError(f"recipe step {self.name!r} is unknown: {advice}")
        known = list(inspect.signature(STEPS[self.name]).parameters)[1:]
        try:
            object.__setattr__(self, "parameters", _plain(self.parameters))
            if strange := [key for key in self.parameters if key not in known]:
                advice = nearest(strange[0], known, f"it has {', '.join(known) or 'none'}")
                raise InputError(f"recipe step {self.name!r} has no parameter {strange[0]!r}: {advice}")
            inspect.signature(STEPS[self.name]).bind(None, **self.parameters)
        except TypeError as error:
            listed = ", ".join(known) or "none"
            raise InputError(f"recipe step {self.name!r}: {error}; its parameters: {listed}") from error
        if fault := fault_of(self.name, self.arguments):
            raise InputError(f"recipe step {self.name!r}: {fault}")

    def __call__(self, scan: Scan) -> Scan:
        """The scan after this step."""
        return STEPS[self.name](scan, **self.parameters)

    @property
    def arguments(self) -> dict[str, Any]:
        """All parameters, those that nobody told by their defaults."""
        bound = inspect.signature(STEPS[self.name]).bind(None, **self.parameters)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    @property
    def needs_fit(self) -> bool:
        """Whether it has still to learn a parameter from a cohort."""
        return bool(self._unknown)

    def fit(self, scans: Iterable[Scan]) -> Step:
        """The step with what it learns from scans as the steps before it leave them; itself where it has learnt."""
        if not self.needs_fit:
            return self
        told = {name: value for name, value in self.parameters.items() if name not in self._unknown}
        return Step(self.name, {**told, **LEARNERS[self.name](scans, **told)})

    @property
    def _unknown(self) -> list[str]:
        """The parameters that a learner gives (their default is None) and that nobody has given yet."""
        if self.name not in LEARNERS:
            return []
        learnt = [each for each in inspect.signature(STEPS[self.name]).parameters.values() if each.default is None]
        return [each.name for each in learnt if self.parameters.get(each.name) is None]


@dataclass(frozen=True)
class Recipe:
    """How a scan becomes network input: `recipe(scan)`. Named, versioned, saved with every model.

    The steps decide the channels. Each step of `CHANNELS` (several CT windows, neighbouring slices) multiplies them;
    a recipe whose `channels` is just that product (1 without such a step) turns colour to grey first, and one with
    three times as many keeps red, green and blue.

    Attributes:
        name: its name in `RECIPES`, or that of the file which composes it.
        version: rises whenever the recipe of this name has other steps than before.
        size: rows and columns of each instance.
        channels: of each instance, 1 to 16.
        steps: what sets this recipe apart, in order. Before them a scan becomes grey or colour; after them every
            recipe ends alike: resized to `size` with its aspect kept and padded with black to a square.
        flip: whether left for right shows something that could be a patient, so that augmentation may do it. No part
            of the digest: it changes no pixel.
        flip_vertical: likewise top for bottom, of pictures without an up: cells, tissue, skin, the inside of a gut.
    """

    name: str
    version: int = 1
    size: int = 112
    channels: int = 1
    steps: tuple[Step, ...] = ()
    flip: bool = False
    flip_vertical: bool = False

    def __post_init__(self) -> None:
        if not _whole(self.size) or not 8 <= self.size <= 4096:
            raise InputError(f"recipe {self.name!r}: size is {self.size!r}; give whole pixels from 8 to 4096")
        for key in FLIPS:
            if not isinstance(getattr(self, key), bool):
                raise InputError(f"recipe {self.name!r}: {key} is {getattr(self, key)!r}; give true or false")
        made = made_channels(self.steps)
        if not _whole(self.channels) or self.channels not in (made, 3 * made) or self.channels > MOST_CHANNELS:
            wanted = " or ".join(str(n) for n in (made, 3 * made) if n <= MOST_CHANNELS) or f"at most {MOST_CHANNELS}"
            raise InputError(
                f"recipe {self.name!r}: channels is {self.channels!r} and its steps make {made} of grey and "
                f"{3 * made} of red, green, blue: give {wanted}"
            )

    @property
    def needs_fit(self) -> bool:
        """Whether a step has still to learn from a cohort: see `fit`."""
        return any(step.needs_fit for step in self.steps)

    def fit(self, scans: Iterable[Scan]) -> Recipe:
        """The recipe with what its steps learn from `scans`, each from the scans as the steps before it leave them.

        A step that has learnt already stays as it is. Scans that show nothing are left out. The scans are gone
        through once for each learning step; where several learn and `scans` is an iterator, all are held in memory.

        Raises:
            InputError: a step has to learn and no scan can be used.
        """
        if sum(step.needs_fit for step in self.steps) > 1 and isinstance(scans, Iterator):
            scans = list(scans)
        steps: list[Step] = []
        for step in self.steps:
            steps.append(step.fit(self._after(steps, scans)) if step.needs_fit else step)
        return replace(self, steps=tuple(steps))

    def __call__(self, scan: Scan) -> np.ndarray:
        """Network input: float32 (instances, channels, size, size) in [-1, 1]; a picture is a bag of one.

        Raises:
            ScanError: the scan has no pixels, or one value everywhere, or a step cannot be done on it.
            InputError: a step has not been fitted, or none brings the pixels to [-1, 1].
        """
        pixels = self._done(scan).pixels
        pixels = np.moveaxis(pixels, -1, 1) if pixels.ndim == 4 else pixels[:, None]
        if pixels.shape[1] != self.channels:
            raise ScanError(f"recipe {self.name!r} made {pixels.shape[1]} channels of it, not {self.channels}")
        if pixels.min() < BLACK - ROUNDING or pixels.max() > WHITE + ROUNDING:
            raise InputError(
                f"recipe {self.name!r} leaves values from {pixels.min():g} to {pixels.max():g}, and a network takes -1 "
                "to 1: add a step that brings them there, such as percentile_window, z_score, bit_range or window"
            )
        return np.ascontiguousarray(pixels, dtype=np.float32)

    def place_of(self, scan: Scan) -> tuple[int, np.ndarray] | None:
        """Where the network input lies in the scan, whatever was cropped, turned or resized on the way.

        Returns:
            how many instances there are, and float64 (4, 4), from the index (instance, row, column, 1) of
            `recipe(scan)` to that of `scan.pixels`; the padding around a picture lands outside it. None where an
            instance is no slice but a projection.

        Raises:
            ScanError: as `recipe(scan)`.
        """
        if len(scan.pixels) > 1 and any(step.name == "project" for step in self.steps):
            return None
        done = self._done(replace(scan, header={**scan.header, FROM_START: np.eye(4)}))
        return len(done.pixels), np.asarray(done.header[FROM_START])

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that decides the pixels."""
        decides = {key: value for key, value in self.to_dict().items() if key not in FLIPS}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The recipe in JSON's types, with the version of each step and of what all recipes have in common."""
        return {
            "name": self.name,
            "version": self.version,
            "size": self.size,
            "channels": self.channels,
            "flip": self.flip,
            "flip_vertical": self.flip_vertical,
            "common": COMMON,
            "steps": [
                {"name": step.name, "version": VERSIONS.get(step.name, 1), "parameters": dict(step.parameters)}
                for step in self.steps
            ],
        }

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises:
            InputError: it is damaged, or this medtl has no such step or parameter, or makes another version of it.
        """
        try:
            name, size, channels, version = (saved[key] for key in ("name", "size", "channels", "version"))
            steps = [(step["name"], step.get("version"), dict(step["parameters"])) for step in saved["steps"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "recipe.json is not a recipe: it was changed or cut off; take the whole Run again"
            ) from error
        if not {"common", "flip"} <= set(saved) or any(its_version is None for _, its_version, _ in steps):
            raise InputError(
                "recipe.json does not say which versions of its steps made the pixels, as older medtl did not: "
                "use the medtl that the model was trained with, or train again"
            )
        known = {"name", "version", "size", "channels", *FLIPS, "common", "steps"}
        if unknown := sorted(set(saved) - known):
            raise InputError(f"recipe.json has {unknown[0]!r}, which this medtl does not know: it needs a newer medtl")
        _same_version("what all recipes have in common", saved["common"], COMMON)
        made = []
        for step, its_version, parameters in steps:
            made.append(Step(step, parameters))
            _same_version(f"recipe step {step!r}", its_version, VERSIONS.get(step, 1))
        return Recipe(name, version, size, channels, tuple(made), saved["flip"], saved.get("flip_vertical", False))

    def _done(self, scan: Scan) -> Scan:
        """The scan after all steps, in its square."""
        scan = self._start(scan)
        for step in self.steps:
            scan = step(scan)
        return fit_square(scan, self.size)

    def _start(self, scan: Scan) -> Scan:
        scan = _sound(scan)
        return as_grey(scan) if self.channels == made_channels(self.steps) else as_colour(scan)

    def _after(self, steps: list[Step], scans: Iterable[Scan]) -> Iterator[Scan]:
        """The scans that show something, after these steps."""
        for scan in scans:
            try:
                scan = self._start(scan)
                for step in steps:
                    scan = step(scan)
            except ScanError:
                continue
            yield scan


def made_channels(steps: Iterable[Step]) -> int:
    """How many channels the steps make of one, as `CHANNELS` tells."""
    return math.prod(CHANNELS[step.name](**step.arguments) for step in steps if step.name in CHANNELS)


def _same_version(what: str, saved: Any, made: int) -> None:
    if saved != made:
        raise InputError(
            f"{what} is of version {saved} and this medtl makes version {made}: the pixels would differ; "
            "use the medtl that the model was trained with, or train again"
        )


def _whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _plain(value: Any) -> Any:
    """The same in JSON's types, so that a recipe equals itself after it was saved."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"{value!r} is no number, text, list or mapping")


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
