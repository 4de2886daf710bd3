"""Which recipe a training gets: by whose scans, with whose options, and how its Run names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from medtl import progress
from medtl.errors import InputError
from medtl.intensity import RECIPES, Recipe, Step
from medtl.intensity.recipes import for_volumes, harmonised
from medtl.runs.layout import write_json
from medtl.scans import Manifest, Scan
from medtl.scans.manifest import COLUMNS
from medtl.training.config import Config, load_config
from medtl.verbs._recipe import as_made, as_started, recipe_of


@pytest.fixture(autouse=True)
def quiet():
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")


def pictures(folder: Path, splits: list[str], coloured: tuple[str, ...] = ()) -> Manifest:
    """One a split named; those of the splits `coloured` are red, green and blue."""
    random = np.random.default_rng(0)
    rows = []
    for i, split in enumerate(splits):
        pixels = random.integers(0, 255, (40, 40, 3) if split in coloured else (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        told = {"scan_id": f"{i:012x}", "patient": f"P-{i}", "path": str(folder / f"{i}.png"), "split": split}
        rows.append({**dict.fromkeys(COLUMNS, ""), "label": "yes", "status": "ok", **told})
    return Manifest(pd.DataFrame(rows))


def a_run(recipe: Recipe, /, **config: object) -> SimpleNamespace:
    facts = {"backbone": "resnet10t", "pooling": "attention"}
    told = {"recipe": recipe, "path": "RUN", "facts": facts, "unit": "study", "config": config}
    return SimpleNamespace(**told, backbone_of=lambda which: facts["backbone"])


def fitted(recipe: Recipe) -> Recipe:
    random = np.random.default_rng(0)
    return recipe.fit([Scan(random.integers(0, 255, (1, 40, 40)).astype(np.float32)) for _ in range(3)])


def test_scans_of_the_test_splits_choose_no_recipe(tmp_path: Path) -> None:
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
    ours = pictures(tmp_path / "a", ["train", *["test"] * 5, *["calibrate"] * 5], coloured=("test", "calibrate"))
    theirs = pictures(tmp_path / "b", ["train", *["test"] * 5], coloured=("test",))
    assert recipe_of(Config(), ours, theirs).name == "picture"
    assert recipe_of(Config(), pictures(tmp_path, ["train"] * 3, coloured=("train",)), theirs).name == "colour"


# ---- a Run to start from -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"recipe": "ct-brain"}, "recipe: RUN was trained with picture, and what starts from it cannot have ct-brain"),
        ({"volumes": "neighbours"}, "volumes: RUN was trained with slices, .* leave volumes out, or train anew"),
        ({"slices": 4}, "slices: RUN was trained with 16"),
        ({"unit": "series"}, "unit: RUN was trained with study"),
        ({"pooling": "mean"}, "pooling: RUN was trained with attention"),
        ({"size": 224}, "size: RUN was trained with 112"),
        ({"backbone": "other"}, "backbone: RUN was trained with resnet10t"),
        ({"harmonise": "landmarks"}, "harmonise: landmarks is part of the recipe, and RUN was trained without it"),
    ],
)
def test_what_a_run_has_settled_is_not_told_otherwise_in_silence(told: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        as_started(Config(**told), a_run(RECIPES["picture"]))


def test_what_a_run_has_settled_stands_in_the_config() -> None:
    recipe = fitted(for_volumes(harmonised(replace(RECIPES["picture"], size=64), ["histogram"]), "neighbours", 4))
    start = a_run(recipe, volumes="neighbours", slices=4)
    settled = as_made(as_started(Config(harmonise="mixstyle"), start), recipe)
    assert settled == Config(
        recipe="picture", volumes="neighbours", slices=4, size=64, unit="study", pooling="attention",
        backbone="resnet10t", harmonise=("histogram", "mixstyle"),
    )  # fmt: skip
    assert as_started(settled, start) == settled  # and may be told again
    assert recipe_of(settled, pictures_of_none(), start=start) is recipe


def pictures_of_none() -> Manifest:
    return Manifest(pd.DataFrame(columns=list(COLUMNS)))


# ---- how a Run names its recipe --------------------------------------------------------------------------------------
def test_a_recipe_of_ones_own_is_found_again_without_its_path(tmp_path: Path) -> None:
    """With all that it has learnt, by the Run's config, and also to start from that Run."""
    file = tmp_path / "Smith" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("size: 64\nsteps: [{choose_slices: {most: 24}}, bit_range]", encoding="utf-8")
    told = load_config(recipe=str(file), harmonise="landmarks")
    recipe = recipe_of(told, pictures(tmp_path, ["train"] * 3))
    saved = as_made(told, recipe)
    assert (saved.recipe, saved.size) == ("recipe.json", 64)
    run = tmp_path / "run"
    run.mkdir()
    write_json(run / "recipe.json", recipe.to_dict())
    (run / "config.yaml").write_text(yaml.safe_dump(saved.model_dump(mode="json")), encoding="utf-8")

    again = load_config(run / "config.yaml")
    assert recipe_of(again, pictures(tmp_path, ["train"])) == recipe
    start = a_run(recipe, **saved.model_dump())
    own = {"unit": "study", "pooling": "attention", "backbone": "resnet10t"}
    assert as_started(again.model_copy(update=own), start).recipe == str(run / "recipe.json")
    assert as_started(told, start).size == 64  # what the recipe's file says of the size counts
    file.write_text("size: 64\nsteps: [{choose_slices: {most: 12}}, bit_range]", encoding="utf-8")
    with pytest.raises(InputError, match="recipe: RUN was trained with mine"):
        as_started(told, start)


@pytest.mark.parametrize("volumes", ["slices", "neighbours", "projections"])
@pytest.mark.parametrize("name", list(RECIPES))
def test_a_known_recipe_goes_by_its_name(name: str, volumes: str) -> None:
    told = Config(volumes=volumes, slices=4, harmonise="landmarks" if RECIPES[name].channels == 1 else ())
    recipe = for_volumes(harmonised(replace(RECIPES[name], size=48), told.harmonise), volumes, 4)
    recipe = fitted(recipe) if name == "picture" else recipe
    assert (as_made(told, recipe).recipe, as_made(told, recipe).size) == (name, 48)
    another = replace(recipe, steps=(Step("orient"), *recipe.steps))
    assert as_made(told, another).recipe == "recipe.json"


def test_what_the_config_makes_of_a_recipe_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress.set_mode("auto")
    manifest = pictures(tmp_path, ["train", "train"])
    recipe_of(Config(), manifest)
    assert "As the config wants it" not in capsys.readouterr().out
    recipe_of(Config(slices=4), manifest)
    assert "As the config wants it: choose_slices most 4, bit_range." in capsys.readouterr().out
