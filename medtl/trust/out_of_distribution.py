"""Whether a scan resembles what the model knows: Mahalanobis distance in feature space, small enough for JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DIMENSIONS = 16  # 16 x 1280 float32 are 110 kB of text
_MOST = 2000  # scans that the axes are fitted on


@dataclass(frozen=True)
class Familiarity:
    """What training features look like.

    Lee et al., NeurIPS 2018, arXiv:1807.03888, without classes (a new site's scans belong to the known classes), on
    the first principal axes; what the axes leave over counts as one more coordinate, the distance from their plane,
    where unfamiliar pictures often stand out (Wang et al., ViM, CVPR 2022, arXiv:2203.10807).

    Attributes:
        mean: (F,) float32.
        axes: (P, F) float32, each divided by its standard deviation.
        plane: (P, F) float32 unit axes are `axes * scale[:, None]`; scale: (P,) float32.
        rest: mean and standard deviation of the distance from the plane.
        cut: a scan further than this is unfamiliar.
    """

    mean: np.ndarray
    axes: np.ndarray
    scale: np.ndarray
    rest: tuple[float, float]
    cut: float

    def distance(self, features: ArrayLike) -> np.ndarray:
        """(N,) from features (N, F): root mean square of the standardised coordinates, around 1 for known scans."""
        centred = np.asarray(features, float) - self.mean
        coordinate = centred @ self.axes.astype(float).T
        left = np.sum(centred**2, axis=1) - np.sum((coordinate * self.scale) ** 2, axis=1)
        beside = (np.sqrt(np.maximum(left, 0)) - self.rest[0]) / self.rest[1]
        return np.sqrt((np.sum(coordinate**2, axis=1) + beside**2) / (len(self.axes) + 1))

    def cut_at(self, features: ArrayLike, share: float = 0.99) -> Familiarity:
        """The same with the cut such that `share` of these scans (at least) are familiar."""
        distance = self.distance(features)
        return replace(self, cut=float(np.quantile(distance, share, method="higher")) if len(distance) else np.inf)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; arrays as base64 of little-endian float32."""
        return {
            "kind": "mahalanobis",
            "shape": list(self.axes.shape),
            "mean": _text(self.mean),
            "axes": _text(self.axes),
            "scale": _text(self.scale),
            "rest": list(self.rest),
            "cut": None if np.isinf(self.cut) else self.cut,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Familiarity:
        """What `to_dict` wrote.

        Raises:
            ValueError: another kind of state.
        """
        if state.get("kind") != "mahalanobis":
            raise ValueError(f"out-of-distribution state of kind {state.get('kind')!r} is not known to this medtl")
        cut = np.inf if state["cut"] is None else float(state["cut"])
        low, high = state["rest"]
        axes = _array(state["axes"]).reshape(state["shape"])
        return cls(_array(state["mean"]), axes, _array(state["scale"]), (float(low), float(high)), cut)


def fit_familiarity(train_features: ArrayLike, dimensions: int = DIMENSIONS, seed: int = 0) -> Familiarity:
    """Learn what is familiar from the scans that the model was trained on.

    Args:
        train_features: (M, F), M at least 2.
        dimensions: principal axes at most; a quarter of the scans at most.
        seed: which scans, where there are more than 2000.

    Returns:
        Cut at the 99th percentile of these scans; `cut_at` moves it to scans that the model has not seen.
    """
    features = np.asarray(train_features, float)
    if len(features) > _MOST:
        features = features[np.random.default_rng(seed).choice(len(features), _MOST, replace=False)]
    mean = features.mean(axis=0)
    _, size, axes = np.linalg.svd(features - mean, full_matrices=False)
    kept = max(1, min(dimensions, len(features) // 4, int((size > 1e-6 * max(size[0], 1e-12)).sum())))
    scale = np.maximum(size[:kept] / np.sqrt(max(len(features) - 1, 1)), 1e-12)
    coordinate = (features - mean) @ axes[:kept].T
    left = np.sqrt(np.maximum(np.sum((features - mean) ** 2, axis=1) - np.sum(coordinate**2, axis=1), 0))
    spread = max(float(left.std()), 1e-3 * float(scale[0]), 1e-12)
    found = Familiarity(
        mean.astype(np.float32),
        (axes[:kept] / scale[:, None]).astype(np.float32),
        scale.astype(np.float32),
        (float(left.mean()), spread),
        np.inf,
    )
    return found.cut_at(features)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def _array(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")
