"""The list of methods is the registry."""

from __future__ import annotations

from medtl.finetuning import STRATEGIES
from medtl.methods import METHODS
from medtl.verbs.methods import methods


def test_every_method_names_its_paper() -> None:
    rows = methods()
    assert [row["method"] for row in rows] == [*METHODS, *STRATEGIES]
    assert all(row["what"] and any(digit.isdigit() for digit in row["paper"]) for row in rows)
