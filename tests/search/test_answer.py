"""What a learning curve says, in words that its numbers bear out."""

from __future__ import annotations

import pytest

from medtl.search.answer import STEP, WORTH, answer
from medtl.search.curve import Curve, Point


def curve(pool: int, areas: dict[int, float]) -> Curve:
    return Curve(tuple(Point(n, draw, area, 0.02) for n, area in areas.items() for draw in range(3)), pool)


@pytest.mark.parametrize("pool", [100, 400, 600])
def test_a_curve_that_is_flat_asks_for_no_more(pool: int) -> None:
    found = answer(curve(pool, {5: 0.98, 10: 0.985, 20: 0.99}), "on 80 patients held apart")
    assert found.sentence.startswith("With 20 labels a class the AUROC is 0.99 (on 80 patients held apart); at ")
    assert found.sentence.endswith("Labelling more brings little.")


@pytest.mark.parametrize("pool", [10, 20, 60])
def test_the_number_that_it_names_is_the_first_beyond_which_more_add_little(pool: int) -> None:
    made = curve(pool, {1: 0.55, 2: 0.6, 5: 0.68, 10: 0.74})
    found = answer(made, "here")
    enough = int(found.sentence.split("Label about ")[1].split()[0])
    assert enough > pool and made.gain(enough, STEP)[0] <= WORTH < made.gain(pool, STEP)[0]
