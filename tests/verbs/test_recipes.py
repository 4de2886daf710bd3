"""The list of recipes is the registry."""

from __future__ import annotations

import pytest

from medtl.intensity import RECIPES
from medtl.verbs.recipes import recipes


def test_every_recipe_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = recipes()
    assert [row["recipe"] for row in rows] == list(RECIPES)
    assert rows[0] == {
        "recipe": "ultrasound",
        "chosen for": "US, IVUS",
        "channels": "grey",
        "does": "the region that holds the picture, grey values between its own 0.5 and 99.5 percentiles",
    }
    assert "z-score within the foreground" in capsys.readouterr().out
