"""What metrics.json says, against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from medtl.errors import InputError
from medtl.measures import evaluate

KEYS = [
    "task", "threshold", "auroc", "auroc_ci", "average_precision", "accuracy", "balanced_accuracy", "sensitivity",
    "specificity", "ppv", "npv", "prevalence", "nll", "brier", "ece", "n_scans", "n_patients",
]  # fmt: skip
RNG = np.random.default_rng(0)


def two(n=200):
    label = (RNG.random(n) < 0.3).astype(int)
    p = 1 / (1 + np.exp(-(label - 0.8 + RNG.normal(size=n))))
    return label, np.c_[1 - p, p]


def test_two_classes_are_scikit_learns():
    label, p = two()
    found = evaluate(label, p, np.arange(200) // 2, ["benign", "malignant"], threshold=0.4)
    assert list(found) == KEYS
    called = p[:, 1] >= 0.4
    for key, value in {
        "auroc": sk.roc_auc_score(label, p[:, 1]),
        "average_precision": sk.average_precision_score(label, p[:, 1]),
        "accuracy": sk.accuracy_score(label, called),
        "balanced_accuracy": sk.balanced_accuracy_score(label, called),
        "sensitivity": sk.recall_score(label, called),
        "specificity": sk.recall_score(label, called, pos_label=0),
        "ppv": sk.precision_score(label, called),
        "npv": sk.precision_score(label, called, pos_label=0),
        "prevalence": label.mean(),
        "nll": sk.log_loss(label, p[:, 1]),
        "brier": sk.brier_score_loss(label, p[:, 1]),
    }.items():
        assert found[key] == pytest.approx(value), key
    assert (found["task"], found["threshold"], found["n_scans"], found["n_patients"]) == ("binary", 0.4, 200, 100)
    assert found["auroc_ci"][0] < found["auroc"] < found["auroc_ci"][1]


def test_patients_widen_the_interval():
    label, p = two(100)
    label, p = np.tile(label, 4), np.tile(p, (4, 1))
    wide = evaluate(label, p, np.tile(np.arange(100), 4), ["a", "b"])["auroc_ci"]
    narrow = evaluate(label, p, None, ["a", "b"])["auroc_ci"]
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_more_classes_stand_one_by_one():
    label = RNG.integers(0, 3, 150)
    p = RNG.dirichlet(np.ones(3), 150) + 0.3 * np.eye(3)[label]
    p /= p.sum(axis=1, keepdims=True)
    found = evaluate(label, p, None, ["a", "b", "c"])
    assert list(found["classes"]) == ["a", "b", "c"]
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(label, p, multi_class="ovr"))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(label, p.argmax(axis=1)))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(label, p.argmax(axis=1)))
    assert found["nll"] == pytest.approx(sk.log_loss(label, p))
    assert found["classes"]["b"]["sensitivity"] == pytest.approx(sk.recall_score(label == 1, p.argmax(axis=1) == 1))
    assert set(found["classes"]["a"]) == set(KEYS) - {"task", "threshold"}


def test_a_class_that_is_not_there_is_left_out_of_the_mean():
    label = np.array([0, 0, 1, 1, 0, 1])
    p = RNG.dirichlet(np.ones(3), 6)
    found = evaluate(label, p, None, ["a", "b", "c"])
    assert found["classes"]["c"]["auroc"] is None
    assert found["auroc"] == pytest.approx((found["classes"]["a"]["auroc"] + found["classes"]["b"]["auroc"]) / 2)
    assert found["auroc_ci"] is not None


def test_several_labels_ignore_the_unknown():
    label = np.array([[1, np.nan], [0, 1], [1, 0], [0, np.nan], [np.nan, np.nan]])
    p = RNG.random((5, 2))
    found = evaluate(label, p, None, ["effusion", "nodule"], threshold=0.5)
    assert found["task"] == "multilabel"
    assert found["n_scans"] == 4
    assert found["classes"]["effusion"]["n_scans"] == 4
    assert found["classes"]["nodule"]["n_scans"] == 2
    assert found["classes"]["effusion"]["auroc"] == pytest.approx(sk.roc_auc_score(label[:4, 0], p[:4, 0]))


def test_one_class_only_gives_none_and_no_crash():
    found = evaluate([1, 1, 1], np.array([[0.2, 0.8]] * 3), None, ["a", "b"])
    assert found["auroc"] is None and found["auroc_ci"] is None and found["specificity"] is None
    assert found["sensitivity"] == 1.0
    json.dumps(found, allow_nan=False)


def test_unlabelled_scans_do_not_count_and_none_at_all_is_said():
    label, p = two(50)
    label[:10] = -1
    assert evaluate(label, p, None, ["a", "b"])["n_scans"] == 40
    with pytest.raises(InputError, match="no labelled scan"):
        evaluate([-1, -1], np.full((2, 2), 0.5), None, ["a", "b"])


def test_the_rule_stands_beside_the_threshold():
    label, p = two(50)
    assert list(evaluate(label, p, None, ["a", "b"], 0.3, threshold_rule="by hand"))[:3] == [
        "task",
        "threshold",
        "threshold_rule",
    ]
