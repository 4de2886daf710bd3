"""Subgroups: each is what it would be alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from medtl.measures import age_bands, delong, subgroups


def example(n=200):
    generator = np.random.default_rng(0)
    label = generator.integers(0, 2, n)
    logit = label - 0.5 + generator.normal(size=n)
    return generator.choice(["F", "M"], n, p=[0.8, 0.2]), label, 1 / (1 + np.exp(-logit))


def test_each_group_is_what_it_would_be_alone():
    sex, label, p = example()
    patient = np.arange(200) // 2
    women, men = subgroups(sex, label, p, patient, threshold=0.6)
    own = sex == "F"
    alone = delong(label[own], p[own], patient[own])
    assert (women.name, women.n_scans, women.n_positive) == ("F", own.sum(), label[own].sum())
    assert women.n_patients == len(set(patient[own]))
    assert (women.auroc, *women.auroc_ci) == pytest.approx(alone[:3])
    assert women.sensitivity == pytest.approx(sk.recall_score(label[own], p[own] >= 0.6))
    assert women.specificity == pytest.approx(sk.recall_score(label[own], p[own] >= 0.6, pos_label=0))
    assert not women.small and men.small


def test_scans_without_a_value_are_last_and_unlabelled_ones_are_left_out():
    values = np.array(["scanner 10", None, "scanner 2", "", float("nan"), "x"], object)
    found = subgroups(values, [0, 1, 1, 0, 1, -1], np.linspace(0, 1, 6))
    assert [(group.name, group.n_scans) for group in found] == [("scanner 2", 1), ("scanner 10", 1), ("not given", 3)]
    assert np.isnan(found[0].auroc) and np.isnan(found[0].specificity)
    assert [group.name for group in subgroups([3.0, 1.5, 10.0], [0, 1, 1], [0, 1, 0])] == ["1.5", "3", "10"]


def test_few_patients_are_few_whatever_the_scans():
    label, score = np.tile([0, 1], 200), np.arange(400)
    assert subgroups(["a"] * 400, label, score, np.arange(400) % 30)[0].small
    assert not subgroups(["a"] * 400, label, score)[0].small
    assert subgroups(["a"] * 400, label, score, least=201)[0].small


def test_more_classes_and_several_labels():
    generator = np.random.default_rng(1)
    label, p = generator.integers(0, 3, 90), generator.dirichlet(np.ones(3), 90)
    (group,) = subgroups(["here"] * 90, label, p, least=10)
    assert group.auroc == pytest.approx(sk.roc_auc_score(label, p, multi_class="ovr"))
    assert group.sensitivity == pytest.approx(sk.balanced_accuracy_score(label, p.argmax(axis=1)))
    assert group.n_positive == np.bincount(label).min()
    labels = np.array([[1, 0], [0, np.nan], [1, 1], [np.nan, np.nan]])
    (group,) = subgroups(["here"] * 4, labels, np.array([[0.9, 0.1], [0.2, 0.5], [0.7, 0.8], [0.1, 0.1]]))
    assert (group.n_scans, group.auroc, group.small) == (3, 1.0, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1), st.integers(0, 9)), min_size=1, max_size=40))
def test_every_labelled_scan_is_in_one_group(rows):
    values, label, score = zip(*rows, strict=True)
    found = subgroups(values, label, np.array(score) / 9)
    assert sum(group.n_scans for group in found) == sum(value >= 0 for value in label)
    assert sum(group.n_positive for group in found) == sum(value == 1 for value in label)
    again = subgroups(values[::-1], label[::-1], np.array(score[::-1]) / 9)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one[1:5], other[1:5])


def test_age_bands():
    assert age_bands([0, 17.9, 18, "39", "045Y", 79, 80, 103]).tolist() == [
        "0 to 17", "0 to 17", "18 to 39", "18 to 39", "40 to 59", "60 to 79", "80 and over", "80 and over",
    ]  # fmt: skip
    assert age_bands(["018M", "300M", "010D", "003W"]).tolist() == ["0 to 17", "18 to 39", "0 to 17", "0 to 17"]
    assert set(age_bands([None, "", "old", float("nan"), "-3"])) == {"not given"}
    names = [group.name for group in subgroups(age_bands([85, 5, 50, None]), [0, 1, 0, 1], [0, 1, 0, 1])]
    assert names == ["0 to 17", "40 to 59", "80 and over", "not given"]
