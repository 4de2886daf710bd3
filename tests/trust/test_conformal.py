"""Conformal sets hold the truth as often as promised, equal MAPIE's, and count patients."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.trust.conformal import (
    KINDS,
    ConformalSets,
    conformal_quantile,
    conformal_scores,
    fit_sets,
    prediction_sets,
    too_few,
)


def draw(n, generator, classes=3):
    """Probabilities and labels that these probabilities overrate."""
    p = generator.dirichlet(np.ones(classes), n)
    true = p**0.5 / (p**0.5).sum(axis=1, keepdims=True)
    return (generator.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1), p


def held(label, sets):
    return np.array([k in each for k, each in zip(label, sets, strict=True)])


def test_the_quantile_by_hand():
    scores = np.arange(1, 20) / 20  # 19 scores: ceil(20 x 0.9) = 18th smallest
    assert conformal_quantile(scores, 19) == (0.9, 0.9)
    assert conformal_quantile(np.arange(1, 10) / 10, 9) == (0.9, 0.9)  # the 9th of 9
    quantile, promised = conformal_quantile(np.arange(1, 5) / 10, 4)
    assert (quantile, promised) == (0.4, 0.8)  # 4 patients can promise 4 / 5


def test_the_rank_is_exact_at_every_size():
    for n in range(9, 1200):  # 564 is the first at which rank / n times n is rounded up
        assert conformal_quantile(np.arange(1, n + 1), n)[0] == -(-9 * (n + 1) // 10)
    assert conformal_quantile(np.arange(1, 41), 20)[0] == 38  # two scores a patient: 19 of 20


class Fixed:
    """A scikit-learn classifier whose features are its probabilities."""

    def __init__(self, classes):
        self.classes_, self.fitted_ = np.arange(classes), True

    def fit(self, features, label):
        return self

    def predict_proba(self, features):
        return features

    def predict(self, features):
        return features.argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator, ClassifierMixin

        return type("Tagged", (ClassifierMixin, BaseEstimator), {})().__sklearn_tags__()

    def get_params(self, deep=True):
        return {"classes": len(self.classes_)}


def mapie_sets(label, p, others, coverage):
    classification = pytest.importorskip("mapie.classification", reason="MAPIE, to compare with, is not installed")
    theirs = classification.SplitConformalClassifier(Fixed(p.shape[1]), coverage, "lac", prefit=True)
    return theirs.conformalize(p, label).predict_set(others)[1][:, :, 0]


@pytest.mark.parametrize(("n", "classes", "coverage"), [(50, 2, 0.9), (133, 4, 0.8), (400, 3, 0.95)])
def test_split_conformal_sets_are_those_of_mapie(n, classes, coverage):
    generator = np.random.default_rng(n)
    (label, p), (_, others) = draw(n, generator, classes), draw(300, generator, classes)
    ours, _ = fit_sets(label, p, None, "multiclass", coverage=coverage).sets(others, None, "multiclass")
    theirs = mapie_sets(label, p, others, coverage)
    assert ours == [tuple(np.flatnonzero(row)) for row in theirs]
    assert 0 < theirs.mean() < 1


def test_class_conditional_sets_are_those_of_mapie_on_each_class_alone():
    generator = np.random.default_rng(3)
    (label, p), (_, others) = draw(300, generator), draw(200, generator)
    ours, _ = fit_sets(label, p, None, "multiclass", "class").sets(others, None, "multiclass")
    for k in range(3):
        mine = label == k
        # MAPIE wants to see every class: rows of the others' probabilities, rolled so that class k stands where they do
        theirs = mapie_sets(np.full(mine.sum(), k), p[mine], others, 0.9)
        assert [k in each for each in ours] == theirs[:, k].tolist()


@pytest.mark.parametrize("n", [5, 20, 50, 200])
def test_coverage_on_other_scans(n):
    generator, covered = np.random.default_rng(n), []
    for _ in range(600):
        label, p = draw(n + 20, generator)
        fitted = fit_sets(label[:n], p[:n], None, "multiclass")
        covered.append(held(label[n:], fitted.sets(p[n:], None, "multiclass")[0]).mean())
    promised = fitted.promised[0]
    assert promised - 0.015 <= np.mean(covered) <= promised + 2 / (n + 1) + 0.015


def test_a_class_that_the_model_misses_is_covered_by_sets_of_its_own_alone():
    """Class 1 is rare and underrated: 90 % of all scans is not 90 % of its scans."""
    generator = np.random.default_rng(0)

    def rare(n):
        label = (generator.random(n) < 0.1).astype(int)
        p = 1 / (1 + np.exp(-generator.normal(-2.5 + 2 * label, 1)))
        return label, np.stack([1 - p, p], axis=1)

    covered = {"marginal": [], "class": []}
    for _ in range(100):
        (label, p), (truth, others) = rare(400), rare(400)
        for kind, found in covered.items():
            inside = held(truth, fit_sets(label, p, None, "binary", kind).sets(others, None, "binary")[0])
            found.append((inside[truth == 0].mean(), inside[truth == 1].mean()))
    marginal, mondrian = (np.mean(found, axis=0) for found in covered.values())
    assert marginal[1] < 0.5 and marginal[0] > 0.9
    assert np.all(mondrian > 0.885) and np.all(mondrian < 0.935)


def test_weighted_sets_cover_where_features_are_frequent_that_are_rare_at_home():
    """The model is good where x is small, which is where the source's scans are; the target's x are large."""
    generator = np.random.default_rng(1)

    def site(n, centre):
        x = generator.normal(centre, 1, n)
        label = generator.integers(0, 2, n)
        margin = (2 * label - 1) * (2 - x) + generator.normal(size=n)
        p = 1 / (1 + np.exp(-2 * margin))
        return label, np.stack([1 - p, p], axis=1), np.stack([x, generator.normal(size=n)], axis=1)

    covered = {"marginal": [], "weighted": []}
    for _ in range(12):
        (label, p, x), (truth, others, there) = site(500, 0), site(500, 1.2)
        for kind, found in covered.items():
            fitted = fit_sets(label, p, None, "binary", kind, features=x, target_features=there[:250])
            sets, _ = fitted.sets(others[250:], there[250:], "binary")
            found.append(held(truth[250:], sets).mean())
    assert np.mean(covered["marginal"]) < 0.78
    assert 0.87 < np.mean(covered["weighted"]) < 0.95


def test_weighted_sets_by_hand():
    """Weights 1, 1, 2 and a scan of weight 1: half of 5 is reached at the third score, 0.4 of 5 at the second."""
    sets = ConformalSets("weighted", 0.5, (2.7,), (0.5,), (), (0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert sets.sets([[0.7, 0.3], [0.69, 0.81]], None, "binary")[0] == [(0,), (1,)]
    fewer = ConformalSets("weighted", 0.4, (2.7,), (0.4,), (), (0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert fewer.sets([[0.7, 0.8]], None, "binary")[0] == [(1,)]
    all_of_it = ConformalSets("weighted", 0.9, (2.7,), (0.9,), (), (0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert all_of_it.sets([[0.99, 0.01]], None, "binary")[0] == [(0, 1)]  # 0.9 of 5 is more than all weigh


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.integers(3, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.integers(0, 10_000))
def test_more_coverage_asked_for_never_takes_a_class_out_of_a_set(classes, n, coverage, seed):
    generator = np.random.default_rng(seed)
    (label, p), (_, others) = draw(n, generator, classes), draw(30, generator, classes)
    for kind in ("marginal", "class"):
        fitted, wider = (fit_sets(label, p, None, "multiclass", kind, asked) for asked in (coverage, 0.97))
        assert all(0 <= q <= 1 for q in fitted.quantile)
        assert all(promised <= coverage or not n for promised, n in zip(fitted.promised, fitted.patients, strict=True))
        pairs = zip(*(each.sets(others, None, "multiclass")[0] for each in (fitted, wider)), strict=True)
        assert all(set(narrow) <= set(wide) for narrow, wide in pairs)


@settings(max_examples=25, deadline=None)
@given(st.integers(9, 60), st.integers(0, 10_000))
def test_with_equal_weights_weighted_sets_are_the_marginal_ones(n, seed):
    generator = np.random.default_rng(seed)
    (label, p), (_, others) = draw(n, generator), draw(30, generator)
    marginal = fit_sets(label, p, None, "multiclass")
    scores = np.sort(conformal_scores(label, p, "multiclass"))
    equal = ConformalSets("weighted", 0.9, (n,), (0.9,), (), tuple(scores), (1.0,) * n)
    assert equal.sets(others, None, "multiclass")[0] == marginal.sets(others, None, "multiclass")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_patients_are_counted_and_not_their_scans(kind):
    """Every scan eight times is not more knowledge, and promises nothing more."""
    generator = np.random.default_rng(0)
    label, p = draw(30, generator)
    label[:15] = np.arange(15) % 3
    features, there = generator.normal(size=(30, 2)), generator.normal(size=(40, 2))
    once = fit_sets(label, p, np.arange(30), "multiclass", kind, 0.8, features, there)
    eight = fit_sets(
        np.repeat(label, 8), np.repeat(p, 8, 0), np.repeat(np.arange(30), 8), "multiclass", kind, 0.8,
        np.repeat(features, 8, 0), there,
    )  # fmt: skip
    if kind == "weighted":
        assert sum(eight.weights) == pytest.approx(np.sum(eight.ratio(features)), rel=1e-6)
        assert 20 < eight.patients[0] <= 30
    else:
        assert eight.patients == once.patients and eight.quantile == pytest.approx(once.quantile)
    assert all(n <= 30 for n in eight.patients)


def test_sets_and_whether_they_decide():
    sets, decided = prediction_sets([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.34, 0.33, 0.33]], 0.6, "multiclass")
    assert sets == [(0, 1), (0,), ()]
    assert decided.tolist() == [False, True, False]
    sets, decided = prediction_sets([[0.9, 0.1], [0.5, 0.1]], 0.55, "multilabel")
    assert sets == [(0,), (0,)]
    assert decided.tolist() == [True, False]


def test_unknown_labels_give_no_score():
    assert conformal_scores([[1, np.nan], [0, 1]], [[0.8, 0.5], [0.3, 0.6]], "multilabel") == pytest.approx(
        [0.2, 0.3, 0.4]
    )


def test_of_several_labels_each_has_its_own_promise():
    label = np.array([[1, 0.0]] * 10 + [[0, np.nan]] * 10)
    p = np.column_stack([np.linspace(0.95, 0.05, 20), np.linspace(0.02, 0.4, 20)])
    sets = fit_sets(label, p, None, "multilabel", "class")
    assert sets.patients == (20, 10) and sets.promised == (0.9, 0.9)
    assert sets.quantile == pytest.approx(
        (conformal_quantile(conformal_scores(label[:, :1], p[:, :1], "multilabel"), 20)[0], p[9, 1])
    )
    assert fit_sets(label, p, None, "multilabel").patients == (20,)


def fitted(kind, label, coverage, patient=None):
    generator = np.random.default_rng(0)
    n = len(label)
    p = generator.dirichlet(np.ones(2), n)
    return fit_sets(
        label, p, patient, "binary", kind, coverage, generator.normal(size=(n, 3)), generator.normal(1, 1, (40, 3))
    )


def test_what_cannot_be_promised_is_said_in_one_sentence():
    label = np.arange(18) % 2
    said = too_few(fitted("marginal", label, 0.95), ["no", "yes"], 18)
    assert said == "with 18 scans no more than 94 % can be promised: ask for --coverage 0.94 or label 1 more"
    assert too_few(fitted("marginal", label, 0.94), ["no", "yes"], 18) == ""
    pairs = too_few(fitted("marginal", label, 0.95, np.arange(18) // 2), ["no", "yes"], 18)
    assert pairs.startswith("with 9 patients no more than 90 % can be promised") and pairs.endswith("label 10 more")
    one = too_few(fitted("class", np.r_[np.zeros(40, int), np.ones(7, int)], 0.9), ["no", "yes"])
    assert one == "with 7 patients of 'yes' no more than 87 % can be promised: ask for --coverage 0.87 or label 2 more"
    none = too_few(fitted("class", np.zeros(40, int), 0.9), ["no", "yes"])
    assert none == "with 0 patients of 'yes' nothing can be promised of it: label 9 or more"
    weighted = too_few(fitted("weighted", label, 0.95), ["no", "yes"])
    assert "weighted for the new site, count as" in weighted and weighted.endswith("or label scans of the new site")


@pytest.mark.parametrize("n", [*range(1, 40), 98, 99, 100])
def test_the_coverage_that_the_sentence_names_can_be_promised_and_the_labels_suffice(n):
    label = np.arange(n) % 2
    for asked in (0.9, 0.95, 0.99):
        if said := too_few(fitted("marginal", label, asked), ["no", "yes"], n):
            words = said.split()
            offered = float(words[words.index("--coverage") + 1])
            assert n == 1 or not too_few(fitted("marginal", label, offered), ["no", "yes"], n)
            enough = n + int(words[-2])
            assert not too_few(fitted("marginal", np.arange(enough) % 2, asked), ["no", "yes"], enough)
            assert too_few(fitted("marginal", np.arange(enough - 1) % 2, asked), ["no", "yes"], enough - 1)


def test_a_class_without_any_scan_stays_in_every_set():
    assert all(1 in each for each in fitted("class", np.zeros(40, int), 0.9).sets(np.eye(2), None, "binary")[0])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_gives_the_same_sets(kind):
    generator = np.random.default_rng(0)
    sets = fitted(kind, np.arange(60) % 2, 0.9)
    again = ConformalSets.from_dict(json.loads(json.dumps(sets.to_dict(), allow_nan=False)))
    p, features = generator.dirichlet(np.ones(2), 50), generator.normal(size=(50, 3))
    assert again.sets(p, features, "binary")[0] == sets.sets(p, features, "binary")[0]
    with pytest.raises(ValueError, match="not known"):
        ConformalSets.from_dict({**sets.to_dict(), "kind": "adaptive"})
