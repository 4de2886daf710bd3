"""Heads on cached features: the equations, what chooses among them, and that the classifier gives their logits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from torch import nn

from medtl.finetuning import STRATEGIES, cosine, logistic, prototypes, tip_adapter
from medtl.finetuning.heads import Few, choose, folds_of, log_likelihood, margin_scale, put_into
from medtl.measures import auroc
from medtl.models import Classifier
from medtl.models.heads import CacheHead, CosineHead, heads_in

HEADS = [name for name, strategy in STRATEGIES.items() if strategy.reads and not strategy.trains]
K, F = 2, 24


class Backbone(nn.Module):
    num_features = F

    def forward(self, pixels):
        return pixels.flatten(1)


def site(n=200, classes=K, seed=0, per_patient=1):
    """Labels and features of which some directions tell the label."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) // per_patient % classes
    features = rng.normal(size=(n, F)) * np.linspace(0.1, 3, F) + 5
    for c in range(classes):
        features[label == c, 4 + c] += 3.0 * np.linspace(0.1, 3, F)[4 + c]
    return label, features


def few_of(label, features, shots=20, logits=None, multilabel=False, classes=K):
    logits = np.zeros((len(label), classes)) if logits is None else logits
    rows = np.arange(shots)
    return Few(logits[rows], features[rows], label[rows], rows.astype(str), logits, features, multilabel)


def both(label):
    """Two labels a scan, the second the opposite of the first, a few of them unknown."""
    truth = np.stack([label, 1 - label], axis=1).astype(float)
    truth[3, 1] = truth[6, 0] = np.nan
    return truth


def log_odds(head, few, label, features):
    logits = head(np.zeros((len(label), few.logits.shape[1])), features)
    return logits[:, 1] - logits[:, 0]


# ---- what all of them do -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", HEADS)
def test_learns_from_twenty_and_the_classifier_gives_its_logits(name):
    torch.manual_seed(0)
    classifier = Classifier(Backbone(), K, bottleneck=8).eval()
    label, features = site()
    pixels = torch.from_numpy(features).float().reshape(len(label), 1, 4, 6)
    with torch.inference_mode():
        said = classifier(pixels).logits.double().numpy()
    few = few_of(label, features, logits=said)
    head = STRATEGIES[name].head(few)
    put_into(classifier, head)
    with torch.inference_mode():
        after = classifier(pixels).logits.numpy()
    assert np.allclose(after, head(said, features), atol=1e-3)
    assert auroc(label[20:], (after[:, 1] - after[:, 0])[20:]) > 0.75
    assert head.held_out.shape == (20, K)
    assert log_likelihood(head.held_out, few.truth, False) > 20 * np.log(0.5)  # no surer than it should be


@pytest.mark.parametrize("name", HEADS)
def test_one_patient_a_class(name):
    label, features = site()
    few = few_of(label, features, shots=2)
    head = STRATEGIES[name].head(few)
    assert head.held_out is None
    assert np.isfinite(head(few.all_logits, few.all_features)).all()
    assert (few.label == head(few.logits, few.features).argmax(axis=1)).all()


@pytest.mark.parametrize("name", HEADS)
def test_several_labels_a_scan_some_unknown(name):
    label, features = site()
    few = few_of(both(label), features, shots=40, multilabel=True)
    logits = STRATEGIES[name].head(few)(few.all_logits, few.all_features)
    assert auroc(label[40:], logits[40:, 0]) > 0.75 and auroc(1 - label[40:], logits[40:, 1]) > 0.75


@pytest.mark.parametrize("name", HEADS)
def test_three_classes_one_of_which_has_no_label(name):
    label, features = site(classes=2)
    few = few_of(label, features, classes=3)
    logits = STRATEGIES[name].head(few)(few.all_logits, few.all_features)
    assert np.isfinite(logits).all() and auroc(label[20:], (logits[:, 1] - logits[:, 0])[20:]) > 0.75


@pytest.mark.parametrize("name", HEADS)
def test_a_rare_class_is_expected_as_often_as_it_is_labelled(name):
    label, features = site(400)
    rows = np.concatenate([np.flatnonzero(label == 0)[:32], np.flatnonzero(label == 1)[:8]])
    few = replace(few_of(label, features, len(rows)), features=features[rows], label=label[rows])
    probability = 1 / (1 + np.exp(-log_odds(STRATEGIES[name].head(few), few, few.label, few.features)))
    assert 0.05 < probability.mean() < 0.4  # 0.2 of them are of the class


@pytest.mark.parametrize("name", sorted({*HEADS} - {"linear-probe"}))
def test_the_scale_and_the_offset_of_a_feature_do_not_matter(name):
    label, features = site()
    few, other = few_of(label, features), few_of(label, features * np.linspace(1, 50, F) + 7)
    ours = log_odds(STRATEGIES[name].head(few), few, label, features)
    theirs = log_odds(STRATEGIES[name].head(other), other, label, other.all_features)
    assert np.allclose(ours, theirs, atol=0.02 * np.abs(ours).max())


