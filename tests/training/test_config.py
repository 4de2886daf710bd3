"""The configs that come with medtl, flags over files, and what a misspelt word is told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medtl.data.augmentation import Augmentation
from medtl.errors import InputError
from medtl.intensity.recipes import RECIPES, harmonised
from medtl.measures.validation import SCORES
from medtl.methods import METHODS
from medtl.methods.shallow import FEATURE_METHODS
from medtl.resources import configs
from medtl.training.config import Config, Views, load_config
from medtl.training.loop import Plan
from medtl.training.mixes import HARMONISERS

FILES = sorted(configs().glob("*.yaml"))


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


# ---- the files that come with medtl ------------------------------------------------------------------------------
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_config_is_valid(file: Path) -> None:
    load_config(file)


def test_adapt_yaml_states_every_key_with_its_default_and_says_what_it_is() -> None:
    file = configs() / "adapt.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == Config().model_dump(mode="json")
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not re.search(r"\S +# \S", line)]


def test_the_demo_does_less_than_the_defaults() -> None:
    demo, full = load_config(configs() / "demo.yaml"), Config()
    assert demo.source.steps < full.source.steps and demo.adapt.steps < full.adapt.steps


# ---- files and flags -----------------------------------------------------------------------------------------------
def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "seed: 3\nsize: 64\nadapt: {steps: 7}\n")
    config = load_config(file, seed=5, size=None)
    assert (config.seed, config.size, config.adapt.steps, config.source) == (5, 64, 7, Config().source)


def test_a_section_that_is_told_a_little_keeps_its_own_defaults(tmp_path: Path) -> None:
    """`adapt: {lr: 0.01}` must not bring the steps of another section."""
    config = load_config(written(tmp_path, "adapt: {lr: 0.01}\nfinetune: {batch: 8}\n"))
    assert config.adapt == Config().adapt.model_copy(update={"lr": 0.01})
    assert config.finetune == Config().finetune.model_copy(update={"batch": 8})


def test_an_empty_file_and_none_are_the_defaults(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "# nothing\n")) == load_config() == Config()


def test_an_option_is_a_number_even_where_yaml_reads_a_word(tmp_path: Path) -> None:
    """1e-3 has no point, so YAML reads a word."""
    assert load_config(written(tmp_path, "options: {weight: 1e-3}\n")).options == {"weight": 1e-3}
    several = "methods: [dann, bsp]\noptions: {bsp: {penalty: 1e-4}}\n"
    assert load_config(written(tmp_path, several)).options == {"bsp": {"penalty": 1e-4}}
    assert load_config(written(tmp_path, "candidates: [{weight: 1e-3}]\n")).candidates == [{"weight": 1e-3}]


def test_another_methods_options_go_with_it(tmp_path: Path) -> None:
    file = written(tmp_path, "method: dann\noptions: {weight: 0.5}\ncandidates: [{weight: 1}]\n")
    assert load_config(file).options == {"weight": 0.5}
    config = load_config(file, method="source-only")
    assert (config.options, config.candidates) == ({}, [])
    assert load_config(file, method="dann").options == {"weight": 0.5}
    assert load_config(written(tmp_path, "options: {weight: 0.5}\n"), method="dann").options == {"weight": 0.5}


def test_another_strategys_options_go_with_it(tmp_path: Path) -> None:
    file = written(tmp_path, "strategy: layer-decay\nstrategy_options: {decay: 0.5}\noptions: {weight: 0.5}\n")
    assert load_config(file, strategy="layer-decay").strategy_options == {"decay": 0.5}
    config = load_config(file, strategy="prototypes")
    assert (config.strategy_options, config.options) == ({}, {"weight": 0.5})


def test_several_methods_and_their_options_by_name(tmp_path: Path) -> None:
    for text in ("methods: [dann, deep-coral]", "methods: dann, deep-coral", "methods: [dann, deep-coral, dann]"):
        assert load_config(written(tmp_path, text)).methods == ("dann", "deep-coral")
    file = written(tmp_path, "methods: [dann, deep-coral]\noptions: {dann: {weight: 0.5}}\n")
    assert load_config(file).trials() == [("dann", {"weight": 0.5}), ("deep-coral", {})]
    for given in ("dann,tca", ["dann", "tca"], ["dann,tca"]):  # as the shell and a notebook give them
        assert load_config(file, methods=given).trials() == [("dann", {"weight": 0.5}), ("tca", {})]
    assert load_config(file, methods="tca").trials() == [("tca", {})]
    assert load_config(file, method="dann").trials() == [("dann", {"weight": 0.5})]
    assert load_config(file, method="deep-coral").trials() == [("deep-coral", {})]
    one = written(tmp_path, "method: dann\noptions: {weight: 0.5}\ncandidates: [{hidden: 8}, {hidden: 9}]\n")
    assert load_config(one).trials() == [("dann", {"weight": 0.5, "hidden": 8}), ("dann", {"weight": 0.5, "hidden": 9})]
    assert load_config(one, methods="dann,tca").trials() == [("dann", {"weight": 0.5}), ("tca", {})]


def test_every_score_can_select() -> None:
    assert Config().select == "auto"
    assert all(load_config(select=name).select == name for name in SCORES)


def test_a_method_alone_does_not_know_of_the_others() -> None:
    several = Config.model_validate({"methods": ["dann", "tca"], "options": {"dann": {"weight": 1}}, "select": "snd"})
    assert several.alone("dann", {"weight": 1}) == Config.model_validate({"options": {"weight": 1}})


def test_plan_and_views_are_what_was_told() -> None:
    config = Config.model_validate({"source": {"steps": 3, "lr": 0.1}, "augmentation": {"flip": 0.0}})
    assert config.source.plan() == Plan(steps=3, lr=0.1)
    assert config.augmentation.augmentation(RECIPES["picture"]).flip == 0.0


@pytest.mark.parametrize(
    ("recipe", "flip", "flip_vertical"),
    [("radiograph", 0.0, 0.0), ("ultrasound", 0.5, 0.0), ("picture", 0.5, 0.0), ("stained", 0.5, 0.5)],
)
def test_views_flip_as_the_anatomy_allows(recipe: str, flip: float, flip_vertical: float) -> None:
    view = Views().augmentation(RECIPES[recipe])
    assert (view.flip, view.flip_vertical) == (flip, flip_vertical)
    assert Views().augmentation(harmonised(RECIPES[recipe], ["histogram"])) == view
    assert Views().augmentation(replace(RECIPES[recipe], name="colour")) == view  # a name decides nothing
    told = Views(flip=0.2, flip_vertical=0.1).augmentation(RECIPES[recipe])
    assert (told.flip, told.flip_vertical) == (0.2, 0.1)


def test_views_are_by_default_those_of_the_augmentation() -> None:
    assert Views().augmentation(RECIPES["picture"]) == Augmentation()


# ---- harmonisation and balance -------------------------------------------------------------------------------------
def test_one_name_is_a_list_of_one_and_a_name_twice_is_once(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "harmonise: fda\nbalance: patient\n")).harmonise == ("fda",)
    config = load_config(written(tmp_path, "harmonise: [histogram, fda, histogram]\nbalance: []\n"))
    assert (config.harmonise, config.balance) == (("histogram", "fda"), ())


def test_every_harmonisation_can_be_configured() -> None:
    assert load_config(harmonise=tuple(HARMONISERS)).harmonise == tuple(HARMONISERS)


# ---- what is refused -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sede: 3", "there is no key 'sede': did you mean 'seed'?"),
        ("source: {stepps: 3}", "there is no key 'source.stepps': did you mean 'steps'?"),
        ("augmentation: {rotate: 3}", "there is no key 'augmentation.rotate': did you mean 'rotation'?"),
        ("colour_of_the_sky: blue", "there is no key 'colour_of_the_sky': there is adapt,"),
        ("method: dnn", "there is no method 'dnn': did you mean 'dann'?; see `medtl methods`"),
        ("options: {wieght: 1}", "dann has no option 'wieght': did you mean 'weight'?"),
        ("strategy_options: {decay: 1}", "has no option 'decay': there is none"),
        ("strategy: mme\nstrategy_options: {wait: 1}", "mme has no option 'wait': did you mean 'weight'?"),
        ("candidates: [{weight: 1}, {hiden: 3}]", "dann has no option 'hiden': did you mean 'hidden'?"),
        ("methods: [dann, dan0]", "there is no method 'dan0': did you mean 'dan"),
        ("methods: [dann, 3]", "methods.1: "),
        ("methods: [dann]\noptions: {dann: {wieght: 1}}", "dann has no option 'wieght': did you mean 'weight'?"),
        ("methods: [dann]\noptions: {dnn: {}}", "there is no method among `methods` 'dnn': did you mean 'dann'?"),
        ("methods: [dann]\noptions: {weight: 1}", "options of several methods stand by name, such as {dann: "),
        ("methods: [dann]\noptions: {dann: 1}", "options of several methods stand by name, such as {dann: "),
        ("method: CDAN-E", "there is no method 'CDAN-E': did you mean 'cdan-e'?"),
        ("options: {weight: much}", "option weight of dann is 'much': Input should be a valid number"),
        ("candidates: [{weight: much}]", "option weight of dann is 'much': Input should be a valid number"),
        ("method: graph\noptions: {k: 2.5}", "option k of graph is 2.5: Input should be a valid integer"),
        ("methods: [dann]\ncandidates: [{weight: 1}]", "candidates are options of one method"),
        ("select: sdn", "there is no score 'sdn': did you mean 'snd'?; see `medtl adapt --help`"),
        ("method: tca\nharmonise: fda", "tca trains on no batches, on which fda and mixstyle act"),
        ("method: tca\noptions: {weight: 1}", "tca has no option 'weight'"),
        ("source: {steps: none at all}", "source.steps: "),
        ("source: {steps: 0}", "source.steps: "),
        ("source: [1, 2]", "source: "),
        ("candidates: 3", "candidates: "),
        ("candidates: [3]", "candidates.0: "),
        ("size: 8", "size: "),
        ("harmonise: fad", "there is no harmonisation 'fad': did you mean 'fda'?; see `medtl methods`"),
        ("harmonise: [fda, histgram]", "did you mean 'histogram'?"),
        ("balance: [sex]", "balance.0: "),
        ("augmentation: {blurr: 1}", "there is no key 'augmentation.blurr': did you mean 'blur'?"),
        ("- a\n- list", "is not a list of `key: value` lines"),
        ("a: [", "is not a YAML file"),
        ("seed: 1\nsize: 64\n  steps: 3", "is not a YAML file: line 3, mapping values are not allowed here"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence_with_the_nearest_right_word(
    tmp_path: Path, text: str, says: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_config(file)
    assert says in str(error.value) and str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_flag_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^the options: there is no method 'dnn': did you mean 'dann'"):
        load_config(method="dnn")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such config; see configs/"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is not a YAML file"):
        load_config(tmp_path)


def test_every_method_can_be_configured() -> None:
    assert not set(METHODS) & set(FEATURE_METHODS)
    for name in (*METHODS, *FEATURE_METHODS):
        assert load_config(method=name).method == name


def test_one_method_or_several_and_not_both() -> None:
    with pytest.raises(InputError, match=r"^the options: give one with --method or several with --methods, not both"):
        load_config(method="dann", methods=["dann", "tca"])
