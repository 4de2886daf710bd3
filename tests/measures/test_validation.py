"""Scores that choose without target labels: by hand, against skada, and the order they are meant to give."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medtl.measures import mean_entropy, prediction_correlation, soft_neighbourhood_density
from medtl.measures.label_free import cluster_agreement
from medtl.measures.validation import (
    SCORES,
    Candidate,
    deep_embedded_risk,
    importance,
    importance_weighted_risk,
    mean_auroc,
    scores_of,
    signals_of,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skada import metrics as skada

RNG = np.random.default_rng(0)


def made(
    k: int = 2, n: int = 80, m: int = 120, sharp: float = 3.0, noise: float = 0.5, shift: float = 0.0
) -> Candidate:
    """A model whose target predictions are right where noise is small; two patients' scans at a time."""
    random = np.random.default_rng(1)
    label, hidden = np.arange(n) % k, np.arange(m) % k
    source, target = (np.eye(k)[each] + noise * random.normal(size=(len(each), k)) for each in (label, hidden))
    wide = random.normal(size=(k, 6))
    return Candidate(
        sharp * source, source @ wide, label, np.arange(n) // 2, sharp * target, target @ wide
    )  # fmt: skip


# ---- by hand -----------------------------------------------------------------------------------------------------
def test_weighted_risk_by_hand():
    assert importance_weighted_risk([1.0, 3.0], [3.0, 1.0]) == pytest.approx(1.5)
    assert importance_weighted_risk([1.0, 3.0], [30.0, 10.0]) == pytest.approx(1.5)


def test_deep_embedded_risk_by_hand():
    # weight (1, 3), loss (2, 2): weighted (2, 6); cov = 4, var = 2, eta = -2; 4 - 2 x 2 + 2 = 2, the loss of each.
    assert deep_embedded_risk([2.0, 2.0], [1.0, 3.0]) == pytest.approx(2.0)
    assert deep_embedded_risk([1.0, 3.0], [1.0, 1.0]) == pytest.approx(2.0)  # no variance: the plain mean
    loss, weight = RNG.exponential(size=500), RNG.exponential(size=500)
    # the control variate is a regression on weight - 1: the intercept at weight 1
    _, intercept = np.polyfit(weight - 1, weight * loss, 1)
    assert deep_embedded_risk(loss, weight) == pytest.approx(intercept)


def test_prediction_correlation_by_hand():
    assert prediction_correlation(np.eye(3)) == pytest.approx(1)
    assert prediction_correlation(np.full((4, 3), 1 / 3)) == pytest.approx(1 / np.sqrt(3))
    assert prediction_correlation(np.eye(3)[[0, 0]]) == pytest.approx(1 / np.sqrt(3))
    # P^T P / 2 of (1, 0), (0.5, 0.5) is [[5, 1], [1, 1]] / 8: trace 6, norm sqrt(28), so 6 / sqrt(56)
    assert prediction_correlation([[1, 0], [0.5, 0.5]]) == pytest.approx(6 / np.sqrt(56))


def test_clusters_are_followed_or_not():
    features = np.repeat(np.eye(2), 20, axis=0) + 0.01 * RNG.normal(size=(40, 2))
    right = np.repeat(np.eye(2), 20, axis=0)
    assert cluster_agreement(features, right) == pytest.approx(1) == cluster_agreement(features, right[:, ::-1])
    assert abs(cluster_agreement(features, np.eye(2)[np.arange(40) % 2])) < 0.05
    assert cluster_agreement(features, np.eye(2)[np.zeros(40, int)]) == pytest.approx(0)
    assert np.isnan(cluster_agreement(features[:1], right[:1]))


# ---- density ratio -----------------------------------------------------------------------------------------------
def test_importance_is_the_true_ratio_of_two_gaussians():
    """N(1, 1) over N(0, 1) on the first axis is exp(x - 1/2)."""
    source, target = RNG.normal(size=(1500, 3)), RNG.normal([1, 0, 0], size=(1500, 3))
    found = importance(source, target, np.arange(1500))
    assert np.corrcoef(np.log(found), source[:, 0])[0, 1] > 0.97
    assert np.median(np.abs(np.log(found) - (source[:, 0] - 0.5))) < 0.2
    assert found.mean() == pytest.approx(1, abs=0.15)


