"""How far apart two sites' features are: by a reader of the site, by kernels, by covariances, by Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

#: Of the median squared distance, the kernels' bandwidths: five, each twice the one before (Long et al. 2015).
BANDWIDTHS = 2.0 ** np.arange(-2, 3)
#: Scans of a class on each side from which on a distance of that class is told.
LEAST = 10

Distance = Callable[[np.ndarray, np.ndarray], float]


def proxy_a_distance(features_a: ArrayLike, features_b: ArrayLike, folds: int = 5, seed: int = 0) -> float:
    """2 (1 - 2 error) of a classifier that tells the two sites apart: 0 alike, 2 told apart without a mistake.

    Ben-David et al., Machine Learning 79, 2010. The classifier is a logistic regression on standardised features, its
    error is cross-validated, and the larger site is thinned to the size of the smaller one, so that guessing the larger
    site earns nothing.

    Args:
        features_a: (N, F).
        features_b: (M, F).
        folds: of the cross-validation; fewer where a site has fewer scans.
        seed: of the thinning and the folds.

    Returns:
        A number in [0, 2]; nan where a site has fewer than two scans.
    """
    from sklearn.linear_model import LogisticRegression  # here: they take a second to import
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    a, b = _rows(features_a), _rows(features_b)
    n = min(len(a), len(b))
    if n < 2:
        return float("nan")
    generator = np.random.default_rng(seed)
    chosen = [f[generator.choice(len(f), n, replace=False)] for f in (a, b)]
    features, site = np.concatenate(chosen), np.repeat([0, 1], n)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    split = StratifiedKFold(min(folds, n), shuffle=True, random_state=seed)
    error = float(np.mean(cross_val_predict(classifier, features, site, cv=split) != site))
    return float(np.clip(2 * (1 - 2 * error), 0, 2))


def mmd(features_a: ArrayLike, features_b: ArrayLike, most: int = 1000, seed: int = 0) -> float:
    """Squared maximum mean discrepancy, unbiased (Gretton et al., JMLR 13, 2012, lemma 6), several kernels.

    The kernel is the mean of exp(-d^2 / (2 s)) over five bandwidths s, the median squared distance of all pairs times
    1/4 to 4 (Long et al., ICML 2015, arXiv:1502.02791), so that no unit of the features matters.

    Args:
        features_a: (N, F).
        features_b: (M, F).
        most: a larger site is thinned to so many scans: the distances are (N + M, N + M).
        seed: of the thinning.

    Returns:
        A number of at most 2, no unit; about 0 for sites that are alike, a little below as often as above; nan where a
        site has fewer than two scans.
    """
    generator = np.random.default_rng(seed)
    a, b = (f if len(f) <= most else f[generator.choice(len(f), most, replace=False)]
            for f in (_rows(features_a), _rows(features_b)))  # fmt: skip
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return float("nan")
    both = np.concatenate([a, b])
    both = both - both.mean(axis=0)
    length = np.sum(both**2, axis=1)
    squared = np.maximum(length[:, None] + length - 2 * both @ both.T, 0)
    median = max(float(np.median(squared[np.triu_indices(n + m, 1)])), 1e-200)
    kernel = np.exp(-squared / (2 * median * BANDWIDTHS[:, None, None])).mean(axis=0)
    np.fill_diagonal(kernel, 0)
    site = np.repeat([0, 1], [n, m])
    weight = np.array([[1 / (n * (n - 1)), -1 / (n * m)], [-1 / (n * m), 1 / (m * (m - 1))]])
    return float(np.sum(weight[site[:, None], site] * kernel))


def coral_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Squared Frobenius distance of the covariances over 4 F^2 (Sun and Saenko, ECCV-W 2016, arXiv:1607.01719).

    Means do not matter.

    Args:
        features_a: (N, F).
        features_b: (M, F).

    Returns:
        A number of at least 0, in the features' unit to the fourth; nan where a site has fewer than two scans.
    """
    a, b = _rows(features_a), _rows(features_b)
    if min(len(a), len(b)) < 2:
        return float("nan")
    return float(np.sum((_covariance(a) - _covariance(b)) ** 2) / (4 * a.shape[1] ** 2))


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike, shrinkage: float | None = None) -> float:
    """Squared Fréchet distance of two Gaussians: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Dowson and Landau, Journal of Multivariate Analysis 12, 1982; of Inception features it is the FID (Heusel et al.,
    NeurIPS 2017, arXiv:1706.08500). The trace of the root is the sum of the roots of the eigenvalues of
    C_a^(1/2) C_b C_a^(1/2), which are real.

    Args:
        features_a: (N, F).
        features_b: (M, F).
        shrinkage: of each covariance towards the sphere of its mean variance, in [0, 1]. None: as much as Ledoit and
            Wolf (Journal of Multivariate Analysis 88, 2004) find best for so many scans; a covariance of fewer scans
            than features has directions without any spread, and two samples of one site would lie far apart.

    Returns:
        A number of at least 0, in the features' unit squared; nan where a site has fewer than two scans.
    """
    a, b = _rows(features_a), _rows(features_b)
    if min(len(a), len(b)) < 2:
        return float("nan")
    covariance_a, covariance_b = _shrunk(a, shrinkage), _shrunk(b, shrinkage)
    values, axes = np.linalg.eigh(covariance_a)
    root = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance_b @ root), 0)).sum()
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * mixed
    return float(max(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + spread, 0))


