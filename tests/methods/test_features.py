"""What shallow methods share: maps that compose, spaces, logistic regression; and what all of them promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medtl.errors import InputError
from medtl.methods.features import Affine, Labelled, Linear, alike, by_site, logistic, reduced, together
from medtl.methods.shallow import FEATURE_METHODS


def two_sites(n: int = 120, m: int = 90, f: int = 12, classes: int = 2, several: bool = False, shift: bool = True):
    """Features of a source and a target through another gain and offset of each column; labels of both."""
    random = np.random.default_rng(0)
    label = random.integers(0, classes, n + m)
    truth = random.integers(0, 2, (n + m, classes)).astype(float) if several else np.eye(classes)[label]
    features = random.normal(size=(n + m, f)) + 3 * truth @ random.normal(size=(classes, f))
    if shift:
        features[n:] = features[n:] * random.uniform(0.3, 3, f) + random.normal(0, 3, f)
    return features, (truth if several else label), np.repeat([1, 0], [n, m])


def labelled(features: np.ndarray, label: np.ndarray, site: np.ndarray | None = None) -> Labelled:
    n = len(features)
    site = np.ones(n, int) if site is None else site
    classes = label.shape[1] if label.ndim == 2 else int(label.max()) + 1
    return Labelled(features, label, np.arange(n), site, np.ones(n), classes)


def test_maps_compose():
    random = np.random.default_rng(0)
    features = random.normal(size=(7, 5))
    one, other = (Affine(random.normal(size=s), random.normal(size=s[1])) for s in ((5, 4), (4, 3)))
    head = Linear(random.normal(size=(2, 3)), random.normal(size=2))
    assert np.allclose(one.then(other)(features), other(one(features)))
    assert np.allclose(head.after(one.then(other))(features), head(other(one(features))))


@pytest.mark.parametrize("begin", [together, by_site])
def test_spaces_know_how_features_get_there(begin):
    features, label, site = two_sites()
    source, target = labelled(features[site == 1], label[site == 1]), features[site == 0]
    space = reduced(begin(source, target), 8)
    assert space.source.shape[1] == 8
    assert np.allclose(space.at_source(source.features), space.source)
    assert np.allclose(space.at_target(target), space.target)


def test_each_site_is_standardised_by_itself_and_both_together_stay_apart():
    features, label, site = two_sites()
    site[:40] = 2
    source, target = labelled(features[site > 0], label[site > 0], site[site > 0]), features[site == 0]
    own = by_site(source, target)
    for rows in (own.source[source.site == 1], own.source[source.site == 2], own.target):
        assert np.allclose(rows.mean(axis=0), 0) and np.allclose(rows.std(axis=0), 1)
    both = together(source, target)
    assert np.allclose(both.source.mean(axis=0) + both.target.mean(axis=0), 0)
    assert np.abs(both.source.mean(axis=0)).max() > 0.5


def test_a_feature_that_never_changes_is_left_out():
    features, label, site = two_sites()
    features[:, 3] = 7.0
    fitted = FEATURE_METHODS["standardise"]().fit(features, np.where(site == 1, label, -1), site)
    assert np.allclose(fitted.at_target.weight[:, 3], 0, atol=1e-9)


def test_principal_axes_keep_all_distances_where_all_are_kept():
    features, label, site = two_sites()
    space = together(labelled(features[site == 1], label[site == 1]), features[site == 0])
    turned = reduced(space)
    before, after = (np.concatenate([each.source, each.target]) for each in (space, turned))
    assert np.allclose(np.linalg.norm(before[0] - before, axis=1), np.linalg.norm(after[0] - after, axis=1))


def test_sites_and_classes_count_alike():
    label, site = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.array([1, 1, 1, 1, 2, 2, 2, 2])
    weight = alike(label, site)
    assert [weight[(label == c) & (site == s)].sum() for c in (0, 1) for s in (1, 2)] == pytest.approx([1] * 4)


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_scikit_learns_at_the_strength_that_was_chosen(classes):
    features, label, _ = two_sites(classes=classes)
    features, label = features[:120], label[:120]
    source = labelled(features, label)
    logits = logistic(source)(features)
    scale = 1 / np.sqrt((features**2).sum(axis=1).mean())
    fits = [LogisticRegression(C=c, max_iter=1000).fit(features * scale, label) for c in (0.01, 0.1, 1, 10, 100)]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert min(np.abs(fit.predict_proba(features * scale) - p).max() for fit in fits) < 1e-6


def test_several_labels_are_regressions_of_their_own():
    features, label, _ = two_sites(classes=3, several=True)
    features, label = features[:120], label[:120].copy()
    label[:20, 1] = np.nan
    logits = logistic(labelled(features, label))(features)
    known = ~np.isnan(label)
    assert ((logits > 0) == (label > 0.5))[known].mean() > 0.9


def test_a_class_that_no_scan_has_is_never_likely():
    features, label, site = two_sites()
    told = np.where(site == 1, label, -1)
    fitted = FEATURE_METHODS["standardise"]().fit(features, told, site, classes=3)
    assert fitted.at_target.weight.shape[0] == 3
    assert (fitted.at_target(features[site == 0]).argmax(axis=1) < 2).all()


@pytest.mark.parametrize("name", FEATURE_METHODS)
@pytest.mark.parametrize(("classes", "several"), [(2, False), (4, False), (3, True)])
def test_every_method_tells_the_classes_apart_at_both_sites(name, classes, several):
    among = name in ("reweighted", "tca")  # made for sites whose scans lie among each other
    features, label, site = two_sites(classes=classes, several=several, shift=not among)
    hidden = label.copy().astype(float if several else int)
    hidden[site == 0] = np.nan if several else -1
    one, two = (FEATURE_METHODS[name]().fit(features, hidden, site) for _ in range(2))
    assert np.array_equal(one.at_target.weight, two.at_target.weight)  # nothing is drawn anew
    for linear, where in ((one.at_target, 0), (one.at_source, 1)):
        logits, truth = linear(features[site == where]), label[site == where]
        right = ((logits > 0) == (truth > 0.5)).mean() if several else (logits.argmax(axis=1) == truth).mean()
        assert logits.shape == (len(truth), classes)
        assert right > 0.85, (name, where)


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_the_targets_labels_are_not_looked_at(name):
    features, label, site = two_sites()
    seen, hidden = (FEATURE_METHODS[name]().fit(features, told, site) for told in (label, np.where(site, label, -1)))
    assert np.array_equal(seen.at_target.weight, hidden.at_target.weight)


def test_without_a_source_or_a_target_it_says_so():
    features, label, site = two_sites()
    for told, where in ((np.full(len(label), -1), site), (label, np.ones(len(label), int))):
        with pytest.raises(InputError, match="labelled source scans"):
            FEATURE_METHODS["coral"]().fit(features, told, where)
