"""What a training run can be told, from a YAML file under `configs/` or from flags; saved whole in the Run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from medtl.data.augmentation import Augmentation
from medtl.data.units import Unit
from medtl.errors import InputError, nearest
from medtl.files import read_yaml
from medtl.finetuning import DEFAULT as DEFAULT_STRATEGY
from medtl.finetuning import STRATEGIES
from medtl.intensity import Recipe
from medtl.intensity.composed import is_recipe_file
from medtl.measures.validation import SCORES
from medtl.methods import METHODS
from medtl.methods.shallow import FEATURE_METHODS
from medtl.models import DEFAULT
from medtl.training.loop import Plan
from medtl.training.mixes import HARMONISERS, MIXES

#: What `adapt` can do: train with a method, or fit one on features.
ADAPTING: dict[str, type] = {**METHODS, **FEATURE_METHODS}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """One phase of training.

    The defaults are measured: docs/benchmarks.md, "How the defaults were chosen".
    """

    steps: int = Field(150, ge=1, description="optimiser steps")
    batch: int = Field(32, ge=2, description="scans a site and step")
    lr: float = Field(1e-3, gt=0, description="learning rate of the new layers")
    backbone_lr: float = Field(0.2, ge=0, description="the backbone's, as a fraction of lr")
    weight_decay: float = Field(1e-2, ge=0)
    warmup: int = Field(10, ge=0, description="steps of a rising learning rate")

    def plan(self) -> Plan:
        """What the loop needs of it."""
        return Plan(self.steps, self.batch, self.lr, self.backbone_lr, self.weight_decay, self.warmup)


class Views(_Strict):
    """Random views of the scans: see medtl.data.augmentation."""

    rotation: float = Field(15.0, ge=0, le=180, description="degrees, either way")
    scale: float = Field(0.15, ge=0, lt=1)
    translation: float = Field(0.08, ge=0, lt=1)
    flip: float | None = Field(None, ge=0, le=1, description="left for right; null: as the recipe's anatomy allows")
    flip_vertical: float | None = Field(None, ge=0, le=1, description="top for bottom; null: where there is no up")
    contrast: float = Field(0.25, ge=0, lt=1)
    brightness: float = Field(0.1, ge=0, le=1)
    gamma: float = Field(0.3, ge=0)
    noise: float = Field(0.05, ge=0, le=1)
    blur: float = Field(0.2, ge=0, le=1, description="of a Gaussian blur, its probability")
    blur_sigma: float = Field(1.0, gt=0, le=16, description="its largest deviation in pixels, the smallest being half")
    holes: int = Field(0, ge=0, le=64, description="squares of mid grey: coarse dropout")
    hole: float = Field(0.2, gt=0, le=1, description="the side of a hole, a fraction of the picture's")

    def augmentation(self, recipe: Recipe) -> Augmentation:
        """What the loop needs of it, for scans that the recipe prepares."""
        told = self.model_dump()
        if self.flip is None:
            told["flip"] = 0.5 if recipe.flip else 0.0
        if self.flip_vertical is None:
            told["flip_vertical"] = 0.5 if recipe.flip_vertical else 0.0
        return Augmentation(**told)


class Config(_Strict):
    """Everything that `adapt` and `finetune` can be told."""

    method: str = Field("dann", description="see `medtl methods`")
    methods: tuple[str, ...] = Field(
        (), description="instead of one method several, one after the other; the best is chosen without target labels"
    )
    select: str = Field("auto", description="by which score the best is chosen: docs/choosing.md")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="the method's own, such as weight: 0.3; of several `methods`, by name, such as dann: {weight: 0.3}",
    )
    candidates: list[dict[str, Any]] = Field(
        default_factory=list,
        description="options of the one method to try one after the other, such as [{weight: 0.1}, {weight: 1}]",
    )
    with_source_only: bool = Field(
        False, description="hand over the mean of the adapted and the source-only model's answers, at twice the cost"
    )
    strategy: str = Field(DEFAULT_STRATEGY, description="of finetune: see `medtl methods`")
    strategy_options: dict[str, Any] = Field(
        default_factory=dict, description="the strategy's own, such as decay: 0.8 of layer-decay"
    )
    early_stopping: bool = Field(
        True, description="of finetune, with 20 patients of each class: see on a fifth of them how long to train"
    )
    backbone: str = Field(DEFAULT, description="a timm model")
    weights: Path | None = Field(None, description="a file with the backbone's weights")
    pretrained: bool = Field(True, description="false: from random weights, to see what ImageNet's are worth")
    recipe: str = Field("auto", description="see `medtl recipes`")
    volumes: Literal["slices", "neighbours", "projections"] = Field(
        "slices", description="what of a volume the backbone sees: slices, each with its neighbours, or projections"
    )
    slices: int = Field(16, ge=1, le=1024, description="instances of a volume at most")
    pooling: Literal["mean", "attention"] = Field("mean", description="how the instances of a scan become one")
    unit: Unit = Field("series", description="what gets one prediction")
    harmonise: tuple[str, ...] = Field(
        (), description="at pixel level, beside the method: histogram, landmarks, fda, mixstyle"
    )
    balance: tuple[Literal["class", "site", "patient"], ...] = Field(
        ("class", "site"), description="what is dealt equally often"
    )
    prior: Literal["source", "em", "bbse"] = Field(
        "source", description="of adapt: whose class shares are expected: the source's, or the target's by an estimate"
    )
    size: int = Field(112, ge=32, le=1024, description="rows and columns of the network input")
    seed: int = Field(0, ge=0)
    device: str = Field("auto", description="auto, cpu, cuda, mps")
    devices: int = Field(1, ge=1)
    precision: str = Field("32-true", description="of Lightning Fabric: 32-true, bf16-mixed, 16-mixed")
    source: Training = Training()
    adapt: Training = Training(steps=75)
    finetune: Training = Training(steps=100)
    augmentation: Views = Views()

    @field_validator("source", "adapt", "finetune", mode="before")
    @classmethod
    def _the_rest_as_it_is(cls, told: Any, info: ValidationInfo) -> Any:
        """A section that is told in part keeps its own defaults, not those of another section."""
        default = cls.model_fields[str(info.field_name)].default.model_dump()
        return {**default, **told} if isinstance(told, Mapping) else told

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        return _known(name, ADAPTING, "method", "medtl methods")

    @field_validator("methods", mode="before")
    @classmethod
    def _listed(cls, told: Any) -> Any:
        """`methods: dann, mcc` and `--methods dann,mcc` are `methods: [dann, mcc]`."""
        return _names(told)

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_known(name, ADAPTING, "method", "medtl methods") for name in names))

    @field_validator("select")
    @classmethod
    def _known_score(cls, name: str) -> str:
        return _known(name, {"auto": None, **SCORES}, "score", "medtl adapt --help")

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, name: str) -> str:
        return _known(name, STRATEGIES, "strategy", "medtl methods")

    @field_validator("harmonise", "balance", mode="before")
    @classmethod
    def _one_or_several(cls, told: Any) -> Any:
        """`harmonise: fda` is `harmonise: [fda]`."""
        return (told,) if isinstance(told, str) else told

    @field_validator("harmonise")
    @classmethod
    def _known_harmonisers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _known(name, HARMONISERS, "harmonisation", "medtl methods")
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _options_of_the_method(self) -> Config:
        if self.methods and self.candidates:
            raise ValueError("candidates are options of one method: name it with `method`, and leave out `methods`")
        told: list[tuple[str, Any]] = [(self.method, each) for each in (self.options, *self.candidates)]
        if self.methods:
            told = list(self.options.items())
        for name, options in told:
            if not isinstance(options, dict):
                example = f"{{{self.methods[0]}: {{weight: 0.3}}}}"
                raise ValueError(f"options of several methods stand by name, such as {example}")
            if self.methods:
                _known(name, dict.fromkeys(self.methods), "method among `methods`", "medtl methods")
            _settle_options(name, ADAPTING[name], options)
        for name, _ in self.trials():
            if name in FEATURE_METHODS and set(self.harmonise) & set(MIXES):
                raise ValueError(
                    f"{name} trains on no batches, on which {' and '.join(MIXES)} act: leave them out of harmonise"
                )
        _settle_options(self.strategy, STRATEGIES[self.strategy], self.strategy_options)
        return self

    def trials(self) -> list[tuple[str, dict[str, Any]]]:
        """(method, its options), to be tried one after the other."""
        if self.methods:
            return [(name, self.options.get(name, {})) for name in self.methods]
        return [(self.method, {**self.options, **each}) for each in self.candidates or [{}]]

    def alone(self, method: str, options: Mapping[str, Any]) -> Config:
        """The same for one method: it has learnt nothing of what else is tried, nor of how is chosen."""
        told = {"method": method, "methods": (), "select": "auto", "options": dict(options), "candidates": []}
        return self.model_copy(update=told)


def load_config(path: str | Path | None = None, **flags: Any) -> Config:
    """The configuration in a YAML file, overruled by the flags that are given (not None).

    A recipe's file that it names is looked for beside it first, as recipe.json lies beside the config.yaml of a Run.

    Raises:
        InputError: the file is not there, is not YAML, or says what is not known; a misspelt key names the nearest.
    """
    told: dict[str, Any] = {}
    where = "the options"
    if path is not None:
        where = str(path)
        told = read_yaml(Path(path), "no such config; see configs/ for examples") or {}
        if not isinstance(told, Mapping):
            raise InputError(f"{path}: is not a list of `key: value` lines; see configs/ for examples")
        recipe = told.get("recipe")
        if isinstance(recipe, str) and is_recipe_file(recipe) and (Path(path).parent / recipe).is_file():
            told = {**told, "recipe": str(Path(path).parent / recipe)}
    given = {name: value for name, value in flags.items() if value is not None}
    if "method" in given and "methods" in given:
        raise InputError(f"{where}: give one with --method or several with --methods, not both")
    told = _of_what_is_asked_for(told, given)
    try:
        return Config.model_validate({**told, **given})
    except ValidationError as error:
        raise InputError(f"{where}: {_in_plain_words(error)}") from error


def _of_what_is_asked_for(told: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's lines without options of methods and strategies other than those that the flags name."""
    left, options = dict(told), told.get("options")
    options = options if isinstance(options, Mapping) else {}
    method = told.get("method", Config.model_fields["method"].default)
    if "methods" in given:
        by_name = options if told.get("methods") else {method: options}
        left["options"] = {name: by_name[name] for name in _names(given["methods"]) if by_name.get(name)}
        left.pop("candidates", None)
    elif "method" in given and told.get("methods"):
        left["options"] = options.get(given["method"], {})
        left.pop("methods")
    elif given.get("method", method) != method:
        left = {name: value for name, value in left.items() if name not in ("options", "candidates")}
    if given.get("strategy", DEFAULT_STRATEGY) != told.get("strategy", DEFAULT_STRATEGY) and "strategy" in given:
        left.pop("strategy_options", None)
    return left


