"""A linear probe for a few labels that remembers what the source model said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, softmax

from medtl.finetuning.heads import REPEATS, Head, folds_of, log_likelihood

#: Precision of the prior on the weights, for features of unit length: weak to strong.
PRECISIONS = (0.06, 0.2, 0.6)
#: The same where several views are there to choose among.
PRECISION = 0.2
#: Precision of the prior that the source model's standardised logit counts once.
TRUST_IN_SOURCE = 4.0


def fit_probe(
    logits: ArrayLike,
    features: ArrayLike,
    label: ArrayLike,
    patient: Sequence[str] | np.ndarray,
    all_logits: ArrayLike,
    all_features: ArrayLike,
    multilabel: bool = False,
    views: Sequence[Sequence[slice]] = (),
) -> Head:
    """Fit on a few labelled scans of the new site.

    Three kinds of logistic regression with Gaussian priors: one that only rescales what the source model says, one that
    adds a linear reading of its features to that, and one that reads the features alone (the source model may be wrong
    here). With so few labels none can be chosen surely, so they are averaged, each by its likelihood of labels held
    out in cross-validation (Bayesian model averaging with cross-validated likelihoods; Gelfand, Dey, Chang, 1992;
    Yao et al., Bayesian Analysis 2018). All are linear in logits and features, so their average is one linear layer.

    Args:
        logits: (N, K) of the labelled scans.
        features: (N, F).
        label: (N,) class numbers; or (N, K) 0, 1 or nan where `multilabel`.
        patient: (N,) a patient is never on both sides of a fold.
        all_logits: (M, K) of all scans of the site, labelled or not: what they are standardised by.
        all_features: (M, F).
        multilabel: several labels may hold together.
        views: choices of columns to read, each in blocks that weigh alike; all columns as one block without it.

    Returns:
        A head whose `shares` are how much the evidence gives to "source", "source and features", "features".
    """
    logits, features = np.asarray(logits, float), np.asarray(features, float)
    everyone, all_logits = np.asarray(all_features, float), np.asarray(all_logits, float)
    label = np.asarray(label)
    truth = label.astype(float) if multilabel else np.eye(logits.shape[1])[label]
    middle = all_logits.mean(0)
    margin = all_logits - middle if multilabel else all_logits - middle - (all_logits - middle).mean(1, keepdims=True)
    unit = 2 * np.sqrt(np.mean(margin**2)) + 1e-6
    said = (logits - middle) / unit
    centre, usual = everyone.mean(0), everyone.std(0)
    seen = [_View.of(features, centre, usual, view) for view in views or [[slice(None)]]]

    kinds = {("source", 0, 1e6): (1.0, TRUST_IN_SOURCE)}
    for number in range(len(seen)):
        for precision in [PRECISION] if views else PRECISIONS:
            kinds["source and features", number, precision] = (1.0, TRUST_IN_SOURCE)
            kinds["features", number, precision] = (0.0, 1e6)
    held_out = {kind: np.zeros_like(said) for kind in kinds}
    folds = list(folds_of(truth, np.asarray(patient)))
    for train, test in folds:
        for kind, source in kinds.items():
            z = seen[kind[1]].z
            alpha, weight, bias = _fit(said[train], z[train], truth[train], (*source, kind[2]), multilabel)
            held_out[kind][test] += (alpha * said[test] + z[test] @ weight.T + bias) / REPEATS
    names = [name for name, _, _ in kinds]
    evidence = (
        np.array([log_likelihood(held_out[kind], truth, multilabel) for kind in kinds])
        if folds
        else np.zeros(len(kinds))
    )
    evidence -= np.log([names.count(name) for name in names])  # each kind is as likely beforehand
    shares = softmax(evidence)
    alpha, weight, bias = 0.0, np.zeros((logits.shape[1], features.shape[1])), np.zeros(logits.shape[1])
    for share, (kind, source) in zip(shares, kinds.items(), strict=True):
        view = seen[kind[1]]
        one = _fit(said, view.z, truth, (*source, kind[2]), multilabel)
        alpha += share * one[0]
        weight[:, view.columns] += share * one[1] @ view.axes / view.spread
        bias += share * one[2]
    return Head(
        source_weight=float(alpha) / unit,
        weight=weight,
        bias=bias - alpha / unit * middle - weight @ centre,
        held_out=sum(share * held_out[kind] for share, kind in zip(shares, kinds, strict=True)) if folds else None,
        shares={name: round(float(shares[np.array(names) == name].sum()), 3) for name in dict.fromkeys(names)},
    )


def foretold(
    features: ArrayLike,
    label: ArrayLike,
    patient: Sequence[str] | np.ndarray,
    all_features: ArrayLike,
    view: Sequence[slice],
    multilabel: bool = False,
) -> float | None:
    """The log likelihood, in nats, of labels that a probe of some columns foretells without having seen their patients.

    Args:
        features: (N, F).
        label: (N,) class numbers; or (N, K) 0, 1 or nan where `multilabel`.
        patient: (N,) a patient is never on both sides of a fold.
        all_features: (M, F) of all scans of the site: what they are standardised by.
        view: the columns to read, in blocks that weigh alike.
        multilabel: several labels may hold together.

    Returns:
        None where a class has one patient only.
    """
    everyone, label = np.asarray(all_features, float), np.asarray(label)
    z = _View.of(np.asarray(features, float), everyone.mean(0), everyone.std(0), view).z
    truth = label.astype(float) if multilabel else np.eye(int(label.max()) + 1)[label]
    held_out, nothing = np.zeros(truth.shape), np.zeros(truth.shape)
    folds = list(folds_of(truth, np.asarray(patient)))
    for train, test in folds:
        _, weight, bias = _fit(nothing[train], z[train], truth[train], (0.0, 1e6, PRECISION), multilabel)
        held_out[test] += (z[test] @ weight.T + bias) / REPEATS
    return log_likelihood(held_out, truth, multilabel) if folds else None


@dataclass(frozen=True)
class _View:
    """Some columns of the features of the labelled scans, on axes that span them.

    Attributes:
        columns: (C,) which.
        spread: (C,) what makes each block, and then all of them, of unit length over the scans of the site.
        axes: (D, C).
        z: (N, D).
    """

    columns: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    z: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, centre: np.ndarray, usual: np.ndarray, view: Sequence[slice]) -> _View:
        every = np.arange(features.shape[1])
        columns = np.concatenate([every[block] for block in view])
        width = np.concatenate([np.full(len(every[block]), len(every[block])) for block in view])
        spread = np.where(usual[columns] > 1e-6, usual[columns], 1.0) * np.sqrt(width * len(view))
        z = (features[:, columns] - centre[columns]) / spread
        _, _, axes = np.linalg.svd(z, full_matrices=False)  # a penalised weight lies in the span of the labelled scans
        return cls(columns, spread, axes, z @ axes.T)


def _fit(
    said: np.ndarray, z: np.ndarray, truth: np.ndarray, prior: tuple[float, float, float], multilabel: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """The most likely source weight, weights (K, D) and bias (K,) under Gaussian priors."""
    (k, d), (mean, trust, precision) = (truth.shape[1], z.shape[1]), prior
    centre = np.concatenate([[mean], np.zeros(k), np.zeros(k * d)])
    scale = np.concatenate([[trust], np.full(k, 0.2), np.full(k * d, precision)]) ** -0.5

    def unpack(off: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        parameters = centre + scale * off  # in units of the prior's standard deviations, so that all steps are alike
        return parameters[0], parameters[k + 1 :].reshape(k, d), parameters[1 : k + 1]

    def loss(off: np.ndarray) -> tuple[float, np.ndarray]:
        alpha, weight, bias = unpack(off)
        logits = alpha * said + z @ weight.T + bias
        error = np.nan_to_num((expit(logits) if multilabel else softmax(logits, axis=1)) - truth)
        gradient = np.concatenate([[(error * said).sum()], error.sum(0), (error.T @ z).ravel()])
        return 0.5 * (off**2).sum() - log_likelihood(logits, truth, multilabel), off + scale * gradient

    alpha, weight, bias = unpack(minimize(loss, np.zeros_like(centre), jac=True, method="L-BFGS-B").x)
    return float(alpha), weight, bias
