"""Sites that lie apart look apart, and mixed ones mixed."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.reports.projection import MOST, project


@pytest.mark.parametrize("how", ["PCA", "t-SNE"])
def test_sites_that_were_apart_and_are_mixed(how: str) -> None:
    random = np.random.default_rng(0)
    source, target = random.normal(size=(60, 5)), random.normal(size=(50, 5))
    found = project(source, target + 9, source, target, ["a", "b"] * 30, ("there", "here"), how=how)
    assert found.before.shape == found.after.shape == (110, 2)
    assert found.told_apart_before > 0.98 and found.told_apart_after < 0.65
    assert list(found.site[[0, -1]]) == ["there", "here"]
    assert set(found.label[:60]) == {"a", "b"} and set(found.label[60:]) == {""}
    again = project(source, target + 9, source, target, ["a", "b"] * 30, ("there", "here"), how=how)
    np.testing.assert_array_equal(found.after, again.after)


def test_a_site_shows_no_more_dots_than_the_eye_takes() -> None:
    many = np.random.default_rng(0).normal(size=(MOST + 50, 3))
    found = project(many, many[:20], many, many[:20], ["a"] * len(many), ("there", "here"))
    assert (found.site == "there").sum() == MOST and (found.site == "here").sum() == 20