def _names(told: Any) -> Any:
    """("dann", "mcc") of "dann,mcc", ["dann", "mcc"] and ["dann,mcc"]; anything else as it is."""
    told = [told] if isinstance(told, str) else told
    if not isinstance(told, list | tuple) or not all(isinstance(each, str) for each in told):
        return told
    return tuple(name.strip() for each in told for name in each.split(",") if name.strip())


def _settle_options(name: str, chosen: type, told: dict[str, Any]) -> None:
    """See that a method or strategy takes the options, and turn their values into what it takes.

    YAML reads 1e-3, which has no point, as a word.
    """
    allowed = dict(inspect.signature(chosen, eval_str=True).parameters)
    allowed.pop("classifier", None)
    for option, value in told.items():
        if option not in allowed:
            raise ValueError(f"{name} has no option {option!r}{_nearest(option, allowed)}")
        try:
            told[option] = TypeAdapter(allowed[option].annotation).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"option {option} of {name} is {value!r}: {error.errors()[0]['msg']}") from error


def _known(name: str, registry: Mapping[str, Any], noun: str, verb: str) -> str:
    if name not in registry:
        raise ValueError(f"there is no {noun} {name!r}{_nearest(name, registry)}; see `{verb}`")
    return name


def _nearest(name: str, known: Any) -> str:
    return ": " + nearest(name, known, f"there is {', '.join(sorted(known)) or 'none'}")


def _in_plain_words(error: ValidationError) -> str:
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        model: Any = Config
        for part in place[:-1]:
            model = model.model_fields[part].annotation
        return f"there is no key {'.'.join(place)!r}{_nearest(place[-1], model.model_fields)}"
    if fault["type"] == "value_error":  # ours, a whole sentence already
        return fault["msg"].removeprefix("Value error, ")
    return f"{'.'.join(place)}: {fault['msg']}"
