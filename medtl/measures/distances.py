"""How far apart two sites' features are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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

    a, b = (np.atleast_2d(np.asarray(f, float)) for f in (features_a, features_b))
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