def test_of_sites_that_are_alike_all_count_alike():
    both = RNG.normal(size=(400, 8))
    assert np.abs(np.log(importance(both[:200], both[200:], np.arange(200)))).max() < 0.4


def test_a_patient_is_not_weighted_by_a_model_that_has_seen_it():
    """Two scans of each patient are the same: a model that had seen one would know the other."""
    source, target = np.repeat(RNG.normal(size=(20, 16)), 2, axis=0), RNG.normal(size=(40, 16))
    patient = np.repeat(np.arange(20), 2)
    assert np.log(importance(source, target, patient)).mean() > np.log(importance(source, target, np.arange(40))).mean()


def test_too_few_to_learn_a_ratio_from():
    assert (importance(np.ones((3, 2)), np.ones((4, 2)), [0, 0, 0]) == 1).all()


# ---- against skada -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fitted():
    """X, y, sample_domain (source > 0) and a plain pipeline."""
    x = np.concatenate([RNG.normal(size=(90, 2)), RNG.normal([0.7, 0.2], size=(60, 2))])
    y = (x[:, 0] + 0.5 * RNG.normal(size=150) > 0).astype(int)
    domain = np.repeat([1, -2], [90, 60])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:90], y[:90])
    return x, y, domain, model


class Deaf:
    """skada hands sample_domain to each call; scikit-learn's pipelines do not take it."""

    def __init__(self, model):
        self.model = model

    def predict_proba(self, x, **ignored):
        return self.model.predict_proba(x)

    def predict_log_proba(self, x, **ignored):
        return self.model.predict_log_proba(x)


def test_entropy_is_skadas(fitted):
    x, y, domain, model = fitted
    theirs = skada.PredictionEntropyScorer()._score(None, Deaf(model), x, y, sample_domain=domain)
    p = model.predict_proba(x[90:])
    assert -mean_entropy(p) / p.shape[1] == pytest.approx(theirs, abs=1e-9)  # theirs is the mean over classes too


def test_density_is_skadas(fitted):
    x, y, domain, model = fitted
    theirs = skada.SoftNeighborhoodDensity()._score(None, Deaf(model), x, y, sample_domain=domain)
    assert soft_neighbourhood_density(model.predict_proba(x[90:])) == pytest.approx(theirs, abs=1e-9)


def test_deep_embedded_validation_is_skadas_on_the_same_split(fitted):
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import Pipeline

    x, y, domain, model = fitted

    class DeafPipeline(Pipeline):
        def predict_proba(self, X, **ignored):  # noqa: N803
            return super().predict_proba(X)

    def loss(label, p):
        """A column: of a row, as its own default gives, skada multiplies every weight with every loss."""
        return -np.log(p[np.arange(len(label)), label])[:, None]

    scorer = skada.DeepEmbeddedValidation(random_state=0, loss_func=loss)
    theirs = scorer._score(None, DeafPipeline(model.steps), x, y, sample_domain=domain)
    train, held_out, _, label = train_test_split(x[:90], y[:90], test_size=0.33, random_state=np.random.RandomState(0))
    features = model[:1].transform(held_out)
    p_source = scorer.domain_classifier_.predict_proba(features)[:, 1]
    weight = len(train) / 60 * (1 - p_source) / p_source
    assert -deep_embedded_risk(loss(label, model.predict_proba(held_out))[:, 0], weight) == pytest.approx(
        theirs, abs=1e-9
    )


def test_weighted_validation_is_skadas_on_the_same_weights(fitted):
    from sklearn.neighbors import KernelDensity

    x, y, domain, _ = fitted

    class Scored(LogisticRegression):
        def score(self, X, y, sample_weight=None, **ignored):  # noqa: N803
            loss = -np.log(self.predict_proba(X)[np.arange(len(y)), y])
            return -np.average(loss, weights=sample_weight)

    plain = Scored().set_score_request(sample_weight=True).fit(x[:90], y[:90])
    theirs = skada.ImportanceWeightedScorer()._score(None, plain, x, y, sample_domain=domain)
    densities = [KernelDensity().fit(each).score_samples(x[:90]) for each in (x[:90], x[90:])]
    loss = -np.log(plain.predict_proba(x[:90])[np.arange(90), y[:90]])
    assert -importance_weighted_risk(loss, np.exp(densities[1] - densities[0])) == pytest.approx(theirs, abs=1e-9)


