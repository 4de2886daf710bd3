"""Methods that need no gradient: from cached features of both sites to one linear map of the target's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.special import log_expit, log_softmax

from medtl.errors import InputError

#: Principal axes that the methods work on at most: 256 of 1,280 hold nine tenths of the variance of EfficientNet's
#: features of ultrasound, and make all of it a matter of seconds.
AXES = 256
#: C of scikit-learn, for coordinates of unit length on average: the first is taken where nothing can be held out.
STRENGTHS = (1.0, 0.01, 0.1, 10.0, 100.0)
FOLDS = 5


@dataclass(frozen=True)
class Linear:
    """logits = features @ weight.T + bias.

    Attributes:
        weight: (K, F).
        bias: (K,).
    """

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, K) of features (N, F)."""
        return features @ self.weight.T + self.bias

    def after(self, first: Affine) -> Linear:
        """The same map of what `first` is a map of."""
        return Linear(self.weight @ first.matrix.T, self.bias + self.weight @ first.offset)


class Affine(NamedTuple):
    """coordinates = features @ matrix + offset."""

    matrix: np.ndarray  # (F, D)
    offset: np.ndarray  # (D,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, D) of features (N, F)."""
        return features @ self.matrix + self.offset

    def then(self, second: Affine) -> Affine:
        """Both, one after the other."""
        return Affine(self.matrix @ second.matrix, self.offset @ second.matrix + second.offset)


@dataclass(frozen=True)
class Labelled:
    """The source's scans.

    Attributes:
        features: (N, F).
        label: (N,) class; or (N, K) 0, 1 or nan where unknown.
        patient: (N,) a patient is never on both sides of a fold.
        site: (N,).
        weight: (N,) how much each scan counts, 1 on average.
        classes: K.
    """

    features: np.ndarray
    label: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    weight: np.ndarray
    classes: int

    @property
    def multilabel(self) -> bool:
        """Several labels may hold together."""
        return self.label.ndim == 2

    def select(self, rows: np.ndarray) -> Labelled:
        """These scans alone."""
        names = ("features", "label", "patient", "site", "weight")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


class Space(NamedTuple):
    """Coordinates in which the sites are to look alike, and how features get there."""

    source: np.ndarray  # (N, D)
    target: np.ndarray  # (M, D)
    at_source: Affine
    at_target: Affine
    weight: np.ndarray | None = None  # (N,) of the source's scans, 1 on average, where they are to count differently

    def then(self, at_source: Affine, at_target: Affine) -> Space:
        """Both sites mapped further, each by a map of its own."""
        source, target = at_source(self.source), at_target(self.target)
        return Space(source, target, self.at_source.then(at_source), self.at_target.then(at_target), self.weight)


class Fitted(NamedTuple):
    """What a method found: the same classes told apart at both sites."""

    at_target: Linear  # of the target's features
    at_source: Linear  # of the source's
    source_weights: np.ndarray | None = None  # (N,) of the labelled source scans, 1 on average; None: all alike


class FeatureMethod(ABC):
    """From cached features to a linear classifier, in seconds.

    Most methods bring both sites into one space (`align`), where a logistic regression learns from the source; a method
    that does something else has a `learn` of its own. Options stand in `__init__`.
    """

    def fit(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        sites: np.ndarray,
        *,
        patients: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        classes: int | None = None,
    ) -> Fitted:
        """Learn from the source's labels and the target's features; the target's labels are not looked at.

        Args:
            features: (N, F) of both sites.
            labels: (N,) class, -1 for unlabelled; or (N, K) 0, 1 or nan.
            sites: (N,) 0 for the target, 1, 2 ... for sources.
            patients: (N,) to hold out whole patients where something is chosen; by default each scan is one.
            weights: (N,) how much each source scan counts; by default each source and class alike, and of several
                labels a scan each source.
            classes: K; by default what the labels show.

        Raises:
            InputError: there is no labelled source scan, or no target scan.
        """
        features, labels, sites = np.asarray(features, float), np.asarray(labels), np.asarray(sites)
        known = labels >= 0 if labels.ndim == 1 else ~np.isnan(labels).all(axis=1)
        rows, target = np.flatnonzero((sites > 0) & known), features[sites == 0]
        if not len(rows) or len(target) < 2:
            raise InputError(
                "a method on features needs labelled source scans and two target scans at least: give it more scans"
            )
        label, site = labels[rows], sites[rows]
        weight = alike(label, site) if weights is None else np.asarray(weights, float)[rows]
        source = Labelled(
            features[rows],
            label,
            rows if patients is None else np.asarray(patients)[rows],
            site,
            weight / weight.mean(),
            classes or (int(label.max()) + 1 if labels.ndim == 1 else labels.shape[1]),
        )
        return self.learn(source, target)

    def learn(self, source: Labelled, target: np.ndarray) -> Fitted:
        """Logistic regression on the source where `align` puts it."""
        space = self.align(source, target)
        weight = source.weight if space.weight is None else source.weight * space.weight
        head = logistic(replace(source, features=space.source, weight=weight))
        return Fitted(head.after(space.at_target), head.after(space.at_source), space.weight)

    @abstractmethod
    def align(self, source: Labelled, target: np.ndarray) -> Space:
        """The space in which the sites are to look alike."""


