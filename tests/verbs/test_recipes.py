"""The list of recipes is the registry, and so is that of steps."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from medtl.intensity import RECIPES
from medtl.intensity.steps import STEPS
from medtl.verbs.recipes import recipes


def test_every_recipe_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = recipes()["recipes"]
    assert [row["recipe"] for row in rows] == list(RECIPES)
    (row,) = (row for row in rows if row["recipe"] == "ct-head")
    assert row == {
        "recipe": "ct-head",
        "chosen for": "by name only",
        "channels": 3,
        "does": "brain, subdural and bone window as three channels, at most 16 evenly spaced slices",
        "flip": False,
        "flip_vertical": False,
        "steps": [
            {"orient": {}},
            {"choose_slices": {"most": 16}},
            {"windows": {"names": ["brain", "subdural", "bone"]}},
        ],
    }
    assert "z-score within the foreground" in capsys.readouterr().out


def test_every_step_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    listed = recipes()
    assert json.loads(json.dumps(listed)) == listed  # as --json writes it
    rows = {row["step"]: row for row in listed["steps"]}
    assert list(rows) == list(STEPS)
    assert all(len(row["does"]) > 20 for row in rows.values())
    assert rows["window"]["parameters"] == {"level": "needed", "width": "needed"}
    assert rows["match_histogram"]["parameters"] == {} and rows["match_histogram"]["learns"]
    assert rows["choose_slices"]["parameters"] == {"most": 16} and not rows["choose_slices"]["learns"]
    assert "match_histogram" in capsys.readouterr().out


def test_the_tables_of_the_docs_are_the_registries() -> None:
    """And each picture that they show is there."""
    root = Path(__file__).parents[2]
    specification = importlib.util.spec_from_file_location("draw_recipes", root / "tools" / "draw_recipes.py")
    assert specification is not None and specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    page = (root / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert tool.filled(page) == page, "run python tools/draw_recipes.py"
    assert all(f"| `{name}` |" in page for name in (*RECIPES, *STEPS))
    for picture in re.findall(r"\]\((pictures/.*?)\)", page):
        assert (root / "docs" / picture).is_file(), "run python tools/draw_recipes.py"
