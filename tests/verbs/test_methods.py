"""The list of methods is the registry."""

from __future__ import annotations

from medtl.finetuning import STRATEGIES
from medtl.training.config import ADAPTING
from medtl.training.mixes import HARMONISERS
from medtl.verbs.methods import methods


def test_every_method_names_its_paper() -> None:
    rows = methods()
    assert [row["method"] for row in rows] == [*ADAPTING, *STRATEGIES, *HARMONISERS]
    assert all(row["what"] and any(digit.isdigit() for digit in row["paper"]) for row in rows)


def test_methods_on_features_are_listed_too() -> None:
    rows = {row["method"]: row for row in methods()}
    assert rows["tca"]["verb"] == "adapt"
    assert rows["tca"]["learns from"] == "source, target"


def test_harmonisation_says_how_it_is_asked_for() -> None:
    """It is no --method: the verb's column names the config's key."""
    verbs = {row["method"]: row["verb"] for row in methods()}
    assert verbs["dann"] == "adapt"
    assert verbs["fda"] == "adapt, config `harmonise`"
