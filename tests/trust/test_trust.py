"""Trust as a whole: fitted, written, read and applied."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.trust import CALIBRATORS, Trust, apply_trust, fit_trust

RNG = np.random.default_rng(0)


def scans(n=120, classes=2):
    label = RNG.integers(0, classes, n)
    features = RNG.normal(size=(n, 40)) + 2 * np.eye(40)[label]
    return 3 * np.eye(classes)[label] + 2 * RNG.normal(size=(n, classes)), label, features


@pytest.mark.parametrize("method", CALIBRATORS)
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_what_is_written_judges_as_what_was_fitted(task, classes, method):
    logits, label, features = scans(classes=classes)
    if task == "multilabel":
        label = np.eye(classes)[label]
        label[:5] = np.nan
    trust = fit_trust(logits, label, np.arange(120) // 2, features, features, task, method, sites=["egypt"])
    again = Trust.from_dict(json.loads(json.dumps(trust.to_dict(), allow_nan=False)))
    before, after = apply_trust(trust, logits, features), apply_trust(again, logits, features)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    np.testing.assert_array_equal(before.refer, after.refer)
    assert before.prediction_set == after.prediction_set
    assert before.probabilities.shape == (120, classes)
    assert before.prediction.shape == ((120, classes) if task == "multilabel" else (120,))
    assert before.in_distribution.mean() >= 0.975
    assert trust.calibrated_on["sites"] == ["egypt"]
    assert (trust.threshold is None) == (task != "binary")


def test_who_is_referred():
    logits, label, features = scans()
    trust = fit_trust(logits, label, None, features, features, "binary")
    judged = apply_trust(trust, logits, features)
    alone = [held == (said,) for held, said in zip(judged.prediction_set, judged.prediction.tolist(), strict=True)]
    np.testing.assert_array_equal(judged.refer, ~(np.array(alone) & judged.in_distribution))
    assert not judged.refer.all()
    assert apply_trust(trust, logits, features + 50).refer.all()
    assert not apply_trust(trust, logits, None).refer.all()


def test_the_threshold_decides_the_prediction():
    logits, label, _ = scans()
    trust = fit_trust(logits, label, None, None, None, "binary")
    strict = replace(trust, threshold=0.999)
    assert apply_trust(strict, logits, None).prediction.sum() < apply_trust(trust, logits, None).prediction.sum()


def test_nothing_fitted_changes_nothing():
    judged = apply_trust(Trust("multiclass"), np.log([[0.2, 0.5, 0.3]]), None)
    np.testing.assert_allclose(judged.probabilities, [[0.2, 0.5, 0.3]])
    assert judged.prediction_set == [(1,)] and not judged.refer[0]


def test_unlabelled_scans_are_left_out_and_none_at_all_is_said():
    logits, label, features = scans()
    label[50:] = -1
    assert fit_trust(logits, label, None, features, features, "binary").calibrated_on["n_scans"] == 50
    with pytest.raises(InputError, match="no labelled scan"):
        fit_trust(logits, np.full(120, -1), None, features, features, "binary")
    with pytest.raises(InputError, match="choose one of temperature, platt"):
        fit_trust(logits, label, None, features, features, "binary", "horoscope")


def test_few_patients_promise_less():
    logits, label, features = scans(6)
    label[:2] = [0, 1]
    trust = fit_trust(logits, label, ["a", "a", "b", "b", "c", "c"], features, features, "binary")
    assert trust.sets.promised == (0.75,) and trust.sets.coverage == 0.9


@pytest.mark.parametrize("sets", ["marginal", "class", "weighted"])
def test_each_kind_of_sets_and_the_doubtful_survive_json(sets):
    logits, label, features = scans()
    trust = fit_trust(
        logits, label, None, features, features, "binary", sets=sets, unlabelled_features=features + 0.3, refer=0.2
    )
    again = Trust.from_dict(json.loads(json.dumps(trust.to_dict(), allow_nan=False)))
    before, after = apply_trust(trust, logits, features), apply_trust(again, logits, features)
    assert again.sets.kind == sets and before.prediction_set == after.prediction_set
    np.testing.assert_array_equal(before.refer, after.refer)


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4), ("multilabel", 3)])
def test_a_fifth_is_referred_the_least_sure_and_the_unfamiliar(task, classes):
    logits, label, features = scans(classes=classes)
    label = np.eye(classes)[label] if task == "multilabel" else label
    trust = fit_trust(logits, label, None, features, features, task, refer=0.2)
    judged = apply_trust(trust, logits, None)
    assert judged.refer.sum() == 24 and trust.refer_share == 0.2
    p = judged.probabilities
    of_call = np.where(judged.prediction, p, 1 - p).mean(axis=1) if task == "multilabel" else p[
        np.arange(120), judged.prediction
    ]  # fmt: skip
    assert of_call[judged.refer].max() <= of_call[~judged.refer].min()
    nothing_is_familiar = replace(trust, ood=replace(trust.ood, cut=-np.inf))
    assert apply_trust(nothing_is_familiar, logits, features).refer.all()


def test_a_trust_of_before_judges_as_it_did():
    """Written by the medtl before there were kinds of sets."""
    state = {
        "task": "binary", "method": "platt", "temperature": 2.0, "bias": [0.0, 0.5], "threshold": 0.4,
        "threshold_rule": "Youden's J on the calibration scans", "conformal_quantile": 0.6, "conformal_level": 0.9,
        "conformal_promised": 0.9, "ood": None,
        "calibrated_on": {"n_scans": 50, "n_patients": 40, "sites": ["a"]},
    }  # fmt: skip
    trust = Trust.from_dict(state)
    judged = apply_trust(trust, [[1.0, 0.0], [0.0, 3.0]], None)
    first = 1 / (1 + np.exp(-(0.5 - 0.5)))
    second = 1 / (1 + np.exp(-(1.5 + 0.5)))
    np.testing.assert_allclose(judged.probabilities[:, 1], [first, second])
    assert judged.prediction_set == [(0, 1), (1,)] and judged.refer.tolist() == [True, False]
    assert trust.sets.promised == (0.9,) and trust.sets.patients == (40,)
    assert Trust.from_dict({"task": "binary", "conformal_quantile": None}).sets is None


def test_recalibrating_keeps_what_is_familiar_and_moves_its_cut():
    logits, label, features = scans()
    first = fit_trust(logits, label, None, features, features, "binary")
    second = fit_trust(logits, label, None, features + 5, None, "binary", ood=first.ood)
    np.testing.assert_array_equal(first.ood.mean, second.ood.mean)
    assert second.ood.cut > first.ood.cut


def test_a_state_of_another_version_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="use the medtl that wrote it"):
        Trust.from_dict({"colour": 1})
    with pytest.raises(InputError, match="damaged"):
        Trust.from_dict({"ood": {"kind": "mahalanobis"}})


def test_a_state_from_before_there_were_other_maps_is_read():
    old = {"task": "binary", "method": "platt", "temperature": 2.0, "bias": [0.0, 1.0], "ood": None}
    judged = apply_trust(Trust.from_dict(old), [[0.0, 2.0]], None)
    assert judged.probabilities[0, 1] == pytest.approx(1 / (1 + np.exp(-2)))
    assert apply_trust(Trust.from_dict({"temperature": 4.0}), [[0.0, 4.0]], None).probabilities[0, 1] == pytest.approx(
        1 / (1 + np.exp(-1))
    )
    with pytest.raises(InputError, match="damaged"):
        Trust.from_dict({"calibrator": {"kind": "from tomorrow"}})


def test_unlabelled_scans_may_stand_beside_to_set_what_is_familiar():
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    logits = np.stack([-label, label], axis=1) + rng.normal(size=(40, 2))
    trust = fit_trust(logits, label, None, rng.normal(size=(60, 4)), rng.normal(size=(50, 4)), "binary")
    assert trust.sets is not None and trust.ood is not None
