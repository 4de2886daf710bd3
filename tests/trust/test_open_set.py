"""The share of scans unlike the source's, and when the user is told."""

import numpy as np
import pytest

from medtl.trust import fit_familiarity
from medtl.trust.open_set import OTHER_KIND, open_set_sentence, unlike_share


def features(n, seed, width=24):
    """A few strong axes, as a network's features have."""
    rng = np.random.default_rng(seed)
    return 6 + rng.normal(size=(n, width)) * np.linspace(2, 0.2, width)


FAMILIAR = fit_familiarity(features(400, 0))
HELD_OUT = features(160, 1)


def test_the_same_site_has_about_a_fortieth():
    share = unlike_share(FAMILIAR, HELD_OUT, features(1000, 2))
    assert share == pytest.approx(0.025, abs=0.025)
    assert open_set_sentence(share) == ""


def test_a_mixture_has_its_part_and_is_not_told_and_another_kind_is():
    strange = features(300, 3)[:, ::-1]
    assert unlike_share(FAMILIAR, HELD_OUT, np.concatenate([features(300, 2), strange])) == pytest.approx(0.5, abs=0.05)
    whole = unlike_share(FAMILIAR, HELD_OUT, strange)
    assert whole > OTHER_KIND and open_set_sentence(whole).startswith(f"{whole:.0%} of the new site's scans are unlike")
    assert open_set_sentence(0.82) == ""  # the most that a hospital of the same kind had


def test_few_scans_say_nothing():
    assert np.isnan(unlike_share(FAMILIAR, HELD_OUT[:39], features(300, 2)))
    assert np.isnan(unlike_share(FAMILIAR, HELD_OUT, features(19, 2)))
    assert open_set_sentence(float("nan")) == ""
