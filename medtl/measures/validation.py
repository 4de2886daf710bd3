"""Which of several models to trust at a site without labels: a score for each, higher is better.

Some judge on held-out source scans, weighted as if they were the target's; some look at the predictions on the target
alone. None sees a target label, none can promise anything: docs/choosing.md says what each rewards and which of them
chose well (benchmarks/selection.py). They need NumPy, SciPy and scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.agreement import rank_agreement
from medtl.measures.intervals import auroc
from medtl.measures.label_free import (
    class_confusion,
    cluster_agreement,
    information,
    mean_entropy,
    nuclear_norm,
    prediction_correlation,
    soft_neighbourhood_density,
)

AXES = 16  # principal axes on which the sites are told apart, as in medtl.trust.density_ratio
LARGEST = 100.0  # no source scan counts as more than so many, nor as less than one of them, as there
FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    """A model, as far as choosing may see it.

    Attributes:
        source_logits: (N, K) on held-out source scans.
        source_features: (N, F) of them, as this model sees them.
        source_label: (N,) class; or (N, K) 0, 1 or nan where scans have several labels.
        source_patient: (N,) names.
        target_logits: (M, K) on target scans, whose labels are not here.
        target_features: (M, F).
    """

    source_logits: np.ndarray
    source_features: np.ndarray
    source_label: np.ndarray
    source_patient: np.ndarray
    target_logits: np.ndarray
    target_features: np.ndarray

    @cached_property
    def source_probabilities(self) -> np.ndarray:
        """(N, K), rows sum to 1."""
        return _softmax(self.source_logits)

    @cached_property
    def target_probabilities(self) -> np.ndarray:
        """(M, K), rows sum to 1."""
        return _softmax(self.target_logits)

    @cached_property
    def source_loss(self) -> np.ndarray:
        """(N,) cross-entropy in nats."""
        likely = self.source_probabilities[np.arange(len(self.source_label)), self.source_label.astype(int)]
        return -np.log(np.maximum(likely, 1e-12))

    @cached_property
    def source_weight(self) -> np.ndarray:
        """(N,) how much more frequent such a scan is at the target: see `importance`."""
        return importance(self.source_features, self.target_features, self.source_patient)

    def labels(self) -> Iterator[Candidate]:
        """Itself; where scans have several labels, one candidate of two classes for each of them."""
        if np.ndim(self.source_label) == 1:
            yield self
            return
        for source, target, label in zip(self.source_logits.T, self.target_logits.T, self.source_label.T, strict=True):
            known = ~np.isnan(label)
            yield Candidate(
                np.stack([np.zeros(known.sum()), source[known]], axis=1),
                self.source_features[known],
                label[known].astype(int),
                self.source_patient[known],
                np.stack([np.zeros(len(target)), target], axis=1),
                self.target_features,
            )


def source_auroc(candidate: Candidate) -> float:
    """Source validation: AUROC on held-out source scans."""
    return mean_auroc(candidate.source_logits, candidate.source_label)


def mean_auroc(logits: np.ndarray, label: np.ndarray) -> float:
    """AUROC; the mean over classes where there are more than two, and over labels where a scan can have several.

    Args:
        logits: (N, K).
        label: (N,) class; or (N, K) 0, 1 or nan.
    """
    if label.ndim == 2:
        known = ~np.isnan(label)
        return _mean([auroc(label[rows, c], logits[rows, c]) for c, rows in enumerate(known.T)])
    if logits.shape[1] == 2:
        return auroc(label, ranked_by(logits))
    return _mean([auroc(label == c, each) for c, each in enumerate(_softmax(logits).T)])


def importance_weighted_risk(loss: ArrayLike, weight: ArrayLike) -> float:
    """Importance-weighted validation (Sugiyama et al., JMLR 2007): the mean source loss, weighted by density ratio.

    The weights are divided by their sum, so that candidates, each with features of its own, can be compared.

    Args:
        loss: (N,) of held-out source scans.
        weight: (N,) density of such a scan at the target over that at the source.
    """
    loss, weight = np.asarray(loss, float), np.asarray(weight, float)
    return float(loss @ weight / weight.sum())


def deep_embedded_risk(loss: ArrayLike, weight: ArrayLike) -> float:
    """Deep embedded validation (You et al., ICML 2019, equation 9): the weighted risk with less variance.

    Weights average 1 where the ratio is right; eta = -Cov(weight loss, weight) / Var(weight) takes out what comes of
    weights that by chance do not: mean(weight loss) + eta mean(weight) - eta.

    Args:
        loss: (N,) of held-out source scans, N at least 2.
        weight: (N,) density of such a scan's features at the target over that at the source, not divided by their sum.
    """
    loss, weight = np.asarray(loss, float), np.asarray(weight, float)
    weighted = weight * loss
    covariance = np.cov(weighted, weight, ddof=1)
    eta = -covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return float(weighted.mean() + eta * weight.mean() - eta)


def importance(source_features: ArrayLike, target_features: ArrayLike, source_patient: ArrayLike) -> np.ndarray:
    """(N,) density of each source scan's features at the target over that at the source, by telling the sites apart.

    A logistic regression (Bickel et al., JMLR 2009) on the first 16 principal axes of both sites; how strongly it is
    held back is chosen by cross-validation. A scan's weight comes from one that has seen no scan of its patient: those
    that it has learnt from look more like the source than new ones do (You et al. split the source for that).

    Args:
        source_features: (N, F).
        target_features: (M, F).
        source_patient: (N,) names.
    """
    from sklearn.linear_model import LogisticRegression  # here: it takes a second to import
    from sklearn.metrics import log_loss
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    source, target = np.asarray(source_features, float), np.asarray(target_features, float)
    patient = np.unique(np.asarray(source_patient), return_inverse=True)[1]
    folds = min(FOLDS, len(np.unique(patient)), len(target))
    if folds < 2:
        return np.ones(len(source))
    coordinates = _principal(np.concatenate([source, target]))
    is_target = np.repeat([0, 1], [len(source), len(target)])
    random = np.random.default_rng(0)
    fold_of_patient = random.permutation(patient.max() + 1) % folds
    split = PredefinedSplit(np.concatenate([fold_of_patient[patient], random.permutation(len(target)) % folds]))
    told = [
        cross_val_predict(
            LogisticRegression(C=strength, max_iter=1000), coordinates, is_target, cv=split, method="decision_function"
        )
        for strength in np.logspace(-4, 1, 6)
    ]
    best = min(told, key=lambda odds: log_loss(is_target, 1 / (1 + np.exp(-odds))))[: len(source)]
    log_ratio = best - np.log(len(target) / len(source))
    return np.exp(np.clip(log_ratio, -np.log(LARGEST), np.log(LARGEST)))


#: name -> score of a candidate, higher is better. `--select` takes these names.
SCORES: dict[str, Callable[[Candidate], float]] = {
    "source": source_auroc,
    "iwv": lambda each: -importance_weighted_risk(each.source_loss, each.source_weight),
    "dev": lambda each: -deep_embedded_risk(each.source_loss, each.source_weight),
    "entropy": lambda each: -mean_entropy(each.target_probabilities),
    "information": lambda each: information(each.target_probabilities),
    "snd": lambda each: soft_neighbourhood_density(each.target_probabilities),
    "mcc": lambda each: -class_confusion(each.target_probabilities),
    "corr-c": lambda each: prediction_correlation(each.target_probabilities),
    "nuclear-norm": lambda each: nuclear_norm(each.target_probabilities),
    "clusters": lambda each: cluster_agreement(each.target_features, each.target_probabilities),
}


def scores_of(candidate: Candidate) -> dict[str, float]:
    """Each score of a candidate, higher is better; where scans have several labels, the mean over them.

    nan where a score says nothing, such as source validation with one class.
    """
    each_label = [{name: float(score(each)) for name, score in SCORES.items()} for each in candidate.labels()]
    return {name: _mean([scores[name] for scores in each_label]) for name in SCORES}


def signals_of(candidate: Candidate, source_only: Candidate) -> dict[str, float]:
    """All that a choice may look at: the scores, and two numbers beside the source-only model's.

    Args:
        candidate: the model.
        source_only: the model that it began as, on the same scans.

    Returns:
        `scores_of`, and "forgot", what it lost of the source-only model's AUROC on held-out source scans, and
        "agreement", how alike the two rank the target's scans (Spearman's correlation, the mean over the classes).
    """
    scores = scores_of(candidate)
    before = source_auroc(source_only)
    agreement = rank_agreement(
        *(ranked_by(each.target_logits, several=np.ndim(each.source_label) > 1) for each in (candidate, source_only))
    )
    return {**scores, "forgot": before - scores["source"], "agreement": agreement}


def ranked_by(logits: ArrayLike, several: bool = False) -> np.ndarray:
    """What scans are ranked by: of two classes the log odds (N,); of more, or of several labels, a column each (N, K).

    Class by class: a rare class scores low on every scan, which two models must not be credited with agreeing on.
    """
    logits = np.asarray(logits)
    if several:
        return logits
    if logits.shape[1] == 2:
        return logits[:, 1] - logits[:, 0]
    return logits - logits.mean(axis=1, keepdims=True)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _principal(features: np.ndarray) -> np.ndarray:
    """(N, 16 or fewer) coordinates of unit spread on the first principal axes of standardised features."""
    from scipy.linalg import eigh

    z = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    kept = max(1, min(AXES, len(z) // 10, z.shape[1]))
    size, axes = eigh(z.T @ z / len(z), subset_by_index=(z.shape[1] - kept, z.shape[1] - 1))
    return z @ axes / np.sqrt(np.maximum(size, 1e-6 * max(size[-1], 1e-12)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, float)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)
