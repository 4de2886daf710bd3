"""Unfamiliar scans are told from familiar ones, by a state that fits in JSON."""

import json

import numpy as np
import pytest

from medtl.trust import Familiarity, fit_familiarity, half_the_patients

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(20, 300))


def known(n):
    return RNG.normal(size=(n, 20)) @ MIX + 0.5 * RNG.normal(size=(n, 300)) + 3


def test_new_scans_of_the_same_kind_are_familiar_and_others_are_not():
    familiar = fit_familiarity(known(1200)).cut_at(known(300))
    assert np.mean(familiar.distance(known(500)) <= familiar.cut) > 0.94
    along = known(50) + 12 * MIX[0]
    beside = known(50) + 4 * RNG.normal(size=(50, 300))
    for strange in (along, beside):
        assert np.mean(familiar.distance(strange) > familiar.cut) > 0.95


def test_it_survives_json_exactly_and_stays_small():
    features = RNG.normal(size=(500, 1280)).astype(np.float32)
    familiar = fit_familiarity(features)
    text = json.dumps(familiar.to_dict())
    assert len(text) < 240_000  # trust.json holds that of two models or three
    again = Familiarity.from_dict(json.loads(text))
    np.testing.assert_array_equal(again.distance(features), familiar.distance(features))
    assert again.cut == familiar.cut
    with pytest.raises(ValueError, match="not known"):
        Familiarity.from_dict({"kind": "knn"})


def test_how_long_the_features_are_does_not_hide_where_they_point():
    # A trained network's features grow with its sureness: in their own scale, everything short lies near the middle.
    def scaled(features):
        return features * RNG.uniform(0.2, 5, size=(len(features), 1))

    familiar = fit_familiarity(scaled(known(400))).cut_at(scaled(known(300)))
    assert np.mean(familiar.distance(scaled(known(500))) <= familiar.cut) > 0.94
    strange = known(100) + 4 * RNG.normal(size=(100, 300))
    assert np.mean(familiar.distance(0.5 * strange) > familiar.cut) > 0.95


def test_features_that_point_as_usual_and_are_far_too_long_are_strange():
    familiar = fit_familiarity(known(400)).cut_at(known(300))
    assert np.mean(familiar.distance(4 * known(100)) > familiar.cut) > 0.95


def test_by_hand_it_is_the_root_of_three_squares():
    # Two axes of four; what points along the third lies beside the plane by sin 30 degrees.
    axes = np.eye(4, dtype=np.float32)[:2] / np.float32(0.5)
    familiar = Familiarity(
        np.zeros(4, np.float32), axes, np.full(2, 0.5, np.float32), (1.0, 0.5), (0.25, 0.125), 3.0, (1.0, 0.5)
    )
    scan = np.exp(2.0) * np.array([[np.cos(np.pi / 6), 0, 0.5, 0]])
    within = (np.cos(np.pi / 6) / 0.5 - 1) / 0.5
    assert familiar.distance(scan)[0] == pytest.approx(np.sqrt(within**2 + 2**2 + 2**2), rel=1e-6)


def test_a_state_that_an_older_medtl_wrote_says_what_it_said():
    axes = np.eye(4, dtype=np.float32)[:2] / np.float32(2)
    state = Familiarity(np.ones(4, np.float32), axes, np.full(2, 2, np.float32), (1.0, 0.5), (2.0, 0.25), 3.0).to_dict()
    del state["length"]
    older = Familiarity.from_dict(json.loads(json.dumps(state)))
    # (3, 4) / 2 in the plane: 2.5 of 1 +- 0.5 is 3; beside it (0, 1), of 2 +- 0.25: 4 away. The larger counts.
    assert older.distance([[4.0, 5.0, 1.0, 2.0]])[0] == pytest.approx(4)
    assert older.distance([[4.0, 5.0, 1.0, 3.0]])[0] == pytest.approx(3)


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
    assert 0.975 <= passed <= 0.977


def test_new_scans_of_the_same_kind_are_familiar_where_few_were_learnt_from():
    """Axes that were fitted to 200 scans in 400 dimensions lie close to these 200; the cut is set on others."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(60, 400)) * np.linspace(3, 0.3, 60)[:, None]
    known, others, new = (5 + rng.normal(size=(n, 60)) @ axes + rng.normal(size=(n, 400)) for n in (200, 100, 400))
    found = fit_familiarity(known).cut_at(others)
    assert np.mean(found.distance(new) <= found.cut) > 0.9
    assert np.quantile(found.distance(known), 0.99) < found.cut
    strange = 5 + rng.normal(size=(200, 400)) * np.std(known)
    assert np.mean(found.distance(strange) <= found.cut) < 0.1


def test_patients_are_halved_whole_and_always_alike():
    patient = np.repeat([f"P{number}" for number in range(9)], [1, 5, 2, 3, 1, 1, 4, 2, 1])
    learnt = half_the_patients(patient)
    assert not set(patient[learnt]) & set(patient[~learnt])
    assert (len(set(patient[learnt])), len(set(patient[~learnt]))) == (5, 4)
    np.testing.assert_array_equal(learnt, half_the_patients(patient))


def test_scans_that_it_was_fitted_on_lie_closer_than_new_ones():
    features = known(400)
    learnt = np.arange(400) < 200
    familiar = fit_familiarity(features[learnt])
    new = familiar.distance(known(500))
    assert familiar.distance(features[learnt]).mean() < 0.9 * new.mean()
    assert np.mean(new > familiar.cut_at(features[~learnt]).cut) < 0.08