# ---- what chooses ------------------------------------------------------------------------------------------------
def test_folds_keep_patients_apart_and_are_none_for_one_patient_a_class():
    label, features = site(80, per_patient=4)
    few = replace(few_of(label, features, 80), patient=(np.arange(80) // 4).astype(str))
    folds = list(few.folds())
    assert len(folds) == 10
    assert all(not set(few.patient[train]) & set(few.patient[test]) for train, test in folds)
    assert not list(few.select(np.arange(8)).folds())


def test_an_unknown_label_is_no_class_of_its_own():
    """It would be one of one patient, and nothing would be held out."""
    truth = both(np.arange(20) % 2)
    truth[5] = [0.0, np.nan]
    assert len(list(folds_of(truth, np.arange(20).astype(str)))) == 10


@pytest.mark.parametrize("name", HEADS)
def test_a_fold_that_holds_out_all_of_a_class(name):
    """Class 0 has two patients, who have scans of class 1 too; both are in the same fold."""
    label = np.array([1, 0, 1, 1, 1, 1, 1, 0, 0, 0])
    patient = np.array([0, 0, 1, 1, 1, 1, 1, 1, 2, 2])
    assert any(len(set(label[train])) == 1 for train, _ in folds_of(np.eye(2)[label], patient))
    features = np.random.default_rng(0).normal(size=(30, F)) + 2.0 * np.resize(label, 30)[:, None]
    few = replace(few_of(np.resize(label, 30), features, len(label)), patient=patient)
    head = STRATEGIES[name].head(few)
    assert np.isfinite(head.held_out).all() and np.isfinite(head(few.all_logits, few.all_features)).all()


def test_the_labels_choose_the_option_and_the_gain():
    """One option knows the label, ten times too sure of itself; the other knows nothing."""
    label, features = site()
    rng = np.random.default_rng(0)
    features[:, 0] = label - 0.5 + rng.normal(0, 0.5, len(label))  # log odds 4 x: what a Gaussian of 0.5 gives
    few = few_of(label, features, shots=100)

    def fit(some, column, size):
        weight = np.zeros((K, F))
        weight[:, column] = [-size / 2, size / 2]
        return prototypes.Head(0.0, weight, np.zeros(K))

    head = choose(few, fit, [(1, 1.0), (0, 20.0)])
    assert head.weight[1, 1] == 0.0
    assert 2.0 < 2 * head.weight[1, 0] < 8.0
    assert np.allclose(head.held_out, head(few.logits, few.features))  # these heads do not hang on the scans
    alone = choose(few.select(np.arange(2)), fit, [(1, 1.0), (0, 20.0)])
    assert (alone.weight[1, 1], alone.weight[1, 0]) == (0.5, 0.0)


def test_log_likelihood_by_hand():
    logits, truth = np.array([[0.0, np.log(3)]]), np.array([[0.0, 1.0]])
    assert log_likelihood(logits, truth, False) == pytest.approx(np.log(0.75))
    assert log_likelihood(logits, truth, True) == pytest.approx(np.log(0.5) + np.log(0.75))
    assert log_likelihood(logits, np.array([[np.nan, 1.0]]), True) == pytest.approx(np.log(0.75))


def test_margin_scale_makes_log_odds_of_one():
    score = np.random.default_rng(0).normal(size=50)
    logits = np.stack([-score, score], axis=1)
    scaled = logits / margin_scale(logits, False)
    assert np.sqrt(np.mean((scaled[:, 1] - scaled[:, 0]) ** 2)) == pytest.approx(1.0)


# ---- each one's equation -----------------------------------------------------------------------------------------
def test_prototypes_are_the_nearest_centroid():
    label, features = site(classes=3)
    few = few_of(label, features, 30, classes=3)  # ten of each
    theirs = NearestCentroid().fit(few.standardised(few.features), few.label)
    ours = prototypes._nearest_mean(few)(few.all_logits, features)
    assert (ours.argmax(axis=1) == theirs.predict(few.standardised(features))).all()
    z = few.standardised(features)
    means = np.stack([few.standardised(few.features)[few.label == c].mean(axis=0) for c in range(3)])
    distance = ((z[:, None] - means) ** 2).sum(axis=2)
    ratio = np.diff(ours, axis=1) / -np.diff(distance, axis=1)
    assert np.allclose(ratio, ratio[0, 0])


def test_a_rare_class_of_noise_is_not_farther_away():
    """Both classes are the same cloud, one with 4 and one with 196 labels: neither is nearer to the rest."""
    rng = np.random.default_rng(0)
    nearer = []
    for _ in range(20):
        features = rng.normal(size=(400, 200))
        label = (np.arange(200) < 4).astype(int)
        few = Few(np.zeros((200, 2)), features[:200], label, np.arange(200).astype(str), np.zeros((400, 2)), features)
        logits = prototypes._nearest_mean(few)(np.zeros((200, 2)), features[200:])
        nearer.append((logits[:, 1] - logits[:, 0]).mean())
    assert abs(np.mean(nearer)) < 0.5  # without the correction: -3 and less


def test_logistic_is_scikit_learns():
    label, features = site()
    few = few_of(label, features, 40)
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000)
    theirs.fit(few.standardised(few.features) / np.sqrt(F), few.label)
    ours = log_odds(logistic._fit(few, 2.0), few, label, features)
    assert np.allclose(ours, theirs.decision_function(few.standardised(features) / np.sqrt(F)), atol=1e-3)


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_gradient_of_the_cosine_loss(multilabel):
    label, features = site(12)
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    truth = both(label) if multilabel else np.eye(K)[label]
    told = z, truth, 7.0, multilabel
    flat = np.random.default_rng(1).normal(size=K * F)
    gap = check_grad(lambda w: cosine._loss(w, *told)[0], lambda w: cosine._loss(w, *told)[1], flat)
    assert gap < 1e-5 * np.linalg.norm(cosine._loss(flat, *told)[1]) + 1e-6


def test_cosine_classes_count_alike():
    truth = np.eye(K)[[0, 0, 0, 1]]
    assert np.allclose(cosine._shares(truth, False)[:, 0], [2 / 3, 2 / 3, 2 / 3, 2])


def test_the_modules_by_hand():
    centre, spread = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])
    features = torch.tensor([[7.0, 4.0]])  # z = (3, 4) / 5
    cosines = CosineHead(centre, spread, torch.tensor([[10.0, 0.0], [0.0, 0.5]]), gain=10.0)
    assert torch.allclose(cosines(features), torch.tensor([[6.0, 8.0]]))
    keys, votes = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    cache = CacheHead(centre, spread, keys, votes, beta=5.0, gain=3.0)
    assert torch.allclose(cache(features), 3 * torch.exp(torch.tensor([[-2.0, -1.0]])))


