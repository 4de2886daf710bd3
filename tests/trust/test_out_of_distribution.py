"""Unfamiliar scans are told from familiar ones, by a state that fits in JSON."""

import json

import numpy as np
import pytest

from medtl.trust import Familiarity, fit_familiarity

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(20, 300))


def known(n):
    return RNG.normal(size=(n, 20)) @ MIX + 0.5 * RNG.normal(size=(n, 300)) + 3


def test_new_scans_of_the_same_kind_are_familiar_and_others_are_not():
    familiar = fit_familiarity(known(400)).cut_at(known(300))
    assert np.mean(familiar.distance(known(500)) <= familiar.cut) > 0.96
    along = known(50) + 8 * MIX[0]
    beside = known(50) + 4 * RNG.normal(size=(50, 300))
    for strange in (along, beside):
        assert np.mean(familiar.distance(strange) > familiar.cut) > 0.95


def test_it_survives_json_exactly_and_stays_small():
    features = RNG.normal(size=(500, 1280)).astype(np.float32)
    familiar = fit_familiarity(features)
    text = json.dumps(familiar.to_dict())
    assert len(text) < 200_000
    again = Familiarity.from_dict(json.loads(text))
    np.testing.assert_array_equal(again.distance(features), familiar.distance(features))
    assert again.cut == familiar.cut
    with pytest.raises(ValueError, match="not known"):
        Familiarity.from_dict({"kind": "knn"})


@pytest.mark.parametrize("n", [2, 3, 12])
def test_a_handful_of_scans_and_constant_features_do_not_crash(n):
    features = RNG.normal(size=(n, 30))
    assert np.isfinite(fit_familiarity(features).distance(features)).all()
    constant = np.ones((n, 30))
    assert np.all(fit_familiarity(constant).distance(constant) <= fit_familiarity(constant).cut)


def test_the_cut_lets_the_share_through():
    familiar = fit_familiarity(known(300))
    others = known(1000)
    passed = np.mean(familiar.distance(others) <= familiar.cut_at(others).cut)
    assert 0.99 <= passed <= 0.992
