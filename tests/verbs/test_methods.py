"""The list of methods is the registry."""

from __future__ import annotations

from medtl.methods import METHODS
from medtl.verbs.methods import methods


def test_every_method_names_its_paper() -> None:
    rows = methods()
    assert [row["method"] for row in rows] == list(METHODS)
    assert all(row["what"] and any(digit.isdigit() for digit in row["paper"]) for row in rows)
