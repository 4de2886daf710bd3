"""Which scans are shown, and how."""

from __future__ import annotations

import re

import numpy as np

from medtl.intensity import RECIPES
from medtl.intensity.recipes import for_volumes
from medtl.reports.contents import Example
from medtl.reports.examples import as_shown, choose, overlay, part_of, picture, strip, sureness
from medtl.reports.palette import ADAPTED


def test_the_surest_of_each_class_then_the_mistakes_then_the_doubts() -> None:
    label = np.array([0, 0, 1, 1, 0, 1, 0])
    said = np.array([0, 0, 1, 1, 1, 0, 0])
    sure = np.array([0.9, 0.8, 0.7, 0.1, 0.6, 0.5, 0.2])
    assert choose(label, said, sure) == [
        (0, "right and sure"), (2, "right and sure"), (1, "right and sure"),
        (4, "wrong"), (5, "wrong"), (3, "in doubt"),
    ]  # fmt: skip


def test_nothing_is_shown_twice_where_there_is_little() -> None:
    assert choose(np.array([0, 1]), np.array([0, 1]), np.array([0.5, 0.5])) == [
        (0, "right and sure"), (1, "right and sure")
    ]  # fmt: skip
    assert choose(np.array([0]), np.array([1]), np.array([0.5])) == [(0, "wrong")]


def test_sureness_is_measured_from_the_threshold() -> None:
    p = np.array([0.3, 0.65, 1.0, 0.0])
    np.testing.assert_allclose(sureness(np.stack([1 - p, p], 1), 0.3), [0, 0.5, 1, 1])
    np.testing.assert_allclose(sureness(np.array([[0.2, 0.5, 0.3]]), None), [0.2])


def test_pictures() -> None:
    grey = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    where = np.zeros((4, 4), np.float32)
    where[0, 0] = 1
    example = Example("x", "here", grey, where, "a", "a", 0.9, "wrong")
    plain, shown = picture(example), overlay(example)
    assert plain.shape == (4, 4, 3) and plain.dtype == np.uint8
    assert plain[0, 0].tolist() == [0, 0, 0] and plain[3, 3].tolist() == [255, 255, 255]
    assert (shown[1:] == plain[1:]).all() and shown[0, 0, 0] > 100


def test_a_reader_sees_the_middle_slice_the_first_window_and_colours() -> None:
    def channels(recipe) -> list[int]:
        return as_shown(np.arange(recipe.channels)[:, None, None], recipe)[:, 0, 0].tolist()

    assert channels(RECIPES["mr"]) == [0]
    assert channels(for_volumes(RECIPES["mr"], "neighbours")) == [1]
    assert channels(RECIPES["colour"]) == [0, 1, 2]
    assert channels(for_volumes(RECIPES["colour"], "neighbours")) == [3, 4, 5]
    assert channels(RECIPES["ct-head"]) == [0]
    assert part_of(RECIPES["mr"]) == "slice" and part_of(for_volumes(RECIPES["mr"], "projections")) == "projection"
    assert part_of(RECIPES["radiograph"], "study") == "picture"


def test_the_strip_has_a_bar_a_slice_as_high_as_it_matters() -> None:
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="0.8" height="([\d.]+)" fill="(\S+)"', strip(
        np.array([0.1, 0.6, 0.3]), 1, "slice"
    ))  # fmt: skip
    assert [float(height) for _, _, height, _ in bars] == [1.67, 10.0, 5.0]
    assert all(float(y) + float(height) == 10 for _, y, height, _ in bars)
    assert [colour == ADAPTED for *_, colour in bars] == [False, True, False]
