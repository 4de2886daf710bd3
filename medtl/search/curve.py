"""A learning curve with its uncertainty: from the AUROC with few labels to what more will bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr, ndtri

#: Labels a class at which `level` is read and luck is given: the first 20 are what people start with.
AT = 20.0


@dataclass(frozen=True)
class Point:
    """The AUROC of one model.

    Attributes:
        shots: labels a class that it learnt from.
        draw: which chain of nested draws.
        auroc: on scans of patients that it had not seen.
        standard_error: of that, for the number of these patients.
        labelled: labels in all.
    """

    shots: float
    draw: int
    auroc: float
    standard_error: float
    labelled: int = 0


@dataclass(frozen=True)
class Prior:
    """How learning curves run elsewhere, on the normal scale z = ndtri(AUROC).

    The curve is a straight line in the logarithm of the number of labels, z(n) = level + slope * log(n / 20). A model's
    own z scatters about it by the luck of the labels that were drawn, of which it has the mean, so that models with
    labels in common share it; by what it has to itself; and by the luck of the patients that it is measured on, which
    models of similar n share.

    The numbers were fitted to curves of other questions than those that benchmarks/learning_curve.py reports, by its
    step `prior`. A bend towards a ceiling (a power law) was given 2 % by these curves, and is left out.

    Attributes:
        level, level_deviation: z at 20 labels a class, and how it differs between questions.
        slope, slope_deviation: of z by log n.
        luck: standard deviation of z by the draw of 20 labels a class; that of n falls with the root of n.
        own: what a model with 20 labels a class has to itself, likewise.
        scales, shares: how many times as large luck and own may be for a question, and how likely each is.
        forgets: how the luck of the patients that models are measured on parts as they have more labels: its
            correlation is exp(-forgets * |log(n / m)|).
        stretch: what the deviation of a forecast is multiplied by, so that intervals which should hold 90 % do for
            questions that the other numbers were not fitted to (each of the 22 left out in turn).
    """

    level: float = 0.91
    level_deviation: float = 0.48
    slope: float = 0.208
    slope_deviation: float = 0.060
    luck: float = 0.081
    own: float = 0.044
    scales: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    shares: tuple[float, ...] = (0.02, 0.22, 0.50, 0.24, 0.02)
    forgets: float = 0.27
    stretch: float = 1.2

    @property
    def centre(self) -> np.ndarray:
        """(2,) of level and slope."""
        return np.array([self.level, self.slope])

    @property
    def spread(self) -> np.ndarray:
        """(2, 2) covariance of level and slope."""
        return np.diag([self.level_deviation**2, self.slope_deviation**2])


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    Attributes:
        points: what it was fitted to.
        pool: labels a class that there are: all draws are from these, so that they share their luck.
        prior: how curves run elsewhere.
    """

    points: tuple[Point, ...]
    pool: float
    prior: Prior = field(default_factory=Prior)

    def expect(
        self, shots: float, confidence: float = 0.9, measured: float | None = None, same_patients: bool = True
    ) -> tuple[float, float, float]:
        """The AUROC with so many labels a class, those that there are among them: (median, low, high).

        Args:
            shots: labels a class.
            confidence: of the interval.
            measured: the standard error of the AUROC that the interval is to hold, where it will be measured on a few
                patients; None: on ever so many.
            same_patients: it is measured on those that the points were measured on.
        """
        mean, variance, share = self._foreseen([shots], measured, same_patients)
        centre, deviation = mean[:, 0], np.sqrt(variance[:, 0, 0])
        tail = (1 - confidence) / 2
        low, middle, high = (float(ndtr(_quantile(q, centre, deviation, share))) for q in (tail, 0.5, 1 - tail))
        return middle, low, high

    def gain(self, shots: float, more: float, confidence: float = 0.9) -> tuple[float, float, float]:
        """What `more` labels a class add to the AUROC from `shots` on: (median, low, high)."""
        mean, variance, share = self._foreseen([shots, shots + more], None, False)
        rng = np.random.default_rng(0)
        kind = rng.choice(len(share), 4000, p=share)
        root = np.linalg.cholesky(variance + 1e-10 * np.eye(2))
        z = mean[kind] + np.einsum("nij,nj->ni", root[kind], rng.standard_normal((len(kind), 2)))
        added = ndtr(z[:, 1]) - ndtr(z[:, 0])
        low, middle, high = np.quantile(added, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
        return float(middle), float(low), float(high)

    @property
    def log_evidence(self) -> float:
        """How likely the prior holds the points: the log density of their z."""
        return float(logsumexp(self._seen.evidence))

    def _foreseen(
        self, shots: Sequence[float], measured: float | None, same_patients: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of z at `shots` (T), for each scale (S): mean (S, T), covariance (S, T, T), and the scale's share (S,)."""
        prior, seen, ahead = self.prior, self._seen, np.asarray(shots, float)
        error = self._error_at(ahead, seen, measured, same_patients)
        there = _basis(ahead)
        both = there @ prior.spread @ _basis(seen.n).T
        if same_patients:
            both = both + _patients(ahead, seen.n, error, seen.error, prior)
        both = both + self._scaled(self._luck(ahead, seen.n, np.zeros((len(ahead), len(seen.n)), bool)))
        own = there @ prior.spread @ there.T + _patients(ahead, ahead, error, error, prior)
        own = own + self._scaled(_shared(np.maximum.outer(ahead, ahead), prior.luck) + _own(ahead, prior))
        gain = np.linalg.solve(seen.whole, both.swapaxes(1, 2)).swapaxes(1, 2)
        mean = there @ prior.centre + gain @ seen.off
        covariance = prior.stretch**2 * (own - gain @ both.swapaxes(1, 2))
        return mean, covariance, np.exp(seen.evidence - logsumexp(seen.evidence))

    @cached_property
    def _seen(self) -> _Seen:
        """The points as the prior sees them.

        Level, slope, and all that scatters is Gaussian, so all of it is linear regression once the scale is given; each
        scale weighs as its evidence says.
        """
        prior, n = self.prior, np.array([point.shots for point in self.points], float)
        z, error = _on_normal_scale(self.points)
        draw = np.array([point.draw for point in self.points])
        basis = _basis(n)
        whole = basis @ prior.spread @ basis.T + _patients(n, n, error, error, prior)
        whole = whole + self._scaled(self._luck(n, n, draw[:, None] == draw) + _own(n, prior))
        off = z - basis @ prior.centre
        misfit = np.linalg.solve(whole, np.broadcast_to(off[:, None], (len(whole), len(n), 1)))[..., 0] @ off
        evidence = np.log(prior.shares) - 0.5 * (misfit + np.linalg.slogdet(whole)[1])
        return _Seen(n, z, error, whole, off, evidence)

    def _scaled(self, covariance: np.ndarray) -> np.ndarray:
        """A covariance (N, M) at each scale: (S, N, M)."""
        return np.multiply.outer(np.square(self.prior.scales), covariance)

    def _error_at(self, ahead: np.ndarray, seen: _Seen, measured: float | None, same_patients: bool) -> np.ndarray:
        """Standard error (T,) of z by the patients that an AUROC ahead is measured on."""
        if measured is not None:
            last = seen.n.max() if len(seen.n) else AT
            middle = seen.z[seen.n == last].mean() if len(seen.n) else self.prior.level
            return measured / _density(ndtr(middle + self.prior.slope * np.log(ahead / last)))
        if not same_patients or not len(seen.n):
            return np.zeros(len(ahead))
        levels = np.unique(seen.n)
        return np.interp(np.log(ahead), np.log(levels), [seen.error[seen.n == level].mean() for level in levels])

    def _luck(self, n: np.ndarray, m: np.ndarray, same_draw: np.ndarray) -> np.ndarray:
        """Covariance of the luck of two draws: the mean of n labels and that of m more, or of others of the pool."""
        larger = np.maximum.outer(n, m)
        return _shared(np.where(same_draw, larger, np.maximum(larger, self.pool)), self.prior.luck)


class _Seen(NamedTuple):
    """N points as each of S scales has them."""

    n: np.ndarray  # (N,) labels a class
    z: np.ndarray  # (N,)
    error: np.ndarray  # (N,) of z, by the patients that it was measured on
    whole: np.ndarray  # (S, N, N) covariance of z
    off: np.ndarray  # (N,) z less what is expected
    evidence: np.ndarray  # (S,) log density of the points


def _basis(n: np.ndarray) -> np.ndarray:
    """(N, 2): what level and slope are multiplied by."""
    return np.stack([np.ones_like(n), np.log(n / AT)], axis=1)


def _shared(n: np.ndarray, at_twenty: float) -> np.ndarray:
    """Variance of a mean over n labels a class, whose deviation at 20 is given."""
    return at_twenty**2 * AT / n


def _own(n: np.ndarray, prior: Prior) -> np.ndarray:
    """Covariance (N, N) of what each model has to itself."""
    return np.diag(_shared(n, prior.own))


def _patients(n: np.ndarray, m: np.ndarray, error: np.ndarray, other: np.ndarray, prior: Prior) -> np.ndarray:
    """Covariance of z by the luck of the patients that it is measured on."""
    apart = np.abs(np.subtract.outer(np.log(n), np.log(m)))
    return np.outer(error, other) * np.exp(-prior.forgets * apart)


def _on_normal_scale(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and standard error as z and its standard error; an AUROC of 1 counts as a little less."""
    area = np.array([point.auroc for point in points])
    error = np.array([point.standard_error for point in points])
    inside = np.clip(area, 0.02, 0.995)
    return ndtri(inside), np.maximum(error, 0.005) / _density(inside)


def _density(area: Any) -> Any:
    """How fast the AUROC grows with z."""
    return np.exp(-0.5 * ndtri(area) ** 2) / np.sqrt(2 * np.pi)


def _quantile(q: float, mean: np.ndarray, deviation: np.ndarray, share: np.ndarray) -> float:
    """Of a mixture of normal distributions."""
    low, high = (mean - 8 * deviation).min(), (mean + 8 * deviation).max()
    return float(brentq(lambda x: share @ ndtr((x - mean) / deviation) - q, low, high))
