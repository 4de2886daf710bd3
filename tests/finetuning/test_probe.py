"""The probe weighs the source model against the few labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medtl.finetuning.probe import _fit, fit_probe
from medtl.measures import auroc


def scans(n=200, width=24, seed=0, source="right"):
    """Labels, features of which one direction tells the label, and the logits of a source model."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    features = rng.normal(size=(n, width))
    features[:, 3] += 2.5 * (label - 0.5)
    score = {"right": 2.5, "upside down": -2.5, "noise": 0.0}[source] * (label - 0.5) + rng.normal(size=n)
    return label, features, np.stack([-score / 2, score / 2], axis=1)


def of(probe, logits, features):
    z = probe.source_weight * logits + features @ probe.weight.T + probe.bias
    return z[:, 1] - z[:, 0]


@pytest.mark.parametrize("source", ["right", "upside down", "noise"])
def test_the_labels_decide_what_is_left_of_the_source_model(source):
    label, features, logits = scans(source=source)
    few = np.arange(20)
    probe = fit_probe(logits[few], features[few], label[few], few.astype(str), logits, features)
    rest = np.arange(20, 200)
    area = auroc(label[rest], of(probe, logits[rest], features[rest]))
    alone = auroc(label[rest], (logits[:, 1] - logits[:, 0])[rest])
    if source == "right":
        assert probe.shares["features"] < 0.5
        assert area > alone - 0.02
    else:
        assert area > 0.65 > alone
    if source == "noise":
        assert probe.shares["source"] < 0.2


def test_one_kind_alone_is_logistic_regression():
    """With the source model left out, the fit is scikit-learn's with the same penalty."""
    label, features, logits = scans(n=60)
    alpha, weight, _ = _fit(logits, features, np.eye(2)[label], (0.0, 1e9, 2.0), False)
    ours = features @ (weight[1] - weight[0])
    # softmax with |W0|^2 + |W1|^2 has its least at W1 = -W0 = w / 2, so a precision of 2 is sklearn's C of 1
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(features, label)
    assert alpha == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(ours, features @ theirs.coef_[0], atol=0.1)  # they do not penalise the intercept


def test_one_patient_a_class_leaves_the_source_model_its_say():
    label, features, logits = scans()
    probe = fit_probe(logits[:2], features[:2], label[:2], ["a", "b"], logits, features)
    assert np.isfinite(of(probe, logits, features)).all()
    assert list(probe.shares.values()) == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert probe.held_out is None  # nobody was held out, so there is nothing to calibrate on


def test_several_labels_a_scan_with_one_unknown():
    label, features, logits = scans()
    truth = np.stack([label, 1 - label], axis=1).astype(float)
    truth[3, 1] = np.nan
    few = np.arange(30)
    probe = fit_probe(logits[few], features[few], truth[few], few.astype(str), logits, features, multilabel=True)
    z = probe.source_weight * logits + features @ probe.weight.T + probe.bias
    assert auroc(label[30:], z[30:, 1]) < 0.3 < 0.7 < auroc(label[30:], -z[30:, 1])