# ---- candidates --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [2, 4])
def test_every_score_but_density_prefers_the_model_that_is_right_to_the_one_that_guesses(k):
    good, bad = scores_of(made(k, noise=0.2, sharp=5)), scores_of(made(k, noise=3, sharp=0.3))
    assert set(good) == set(SCORES)
    assert all(np.isfinite([*good.values(), *bad.values()]))
    assert [name for name in SCORES if not good[name] > bad[name]] == ["snd"]  # who is unsure of all is dense as well


def test_a_collapse_fools_entropy_and_not_the_others():
    plain = made(noise=0.5, sharp=2)
    logits = np.tile([9.0, 0.0], (len(plain.target_logits), 1))
    collapsed = scores_of(Candidate(*list(vars(plain).values())[:4], logits, plain.target_features))
    fine = scores_of(plain)
    assert collapsed["entropy"] > fine["entropy"]
    assert all(collapsed[name] < fine[name] for name in ("information", "mcc", "corr-c", "nuclear-norm", "clusters"))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_auroc_is_scikit_learns_of_classes_and_of_labels(k):
    logits, label = RNG.normal(size=(60, k)), np.arange(60) % k
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = roc_auc_score(label, p[:, 1] if k == 2 else p, multi_class="ovr", average="macro")
    assert mean_auroc(logits, label) == pytest.approx(expected)
    several = RNG.integers(0, 2, (60, k)).astype(float)
    assert mean_auroc(logits, several) == pytest.approx(roc_auc_score(several, logits, average="macro"))
    several[:20, 0] = np.nan
    each = [roc_auc_score(y[~np.isnan(y)], z[~np.isnan(y)]) for y, z in zip(several.T, logits.T, strict=True)]
    assert mean_auroc(logits, several) == pytest.approx(np.mean(each))


def test_several_labels_are_the_mean_over_them():
    one = made()
    odds = [each[:, 1] - each[:, 0] for each in (one.source_logits, one.target_logits)]
    random = np.random.default_rng(3)
    other = random.normal(size=len(odds[0])), random.normal(size=len(odds[1]))
    label = np.stack([one.source_label, random.integers(2, size=len(one.source_label))], axis=1).astype(np.float32)
    several = Candidate(
        np.stack([odds[0], other[0]], 1), one.source_features, label, one.source_patient,
        np.stack([odds[1], other[1]], 1), one.target_features,
    )  # fmt: skip
    alone = [scores_of(each) for each in several.labels()]
    assert alone[0] == pytest.approx(scores_of(one))
    assert scores_of(several) == pytest.approx({name: (alone[0][name] + alone[1][name]) / 2 for name in SCORES})
    label[3, 0] = np.nan
    assert len(next(iter(several.labels())).source_label) == len(label) - 1


def test_signals_are_the_scores_and_two_numbers_beside_source_only():
    plain, worse = made(), made(noise=2)
    signals = signals_of(worse, plain)
    assert signals == {**scores_of(worse), "forgot": signals["forgot"], "agreement": signals["agreement"]}
    assert signals["forgot"] == pytest.approx(scores_of(plain)["source"] - scores_of(worse)["source"]) and (
        signals["forgot"] > 0
    )
    odds = [each.target_logits[:, 1] - each.target_logits[:, 0] for each in (plain, worse)]
    assert signals["agreement"] == pytest.approx(stats.spearmanr(*odds).statistic)
    itself = signals_of(plain, plain)
    assert (itself["forgot"], itself["agreement"]) == (0, pytest.approx(1))


def test_a_candidate_holds_no_target_label():
    assert [name for name in Candidate.__dataclass_fields__ if name.startswith("target")] == [
        "target_logits", "target_features",
    ]  # fmt: skip