def test_tip_adapter_asks_the_source_model_and_the_cache():
    label, features = site()
    rng = np.random.default_rng(1)
    score = 2 * label - 1 + rng.normal(size=len(label))
    few = few_of(label, features, 20, logits=np.stack([-score / 2, score / 2], axis=1) + 3)
    head = tip_adapter._fit(few, 2.0, 5.5)
    said = head.source_weight * few.all_logits + head.bias
    voted = head.more(torch.from_numpy(features).float()).numpy()
    assert np.allclose(head(few.all_logits, features), said + voted, atol=1e-5)
    assert margin_scale(said, False) == pytest.approx(1.0)
    assert margin_scale(voted - voted.mean(axis=0), False) == pytest.approx(2.0, rel=1e-4)  # alpha
    tuned = STRATEGIES["tip-adapter"].head(few)(few.all_logits, features)
    alone = few_of(label, features, 20)
    without = STRATEGIES["tip-adapter"].head(alone)(alone.all_logits, features)
    areas = [auroc(label[20:], (each[:, 1] - each[:, 0])[20:]) for each in (tuned, without)]
    assert areas[0] > areas[1] + 0.02


# ---- in the classifier -------------------------------------------------------------------------------------------
def test_a_second_head_on_a_first_and_back_from_the_state_dict():
    """A Run with a cache is fine-tuned again: the first head is weighed down with the rest of the model."""
    torch.manual_seed(0)
    classifier = Classifier(Backbone(), K, bottleneck=8).eval()
    label, features = site()
    pixels = torch.from_numpy(features).float().reshape(len(label), 1, 4, 6)
    for name in ("cosine", "tip-adapter"):
        with torch.inference_mode():
            said = classifier(pixels).logits.double().numpy()
        head = STRATEGIES[name].head(few_of(label, features, logits=said))
        put_into(classifier, head)
        with torch.inference_mode():
            assert np.allclose(classifier(pixels).logits.numpy(), head(said, features), atol=1e-3)
    state = classifier.state_dict()
    again = Classifier(Backbone(), K, bottleneck=8).eval()
    again.few_shot = heads_in(state)
    again.load_state_dict(state)
    assert [type(each) for each in again.few_shot] == [CosineHead, CacheHead]
    with torch.inference_mode():
        assert torch.equal(again(pixels).logits, classifier(pixels).logits)


def test_a_classifier_without_such_heads_has_the_state_dict_that_it_always_had():
    state = Classifier(Backbone(), K, bottleneck=8).state_dict()
    assert not [name for name in state if "few_shot" in name] and len(heads_in(state)) == 0
