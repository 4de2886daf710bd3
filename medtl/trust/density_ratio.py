"""How much more frequent features are at one site than at another: the weights of importance weighting."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DIMENSIONS = 16  # principal axes that the two sites are told apart on, as many as `Familiarity` looks at
LARGEST = 100.0  # no scan counts as more than so many, nor as less than one of them
_STRENGTHS = np.logspace(-4, 1, 6)


@dataclass(frozen=True)
class Ratio:
    """The density of features at the target over that at the source, by telling the two apart (Bickel et al. 2009).

    Attributes:
        coefficients: (F,) float32.
        intercept: the logarithm of the ratio is features @ coefficients + intercept.
    """

    coefficients: np.ndarray
    intercept: float

    def __call__(self, features: ArrayLike) -> np.ndarray:
        """(N,) weights from features (N, F): about 1 on average over the source's scans."""
        log_ratio = np.asarray(features, float) @ self.coefficients.astype(float) + self.intercept
        return np.exp(np.clip(log_ratio, -np.log(LARGEST), np.log(LARGEST)))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the coefficients as base64 of little-endian float32."""
        text = base64.b64encode(np.ascontiguousarray(self.coefficients, "<f4").tobytes()).decode("ascii")
        return {"coefficients": text, "intercept": self.intercept}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Ratio:
        """What `to_dict` gave."""
        return cls(np.frombuffer(base64.b64decode(state["coefficients"]), "<f4"), float(state["intercept"]))


def fit_ratio(source_features: ArrayLike, target_features: ArrayLike, dimensions: int = DIMENSIONS) -> Ratio:
    """Learn the ratio from scans of both sites, no label needed.

    A logistic regression tells the sites apart on the first principal axes of both together; how strongly it is held
    back is chosen by five-fold cross-validation of its log-loss, so that sites that cannot be told apart get weights
    of 1.

    Args:
        source_features: (N, F), N at least 2.
        target_features: (M, F), M at least 2.
        dimensions: principal axes at most; a tenth of the scans at most.
    """
    from sklearn.linear_model import LogisticRegression  # here: the hospital's runtime applies and never fits
    from sklearn.model_selection import cross_val_score

    source, target = np.asarray(source_features, float), np.asarray(target_features, float)
    both, is_target = np.r_[source, target], np.r_[np.zeros(len(source)), np.ones(len(target))]
    mean, spread = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
    _, size, axes = np.linalg.svd((both - mean) / spread, full_matrices=False)
    kept = max(1, min(dimensions, len(both) // 10, int((size > 1e-6 * max(size[0], 1e-12)).sum())))
    axes = axes[:kept] / np.maximum(size[:kept, None] / np.sqrt(len(both)), 1e-12)
    folds = max(2, min(5, len(source), len(target)))
    coordinates = ((both - mean) / spread) @ axes.T
    tried = [LogisticRegression(C=strength, max_iter=1000) for strength in _STRENGTHS]
    scores = [cross_val_score(one, coordinates, is_target, cv=folds, scoring="neg_log_loss").mean() for one in tried]
    told = tried[int(np.argmax(scores))].fit(coordinates, is_target)
    coefficients = (axes.T @ told.coef_[0] / spread).astype(np.float32)
    prior = np.log(len(target) / len(source))
    return Ratio(coefficients, float(told.intercept_[0] - mean @ coefficients.astype(float) - prior))
