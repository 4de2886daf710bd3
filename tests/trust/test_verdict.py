"""The verdict's operating characteristics, by simulation, and its sentences."""

import numpy as np
import pytest
from scipy.stats import norm

from medtl.trust import scans_to_label, verdict

# true AUROC -> better than chance, not, cannot tell yet: the table in the docstring of `verdict`
TABLE = {
    0.42: (0.00, 1.00, 0.00),
    0.50: (0.05, 0.87, 0.08),
    0.54: (0.17, 0.69, 0.17),
    0.58: (0.39, 0.41, 0.22),
    0.60: (0.52, 0.29, 0.21),
    0.62: (0.67, 0.18, 0.18),
    0.65: (0.83, 0.07, 0.10),
    0.66: (0.87, 0.05, 0.08),
    0.71: (0.98, 0.00, 0.02),
    0.76: (1.00, 0.00, 0.00),
    0.80: (1.00, 0.00, 0.00),
}


def said(truth, n, spread=1.0, draws=700, seed=0):
    generator = np.random.default_rng(seed)
    label = np.repeat([0, 1], n)
    shift = norm.ppf(truth) * np.hypot(1, spread)
    kinds = [verdict(label, generator.normal(0, np.where(label, spread, 1)) + shift * label).kind for _ in range(draws)]
    return [kinds.count(kind) / draws for kind in ("better than chance", "not", "cannot tell yet")]


@pytest.mark.parametrize("truth", TABLE)
@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_it_says_what_the_table_says(truth, spread):
    found = said(truth, scans_to_label(), spread)
    assert found == pytest.approx(TABLE[truth], abs=0.05)
    better, no, cannot = found
    sampling = 0.02  # two standard errors of a share of 5 % in 700 draws
    if truth <= 0.5:
        assert better <= 0.05 + sampling
    if truth >= 0.66:
        assert no <= 0.05 + sampling
    assert cannot <= 0.25 + sampling


@pytest.mark.parametrize("n", [3, 6, 12, 25])
def test_fewer_scans_are_no_more_often_wrong(n):
    assert said(0.5, n, draws=400)[0] <= 0.07
    assert said(0.66, n, draws=400)[1] <= 0.07


def test_several_scans_a_patient_are_no_more_often_wrong():
    generator, wrong = np.random.default_rng(3), 0
    patient = np.repeat(np.arange(40), 4)
    label = (patient % 2).astype(int)
    for _ in range(300):
        score = generator.normal(size=40)[patient] + 0.3 * generator.normal(size=160)
        wrong += verdict(label, score, patient).kind == "better than chance"
    assert wrong / 300 <= 0.08


def test_the_sentences():
    label = np.repeat([0, 1], 50)
    rank = np.random.default_rng(0).normal(size=100)
    better = verdict(label, rank + 1.2 * label)
    assert better.sentence.startswith("On 100 of your scans the AUROC is 0.")
    assert better.sentence.endswith("better than chance here.") and better.labels_needed == 0
    assert "not better than chance here" in verdict(label, rank - 0.5 * label).sentence
    few = verdict(np.repeat([0, 1], 8), np.r_[0:8, 1:9])
    assert few.kind == "cannot tell yet" and few.labels_needed >= 10
    assert f"label about {few.labels_needed} more of each class" in few.sentence


def test_with_many_scans_a_little_better_is_said_to_be_of_little_use():
    generator = np.random.default_rng(1)
    label = np.repeat([0, 1], 3000)
    found = verdict(label, generator.normal(size=6000) + 0.25 * label)
    assert found.kind == "better than chance" and "of little use" in found.sentence


def test_one_class_or_no_label_cannot_tell():
    one = verdict([1, 1, 1], [0.2, 0.3, 0.4])
    assert (one.kind, one.auroc, one.labels_needed) == ("cannot tell yet", None, 50)
    assert "all of one class" in one.sentence
    assert verdict([-1, -1], [0.2, 0.3], ["a", "b"]).sentence.startswith("No scan is labelled")


def test_more_classes_and_several_labels():
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1, 2], 40)
    p = generator.dirichlet(np.ones(3), 120) + 0.5 * np.eye(3)[label]
    assert verdict(label, p).kind == "better than chance"
    assert verdict(np.eye(3)[label], generator.random((120, 3))).kind in ("not", "cannot tell yet")
    two = np.minimum(label, 1)
    score = generator.random(120)
    assert verdict(two, np.c_[1 - score, score]).auroc == pytest.approx(verdict(two, score).auroc)
