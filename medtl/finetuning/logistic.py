"""Logistic regression on the features alone."""

from __future__ import annotations

import numpy as np

from medtl.finetuning.base import Strategy
from medtl.finetuning.heads import Few, Head, choose

#: C of scikit-learn, for features of unit length: the middle one first, which is taken where nothing can be held out.
STRENGTHS = (1.0, 0.01, 0.1, 10.0, 100.0)


class Logistic(Strategy):
    """Logistic regression with an L2 penalty on the features (Kornblith et al., CVPR 2019, arXiv:1805.08974).

    On features standardised by all scans of the site and divided by the square root of their number, each class
    counting alike; cross-validation by patient chooses the penalty. What the source model said is not asked.
    """

    reads, trains = True, False

    @classmethod
    def head(cls, few: Few) -> Head:
        """One linear layer; of several labels a scan, one regression each."""
        return choose(few, _fit, [(strength,) for strength in STRENGTHS])


def _fit(few: Few, strength: float) -> Head:
    from sklearn.linear_model import LogisticRegression

    k, f = few.logits.shape[1], few.features.shape[1]
    z = few.standardised(few.features) / np.sqrt(f)
    _, _, axes = np.linalg.svd(z, full_matrices=False)  # a penalised weight lies in the span of the labelled scans
    weight, bias = np.zeros((k, f)), np.zeros(k)

    def regression(rows: np.ndarray, label: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(z[rows] @ axes.T, label)

    if few.multilabel:
        for c, truth in enumerate(few.truth.T):
            known = ~np.isnan(truth)
            if len(np.unique(truth[known])) == 2:
                found = regression(known, truth[known])
                weight[c], bias[c] = found.coef_[0] @ axes, found.intercept_[0]
    elif len(np.unique(few.label)) > 1:  # a fold may hold out all of a class whose patients have scans of others
        found = regression(np.ones(len(z), bool), few.label)
        seen = found.classes_
        two = len(seen) == 2  # scikit-learn gives one row, the log odds
        weight[seen] = (np.array([[-0.5], [0.5]]) * found.coef_ if two else found.coef_) @ axes
        bias[seen] = np.array([-0.5, 0.5]) * found.intercept_ if two else found.intercept_
    weight /= few.spread * np.sqrt(f)
    return Head(source_weight=0.0, weight=weight, bias=bias - weight @ few.centre)
