"""Scores of a model on scans without labels, for choosing an epoch or a weight. None of them can see a label.

None can promise anything either: each rewards a habit that good models have and some bad models share. `benchmarks/`
says which of them chose well.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike


def mean_entropy(probabilities: ArrayLike) -> float:
    """Mean entropy of the predictions, in nats: lower is surer (Morerio et al., ICLR 2018, arXiv:1711.10288).

    A collapse onto one class scores best here; `information` does not fall for that.

    Args:
        probabilities: (N, K), rows sum to 1.
    """
    return float(_entropy(np.asarray(probabilities, float)).mean())


def information(probabilities: ArrayLike) -> float:
    """Mutual information of scan and prediction, in nats: sure of each scan, varied over all. Higher is better.

    Entropy of the mean prediction less the mean entropy (Bridle et al., NeurIPS 1991; Shi and Sha, ICML 2012).

    Args:
        probabilities: (N, K), rows sum to 1.
    """
    p = np.asarray(probabilities, float)
    return float(_entropy(p.mean(axis=0, keepdims=True))[0] - _entropy(p).mean())


def class_confusion(probabilities: ArrayLike, temperature: float = 2.5) -> float:
    """Minimum class confusion (Jin et al., ECCV 2020, arXiv:1912.03699): lower is better.

    Args:
        probabilities: (N, K), rows sum to 1.
        temperature: flattens the predictions first; 2.5 is the paper's.

    Returns:
        The share of the class correlation that lies between classes, in [0, 1].
    """
    logit = np.log(np.clip(np.asarray(probabilities, float), 1e-12, 1)) / temperature
    p = np.exp(logit - logit.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    sureness = 1 + np.exp(-_entropy(p))
    weight = len(p) * sureness / sureness.sum()
    confusion = (p * weight[:, None]).T @ p
    confusion /= confusion.sum(axis=1, keepdims=True)
    return float((confusion.sum() - np.trace(confusion)) / p.shape[1])


def nuclear_norm(probabilities: ArrayLike) -> float:
    """Nuclear norm of the predictions (Cui et al., CVPR 2020, arXiv:2003.12237): sure and varied is high.

    Args:
        probabilities: (N, K), rows sum to 1.

    Returns:
        A number in (0, 1]: divided by sqrt(N min(N, K)), its upper bound.
    """
    p = np.asarray(probabilities, float)
    return float(np.linalg.norm(p, "nuc") / np.sqrt(len(p) * min(p.shape)))


def soft_neighbourhood_density(
    features: ArrayLike, temperature: float = 0.05, most: int = 4000, seed: int = 0
) -> float:
    """How many neighbours a scan has, softly: higher means denser clusters (Saito et al., ICCV 2021, arXiv:2108.10860).

    Entropy of the softmax over the cosine similarities to all other scans, mean over the scans.

    Args:
        features: (N, F); the authors' code gives it the class probabilities (N, K).
        temperature: 0.05, the paper's.
        most: a larger set is thinned to so many scans: the similarities are (N, N).
        seed: of the thinning.

    Returns:
        A number in [0, log(N - 1)], nats; nan for fewer than two scans.
    """
    f = np.asarray(features, float)
    if len(f) > most:
        f = f[np.random.default_rng(seed).choice(len(f), most, replace=False)]
    if len(f) < 2:
        return float("nan")
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    similarity = f @ f.T / temperature
    np.fill_diagonal(similarity, -np.inf)
    p = np.exp(similarity - similarity.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return float(_entropy(p).mean())


def prediction_correlation(probabilities: ArrayLike) -> float:
    """Corr-C, or SoftmaxCorr (Tu et al., TMLR 2024, arXiv:2406.09908): sure and spread over all classes is high.

    The cosine of the class correlation P^T P / N and the identity, as if the classes were equally frequent: of a site
    without labels it is not known how frequent they are.

    Args:
        probabilities: (N, K), rows sum to 1.

    Returns:
        A number in [1 / sqrt(K), 1].
    """
    p = np.asarray(probabilities, float)
    correlation = p.T @ p / len(p)
    return float(np.trace(correlation) / (np.linalg.norm(correlation) * np.sqrt(p.shape[1])))


def cluster_agreement(features: ArrayLike, probabilities: ArrayLike, most: int = 4000, seed: int = 0) -> float:
    """ClassAMI (Musgrave et al., arXiv:2208.07360): whether the predictions follow the clusters of the features.

    Adjusted mutual information of the predicted classes and as many clusters by k-means of features of unit length.

    Args:
        features: (N, F).
        probabilities: (N, K), rows sum to 1.
        most: a larger set is thinned to so many scans.
        seed: of k-means and of the thinning.

    Returns:
        A number up to 1, 0 by chance or where all predictions are alike; nan for fewer scans than classes.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score

    f, p = np.asarray(features, float), np.asarray(probabilities, float)
    if len(f) < p.shape[1]:
        return float("nan")
    if len(f) > most:
        rows = np.random.default_rng(seed).choice(len(f), most, replace=False)
        f, p = f[rows], p[rows]
    f = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # features that are all alike are one cluster, which is 0
        cluster = KMeans(p.shape[1], n_init=10, random_state=seed).fit_predict(f)
    return float(adjusted_mutual_info_score(p.argmax(axis=1), cluster))


def _entropy(p: np.ndarray) -> np.ndarray:
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1)
