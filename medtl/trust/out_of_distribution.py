"""Whether a scan resembles what the model knows: where its features point, and how long they are; small in JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DIMENSIONS = 64  # 64 x 1280 float16 are 220 kB of text; fewer tell less where two hospitals are known
_MOST = 2000  # scans that the axes are fitted on
#: Of known scans, how many are familiar. Against 0.99 it costs 1 or 2 in 100, and flags 0.62 for 0.28 of other kinds of
#: pictures in the worst of the source-only networks (docs/uncertainty.md).
SHARE = 0.975


@dataclass(frozen=True)
class Familiarity:
    """What training features look like.

    Features are brought to length one first: after training, the length says how sure a network is rather than what
    it sees, and hides what is strange (Mueller and Hein, ICML 2025, arXiv:2505.18032). Of where they point, the
    Mahalanobis distance on the first principal axes (Lee et al., NeurIPS 2018, arXiv:1807.03888; without classes, since
    a new site's scans belong to the known ones) and the distance from the plane of those axes, where unfamiliar
    pictures stand out (Wang et al., ViM, CVPR 2022, arXiv:2203.10807); and the logarithm of the length, which is
    unusual in pictures of other kinds, too. Each is standardised; together they are the root of the sum of squares.
    What that tells apart, and what else was tried: docs/uncertainty.md.

    Attributes:
        mean: (F,) float32.
        axes: (P, F) float32, each divided by its standard deviation.
        scale: (P,) float32, those standard deviations.
        within: mean and standard deviation of the Mahalanobis distance in the plane.
        beside: mean and standard deviation of the distance from the plane.
        cut: a scan further than this is unfamiliar.
        length: mean and standard deviation of the logarithm of the features' length; None in states that an older
            medtl wrote: features are then taken as they are, and the larger of the two distances counts.
    """

    mean: np.ndarray
    axes: np.ndarray
    scale: np.ndarray
    within: tuple[float, float]
    beside: tuple[float, float]
    cut: float
    length: tuple[float, float] | None = None

    def distance(self, features: ArrayLike) -> np.ndarray:
        """(N,) from features (N, F): standard deviations away from what is usual, about 0 to 4 for known scans."""
        given = np.asarray(features, float)
        pointing, length = (given, None) if self.length is None else _pointing(given)
        within, beside = _distances(pointing - self.mean, self.axes, self.scale)
        further = (within - self.within[0]) / self.within[1]
        aside = np.abs(beside - self.beside[0]) / self.beside[1]  # a blank picture lies too close to the plane
        if length is None or self.length is None:
            return np.maximum(further, aside)
        longer = (length - self.length[0]) / self.length[1]
        return np.sqrt(np.maximum(further, 0) ** 2 + aside**2 + longer**2)

    def cut_at(self, features: ArrayLike, share: float = SHARE) -> Familiarity:
        """The same with the cut such that `share` of these scans (at least) are familiar; it was fitted on others."""
        distance = np.sort(self.distance(features))
        if not len(distance):
            return replace(self, cut=np.inf)
        last = int(np.ceil(share * (len(distance) - 1) - 1e-9))
        further = distance[last + 1] if last + 1 < len(distance) else 1.01 * distance[last]
        return replace(self, cut=float((distance[last] + further) / 2))  # on no scan: an export rounds otherwise

    def to_dict(self) -> dict[str, Any]:
        """For JSON; arrays as base64 of little-endian float32, axes of length one as float16."""
        older = self.length is None
        axes = {"axes": _text(self.axes)} if older else {"axes16": _text(self.axes * self.scale[:, None], "<f2")}
        return {
            "kind": "mahalanobis",
            "shape": list(self.axes.shape),
            "mean": _text(self.mean),
            **axes,
            "scale": _text(self.scale),
            "within": list(self.within),
            "beside": list(self.beside),
            "cut": None if np.isinf(self.cut) else self.cut,
            "length": None if self.length is None else list(self.length),
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
        usual = [state["within"], state["beside"], state.get("length")]
        within, beside, length = ((float(pair[0]), float(pair[1])) if pair else None for pair in usual)
        if within is None or beside is None:
            raise ValueError("out-of-distribution state without `within` or `beside`")
        scale = _array(state["scale"])
        if "axes16" in state:
            axes = _over(_array(state["axes16"], "<f2").reshape(state["shape"]), scale)
        else:
            axes = _array(state["axes"]).reshape(state["shape"])
        return cls(_array(state["mean"]), axes, scale, within, beside, cut, length)


def looked_at(n: int, seed: int = 0) -> np.ndarray:
    """Which of `n` training scans `fit_familiarity` looks at: (M,) rows, all of them or 2000 drawn from the seed.

    Those of the others need not be computed.
    """
    return np.arange(n) if n <= _MOST else np.sort(np.random.default_rng(seed).choice(n, _MOST, replace=False))


def half_the_patients(patient: ArrayLike, seed: int = 0) -> np.ndarray:
    """(N,) bool: whose scans what is familiar is learnt from. Those of the other half set the cut.

    Scans that axes were fitted on lie closer to them than later ones of the same kind: cut on those, 90 % of 200 new
    scans of one hospital were unfamiliar, and cut on the others 1 % (docs/uncertainty.md).
    """
    names = np.asarray(patient)
    return np.isin(names, np.random.default_rng(seed).permutation(np.unique(names))[::2])


def fit_familiarity(train_features: ArrayLike, dimensions: int = DIMENSIONS, seed: int = 0) -> Familiarity:
    """Learn what is familiar from the scans that the model was trained on.

    Args:
        train_features: (M, F), M at least 2.
        dimensions: principal axes at most; an eighth of the scans at most (with a quarter of 120 scans, less is told
            apart).
        seed: which scans, where there are more than 2000.

    Returns:
        Cut on these scans, which lie closer to the axes than later ones do: `cut_at` moves the cut to scans of other
        patients (`half_the_patients`). Cutting across folds of these instead flags next to nothing: what a network was
        trained on is alike in another way than what it was not.
    """
    features = np.asarray(train_features, float)
    features = features[looked_at(len(features), seed)]
    return _fitted(features, dimensions).cut_at(features)


def _fitted(features: np.ndarray, dimensions: int) -> Familiarity:
    """What these features (M, F) look like; not cut."""
    pointing, length = _pointing(features)
    mean = pointing.mean(axis=0)
    _, size, axes = np.linalg.svd(pointing - mean, full_matrices=False)
    kept = max(1, min(dimensions, len(features) // 8, int((size > 1e-6 * max(size[0], 1e-12)).sum())))
    scale = np.maximum(size[:kept] / np.sqrt(max(len(features) - 1, 1)), 1e-12)
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    axes = _over(axes[:kept].astype(np.float16), scale)
    within, beside = _distances(pointing - mean, axes, scale)
    least = 1e-3 * float(scale[0])
    return Familiarity(
        mean, axes, scale, _usual(within, 1e-3), _usual(beside, max(least, 1e-12)), np.inf, _usual(length, 1e-2)
    )


def _pointing(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) of length one, and the logarithm of the length that they had (N,)."""
    length = np.maximum(np.linalg.norm(features, axis=1), 1e-12)
    return features / length[:, None], np.log(length)


def _distances(centred: np.ndarray, axes: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In the plane of the axes, in standard deviations, and from it, in features: each (N,)."""
    coordinate = centred @ axes.astype(float).T
    left = np.sum(centred**2, axis=1) - np.sum((coordinate * scale) ** 2, axis=1)
    return np.sqrt(np.sum(coordinate**2, axis=1)), np.sqrt(np.maximum(left, 0))


def _usual(distance: np.ndarray, least: float) -> tuple[float, float]:
    return float(distance.mean()), max(float(distance.std()), least)


def _over(axes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Axes of length one, each divided by its standard deviation: the same before JSON and after."""
    return axes.astype(np.float32) / scale[:, None]


def _text(array: np.ndarray, kind: str = "<f4") -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode("ascii")


def _array(text: str, kind: str = "<f4") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)