def alike(label: np.ndarray, site: np.ndarray) -> np.ndarray:
    """(N,) weights by which each site and class counts as much as the others; several labels a scan: each site."""
    group = site if label.ndim == 2 else np.unique(np.stack([site, label]), axis=1, return_inverse=True)[1]
    _, index, count = np.unique(group, return_inverse=True, return_counts=True)
    return 1 / count[index]


# --- spaces to begin with ---------------------------------------------------------------------------------------------


def standard(mean: np.ndarray, spread: np.ndarray) -> Affine:
    """To a mean of 0 and a standard deviation of 1; a feature that is the same in all scans goes to 0."""
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    return Affine(np.diag(scale), -mean * scale)


def together(source: Labelled, target: np.ndarray) -> Space:
    """Both sites standardised by the mean and spread of all scans, each side counting half: they stay as far apart."""
    mean = (source.features.mean(axis=0) + target.mean(axis=0)) / 2
    square = ((source.features - mean) ** 2).mean(axis=0) + ((target - mean) ** 2).mean(axis=0)
    both = standard(mean, np.sqrt(square / 2))
    scale = np.diag(both.matrix)
    return Space((source.features - mean) * scale, (target - mean) * scale, both, both)


def by_site(source: Labelled, target: np.ndarray) -> Space:
    """Each site standardised by its own mean and spread; a new scan of any source by those of all sources."""
    own = np.empty_like(source.features)
    for site in np.unique(source.site):
        own[source.site == site] = _standardised(source.features[source.site == site])[0]
    here, at_target = _standardised(target)
    return Space(own, here, _standardised(source.features)[1], at_target)


def _standardised(features: np.ndarray) -> tuple[np.ndarray, Affine]:
    mean = features.mean(axis=0)
    found = standard(mean, features.std(axis=0))
    return (features - mean) * np.diag(found.matrix), found


def reduced(space: Space, most: int = AXES) -> Space:
    """The first principal axes of both sites together."""
    both = np.concatenate([space.source, space.target])
    centre = both.mean(axis=0)
    x, f = both - centre, both.shape[1]
    variance, axes = eigh(x.T @ x, subset_by_index=[max(0, f - most), f - 1])
    axes = axes[:, variance > 1e-10 * max(variance[-1], 1e-12)][:, ::-1]
    turned = Affine(axes, -centre @ axes)
    return space.then(turned, turned)


# --- the classifier ---------------------------------------------------------------------------------------------------


def logistic(source: Labelled) -> Linear:
    """Logistic regression with an L2 penalty, held back as much as makes the labels of patients held out likeliest.

    Of several labels a scan one regression each. Where a class has one patient only, nothing is held out: C is 1.

    Args:
        source: its `features` are the coordinates to learn on, its `weight` how much each scan counts.
    """
    scale = 1 / max(np.sqrt((source.features**2).sum(axis=1).mean()), 1e-12)
    told = replace(source, features=source.features * scale)
    head = _chosen(told, _several_regressions if source.multilabel else _regression)
    return Linear(head.weight * scale, head.bias)


def _chosen(source: Labelled, regress: Callable[[Labelled, float], Linear]) -> Linear:
    from sklearn.model_selection import StratifiedGroupKFold

    group = np.nan_to_num(source.label).argmax(axis=1) if source.multilabel else source.label
    fewest = min(len(np.unique(source.patient[group == c])) for c in np.unique(group))
    if fewest < 2:
        return regress(source, STRENGTHS[0])
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=0)
    likelihood = np.zeros(len(STRENGTHS))
    for train, test in folds.split(group, group, source.patient):
        seen, held_out = source.select(train), source.select(test)
        for number, strength in enumerate(STRENGTHS):
            likelihood[number] += _likelihood(regress(seen, strength)(held_out.features), held_out)
    return regress(source, STRENGTHS[int(likelihood.argmax())])


def _likelihood(logits: np.ndarray, source: Labelled) -> float:
    if source.multilabel:
        each = np.where(source.label > 0.5, log_expit(logits), log_expit(-logits))
        return float((source.weight[:, None] * np.where(np.isnan(source.label), 0.0, each)).sum())
    return float(source.weight @ log_softmax(logits, axis=1)[np.arange(len(logits)), source.label])


def _regression(source: Labelled, strength: float) -> Linear:
    from sklearn.linear_model import LogisticRegression

    weight = np.zeros((source.classes, source.features.shape[1]))
    bias = np.full(source.classes, -np.log(len(source.label) + 1.0))  # a class that no scan has is unlikely
    seen = np.unique(source.label)
    if len(seen) == 1:
        bias[seen] = 0.0
        return Linear(weight, bias)
    found = LogisticRegression(C=strength, max_iter=1000).fit(source.features, source.label, source.weight)
    two = np.array([-0.5, 0.5])  # of two classes scikit-learn gives one row, the log odds
    weight[seen] = two[:, None] * found.coef_ if len(seen) == 2 else found.coef_
    bias[seen] = two * found.intercept_ if len(seen) == 2 else found.intercept_
    return Linear(weight, bias)


def _several_regressions(source: Labelled, strength: float) -> Linear:
    weight, bias = np.zeros((source.classes, source.features.shape[1])), np.zeros(source.classes)
    for c, truth in enumerate(source.label.T):
        known = ~np.isnan(truth)
        one = replace(source.select(known), label=truth[known].astype(int), classes=2)
        head = _regression(one, strength)
        weight[c], bias[c] = head.weight[1] - head.weight[0], head.bias[1] - head.bias[0]
    return Linear(weight, bias)
