"""Thresholds that come with a model and those that a site's labels give, against scikit-learn and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, recall_score, roc_curve

from medtl.errors import InputError
from medtl.reports.thresholds import Judged, operating_rows, prevalences

CLASSES = ("benign", "malignant")


def judged(n: int = 200, skill: float = 1.0, seed: int = 0, shift: float = 0.0) -> Judged:
    """Two scans a patient; the positives score higher by `skill`, everything by `shift`."""
    random = np.random.default_rng(seed)
    label = np.arange(n) // 2 % 3 // 2
    p = 1 / (1 + np.exp(-(random.normal(size=n) + skill * label + shift)))
    return Judged(label, np.stack([1 - p, p], axis=1), np.array([f"P{i // 2}" for i in range(n)]))


def by_rule(rows: tuple, of: str = "malignant") -> dict:
    return {row.rule: row for row in rows if row.of == of}


def test_the_runs_own_threshold_comes_first_and_is_scikit_learns() -> None:
    scans = judged()
    first = operating_rows(scans, CLASSES, 0.4, "Youden's J")[0]
    said = scans.probabilities[:, 1] >= 0.4
    (tn, fp), (fn, tp) = confusion_matrix(scans.label, said)
    assert (first.where, first.how, first.n_labels, first.threshold) == ("home", "Youden's J", 0, 0.4)
    assert first.sensitivity == pytest.approx(recall_score(scans.label, said))
    assert first.specificity == pytest.approx(tn / (tn + fp))
    assert (first.ppv, first.npv) == (pytest.approx(tp / (tp + fp)), pytest.approx(tn / (tn + fn)))
    assert first.prevalence == pytest.approx(scans.label.mean()) and first.named is None


def test_a_threshold_set_on_the_calibrate_split_is_measured_on_the_others() -> None:
    scans, local = judged(seed=1), judged(120, seed=2)
    rows = by_rule(operating_rows(scans, CLASSES, 0.5, "", local))
    at_90 = rows["90 % specificity"]
    false_positive, _, cuts = roc_curve(local.label, local.probabilities[:, 1], drop_intermediate=False)
    lowest = cuts[false_positive <= 0.1].min()  # of scikit-learn: it stands on a score, ours midway to the next
    below = local.probabilities[:, 1][local.probabilities[:, 1] < lowest].max()
    assert below < at_90.threshold <= lowest
    assert (at_90.where, at_90.n_labels, at_90.n_positive) == ("here", 120, int(local.label.sum()))
    assert "calibrate split" in at_90.how
    said = scans.probabilities[:, 1] >= at_90.threshold
    assert at_90.sensitivity == pytest.approx(recall_score(scans.label, said))
    assert at_90.specificity == pytest.approx(recall_score(scans.label, said, pos_label=0))


def test_without_other_labels_it_is_cross_fitted() -> None:
    """On scans that tell nothing, a threshold judged on its own labels looks better than chance; cross-fitted not."""
    flattered, honest = [], []
    for seed in range(20):
        scans = judged(40, skill=0.0, seed=seed)
        row = by_rule(operating_rows(scans, CLASSES, 0.5, ""))["Youden's J"]
        honest.append(row.sensitivity + row.specificity - 1)
        said = scans.probabilities[:, 1] >= row.threshold
        flattered.append(recall_score(scans.label, said) + recall_score(scans.label, said, pos_label=0) - 1)
    assert "cross-fitted" in row.how and row.n_labels == 40
    assert np.mean(flattered) > 0.2 and abs(np.mean(honest)) < 0.1


def test_the_site_s_threshold_follows_a_shift_that_the_own_one_misses() -> None:
    scans = judged(400, skill=2.5, shift=-3.0)
    rows = by_rule(operating_rows(scans, CLASSES, 0.8, ""))
    assert rows["as handed over"].sensitivity < 0.2 < 0.7 < rows["Youden's J"].sensitivity
    assert rows["95 % sensitivity"].sensitivity > 0.9


def test_no_patient_is_called_with_a_threshold_that_its_own_scans_set() -> None:
    """A patient's two scans alone are positive and score high: its own fold's threshold would find both."""
    label = np.array([1, 1, 0, 0, 0, 0, 1, 1])
    p = np.array([0.9, 0.9, 0.5, 0.5, 0.3, 0.3, 0.1, 0.1])
    patient = np.array(list("aabbccdd"))
    row = by_rule(operating_rows(Judged(label, np.stack([1 - p, p], 1), patient), CLASSES, None, ""))[
        "95 % sensitivity"
    ]
    # two folds, a and d apart: set on d (0.1) all are called; set on a (between 0.5 and 0.9) d is not
    assert row.sensitivity == 0.5


def test_too_few_patients_of_a_class_leave_the_own_threshold_alone() -> None:
    label, p = np.array([1, 1, 0, 0, 0]), np.linspace(0.9, 0.1, 5)
    scans = Judged(label, np.stack([1 - p, p], 1), np.array(list("aabcd")))
    assert [row.rule for row in operating_rows(scans, CLASSES, 0.5, "")] == ["as handed over"]


def test_ppv_and_npv_where_the_user_works() -> None:
    """Sensitivity 0.9 and specificity 0.8 at a prevalence of 0.01: PPV 0.043, NPV 0.9987 (Bayes, by hand)."""
    label = np.repeat([1, 0], 10)
    p = np.r_[np.full(9, 0.9), 0.1, np.full(2, 0.9), np.full(8, 0.1)]
    scans = Judged(label, np.stack([1 - p, p], 1), np.arange(20).astype(str))
    row = operating_rows(scans, CLASSES, 0.5, "", prevalence={"malignant": 0.01})[0]
    assert (row.sensitivity, row.specificity) == (0.9, 0.8)
    assert row.named == (0.01, pytest.approx(0.009 / (0.009 + 0.198)), pytest.approx(0.792 / (0.792 + 0.001)))
    assert row.ppv == pytest.approx(9 / 11)


def test_three_classes_each_against_the_rest_and_their_mean() -> None:
    random = np.random.default_rng(0)
    label = np.arange(120) % 3
    p = np.exp(2 * np.eye(3)[label] + random.normal(size=(120, 3)))
    scans = Judged(label, p / p.sum(1, keepdims=True), np.arange(120).astype(str))
    rows = operating_rows(scans, ("a", "b", "c"), None, "the likeliest class")
    own = [row for row in rows if row.rule == "as handed over"]
    recalls = recall_score(label, scans.probabilities.argmax(1), average=None)
    assert [row.of for row in own] == ["a", "b", "c", "mean"]
    assert [row.sensitivity for row in own[:3]] == pytest.approx(list(recalls))
    assert own[3].sensitivity == pytest.approx(recalls.mean()) and np.isnan(own[3].threshold)
    assert len(rows) == 16


def test_several_labels_leave_out_what_is_not_known() -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 2, (100, 2)).astype(float)
    label[:10, 0] = np.nan
    p = np.clip(0.3 * np.nan_to_num(label) + 0.6 * random.random((100, 2)), 0, 1)
    scans = Judged(label, p, np.arange(100).astype(str))
    rows = by_rule(operating_rows(scans, ("mass", "nodule"), 0.5, ""), "mass")
    assert rows["Youden's J"].n_labels == 90
    assert rows["as handed over"].sensitivity == pytest.approx(recall_score(label[10:, 0], p[10:, 0] >= 0.5))


@pytest.mark.parametrize(
    ("given", "classes", "task", "found"),
    [
        (None, CLASSES, "binary", {}),
        (0.05, CLASSES, "binary", {"malignant": 0.05}),
        (["0.05"], CLASSES, "binary", {"malignant": 0.05}),
        (["benign=0.95"], CLASSES, "binary", {"malignant": pytest.approx(0.05), "benign": 0.95}),
        (["b=0.2", "c = 0.1"], ("a", "b", "c"), "multiclass", {"b": 0.2, "c": 0.1}),
    ],
)
def test_what_the_user_says_of_the_prevalence(given: object, classes: tuple, task: str, found: dict) -> None:
    assert prevalences(given, classes, task) == found


@pytest.mark.parametrize(
    ("given", "task", "says"),
    [
        ("5", "binary", "'5' is no share"),
        (1.0, "binary", "between 0 and 1"),
        ("maligant=0.1", "binary", "did you mean 'malignant'"),
        ("0.1", "multilabel", "which of benign, malignant is the prevalence 0.1 of"),
    ],
)
def test_a_prevalence_that_says_nothing_is_refused(given: object, task: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        prevalences(given, CLASSES, task)