def by_class(
    distance: Distance, features_a: ArrayLike, features_b: ArrayLike, class_a: ArrayLike, class_b: ArrayLike
) -> dict[int, float]:
    """A distance of each class's scans on their own.

    A target has no labels: its classes are those that a model predicts. Scans of a class that it got wrong stand under
    the class that it said, so classes look closer than they are; a fall is no proof that the right scans met.

    Args:
        distance: one of this file's.
        features_a: (N, F).
        features_b: (M, F).
        class_a: (N,) class numbers, negative where unknown.
        class_b: (M,) the same.

    Returns:
        Class -> distance; nan where a side has fewer than ten scans of it.
    """
    a, b, of_a, of_b = _rows(features_a), _rows(features_b), np.asarray(class_a), np.asarray(class_b)
    found = {}
    for k in sorted(set(of_a[of_a >= 0].tolist()) | set(of_b[of_b >= 0].tolist())):
        here, there = a[of_a == k], b[of_b == k]
        found[int(k)] = distance(here, there) if min(len(here), len(there)) >= LEAST else float("nan")
    return found


class Alignment(NamedTuple):
    """One distance between two sites before and after adapting.

    Attributes:
        measure: "proxy A-distance", "MMD", "CORAL distance" or "Fréchet distance".
        of: the class's number; -1 for all scans.
        before, after: nan where a side has fewer than ten scans of the class.
        alike: what `after` would be if both sites were one: of two random parts of all scans, the mean of five draws.
        n_source, n_target: scans.
    """

    measure: str
    of: int
    before: float
    after: float
    alike: float
    n_source: int
    n_target: int


#: The distances of `alignment`, on features whose variance within a site is 1 on average. The Fréchet distance is
#: divided by the number of features: 1 is a site moved by one standard deviation in each.
MEASURES: dict[str, Distance] = {
    "proxy A-distance": proxy_a_distance,
    "MMD": mmd,
    "CORAL distance": coral_distance,
    "Fréchet distance": lambda a, b: frechet_distance(a, b) / a.shape[1],
}
_DRAWS = 5


def alignment(
    source_before: ArrayLike,
    target_before: ArrayLike,
    source_after: ArrayLike,
    target_after: ArrayLike,
    label: ArrayLike,
    predicted: ArrayLike,
) -> list[Alignment]:
    """How far apart the sites were and are, by each of four distances: overall first, then class by class.

    The network between before and after is another, and so is the unit of its features: both are divided by the root
    of the mean variance within a site, so that what is compared is a distance as a share of the spread.

    Args:
        source_before: (N, F).
        target_before: (M, F).
        source_after: (N, G).
        target_after: (M, G).
        label: (N,) class numbers of the source, negative where unknown; (N, K) for several labels: overall only.
        predicted: (M,) what the model that is judged says of the target, which has no labels (see `by_class`).
    """
    before, after = _in_spreads(source_before, target_before), _in_spreads(source_after, target_after)
    label, predicted = np.asarray(label), np.asarray(predicted)
    n, m = len(after[0]), len(after[1])
    several = label.ndim != 1 or predicted.ndim != 1
    found = []
    for measure, distance in MEASURES.items():
        alike = _alike(distance, *after)
        found.append(Alignment(measure, -1, distance(*before), distance(*after), alike, n, m))
        if several:
            continue
        was, now = (by_class(distance, *sites, label, predicted) for sites in (before, after))
        for k in was:
            of_k = after[0][label == k], after[1][predicted == k]
            alike = _alike(distance, *of_k) if was[k] == was[k] else float("nan")
            found.append(Alignment(measure, k, was[k], now[k], alike, len(of_k[0]), len(of_k[1])))
    return sorted(found, key=lambda row: row.of)


def _alike(distance: Distance, a: np.ndarray, b: np.ndarray) -> float:
    """The mean distance of random parts of all scans, as many as a and b."""
    both = np.concatenate([a, b])
    orders = [np.random.default_rng(seed).permutation(len(both)) for seed in range(_DRAWS)]
    return float(np.mean([distance(both[order[: len(a)]], both[order[len(a) :]]) for order in orders]))


def _in_spreads(source: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = _rows(source), _rows(target)
    within = (a.var(axis=0).mean() + b.var(axis=0).mean()) / 2
    scale = np.sqrt(max(float(within), np.finfo(float).tiny))
    return a / scale, b / scale


def _rows(features: ArrayLike) -> np.ndarray:
    return np.atleast_2d(np.asarray(features, float))


def _covariance(features: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(features, rowvar=False))


def _shrunk(features: np.ndarray, shrinkage: float | None) -> np.ndarray:
    """The covariance (F, F) drawn towards the sphere of its mean variance."""
    from sklearn.covariance import ledoit_wolf_shrinkage  # here: it takes a second to import

    covariance = _covariance(features)
    share = ledoit_wolf_shrinkage(features) if shrinkage is None else shrinkage
    return (1 - share) * covariance + share * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
