"""A learning curve with its uncertainty: from the AUROC with few labels to what more will bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr, ndtri

#: Labels a class at which `level` and `slope` are read: the first 20 are what people start with.
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

    The curve is z(n) = level + slope * ((n / 20)**power - 1) / power: a straight line in log n where power is 0, a
    power law with an asymptote where it is below. A model's own AUROC scatters about it by the luck of its draw, and by
    the luck of the patients that it is measured on, which models of similar n share.

    The numbers were fitted to curves of other questions than those that benchmarks/learning_curve.py reports.

    Attributes:
        level, level_deviation: z at 20 labels a class, and how it differs between questions.
        slope, slope_deviation: of z by log n, at 20.
        powers, shares: what the power may be, and how likely each is.
        luck: standard deviation of z by the draw of 20 labels a class; that of n falls as n**-decay.
        decay: see there.
        bend: standard deviation of what no smooth curve explains.
        scales, scale_shares: how many times as large luck and bend may be for a question, and how likely each is.
        forgets: how the luck of the patients that models are measured on parts as they have more labels: its
            correlation is exp(-forgets * |log(n / m)|).
    """

    level: float = 0.91
    level_deviation: float = 0.50
    slope: float = 0.216
    slope_deviation: float = 0.074
    powers: tuple[float, ...] = (-0.6, -0.4, -0.2, 0.0)
    shares: tuple[float, ...] = (0.001, 0.016, 0.145, 0.838)
    luck: float = 0.21
    decay: float = 0.26
    bend: float = 0.063
    scales: tuple[float, ...] = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
    scale_shares: tuple[float, ...] = (0.05, 0.2, 0.25, 0.25, 0.2, 0.05)
    forgets: float = 0.20

    @property
    def centre(self) -> np.ndarray:
        """(2,) of level and slope."""
        return np.array([self.level, self.slope])

    @property
    def spread(self) -> np.ndarray:
        """(2, 2) covariance of level and slope."""
        return np.diag([self.level_deviation**2, self.slope_deviation**2])

    @property
    def kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Power, scale and log share (P,) of every pair of them."""
        power, scale = np.meshgrid(self.powers, self.scales, indexing="ij")
        share = np.add.outer(np.log(self.shares), np.log(self.scale_shares))
        return power.ravel(), scale.ravel(), share.ravel()


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
        """Of z at `shots` (T), for each kind (P): mean (P, T), covariance (P, T, T), and the kind's share (P,)."""
        prior, seen, ahead = self.prior, self._seen, np.asarray(shots, float)
        power, scale, _ = prior.kinds
        error = self._error_at(ahead, seen, measured, same_patients)
        there = _basis(ahead, power)
        both = there @ prior.spread @ seen.basis.swapaxes(1, 2)
        both += _each(scale) * self._luck(ahead, seen.n, np.zeros((len(ahead), len(seen.n)), bool))
        if same_patients:
            both += _patients(ahead, seen.n, error, seen.error, prior)
        own = there @ prior.spread @ there.swapaxes(1, 2) + _patients(ahead, ahead, error, error, prior)
        own += _each(scale) * (_variance(np.maximum.outer(ahead, ahead), prior) + prior.bend**2 * np.eye(len(ahead)))
        gain = np.linalg.solve(seen.whole, both.swapaxes(1, 2)).swapaxes(1, 2)
        mean = there @ prior.centre + np.einsum("ptn,pn->pt", gain, seen.off)
        return mean, own - gain @ both.swapaxes(1, 2), np.exp(seen.evidence - logsumexp(seen.evidence))

    @cached_property
    def _seen(self) -> _Seen:
        """The points as the prior sees them.

        Level, slope, and both kinds of luck are Gaussian, so all of it is linear regression once the power and the
        scale are given; each pair of them weighs as its evidence says.
        """
        prior, n = self.prior, np.array([point.shots for point in self.points], float)
        power, scale, share = prior.kinds
        z, error = _scaled(self.points)
        draw = np.array([point.draw for point in self.points])
        basis = _basis(n, power)
        whole = basis @ prior.spread @ basis.swapaxes(1, 2) + _patients(n, n, error, error, prior)
        whole += _each(scale) * (self._luck(n, n, draw[:, None] == draw) + prior.bend**2 * np.eye(len(n)))
        off = z - basis @ prior.centre
        misfit = np.einsum("pn,pn->p", off, np.linalg.solve(whole, off[..., None])[..., 0])
        return _Seen(n, z, error, basis, whole, off, share - 0.5 * (misfit + np.linalg.slogdet(whole)[1]))

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
        """Covariance of the luck of two draws: they share as many labels as the smaller has, or as the pool lets."""
        larger = np.maximum.outer(n, m)
        return _variance(np.where(same_draw, larger, np.maximum(larger, self.pool)), self.prior)


class _Seen(NamedTuple):
    """N points as each of P kinds of curve has them."""

    n: np.ndarray  # (N,) labels a class
    z: np.ndarray  # (N,)
    error: np.ndarray  # (N,) of z, by the patients that it was measured on
    basis: np.ndarray  # (P, N, 2) what level and slope are multiplied by
    whole: np.ndarray  # (P, N, N) covariance of z
    off: np.ndarray  # (P, N) z less what is expected
    evidence: np.ndarray  # (P,) log density of the points


def _basis(n: np.ndarray, power: np.ndarray) -> np.ndarray:
    """(P, N, 2): what level and slope are multiplied by."""
    ratio = np.log(n / AT)
    straight = power == 0
    curved = np.expm1(np.outer(power, ratio)) / np.where(straight, 1.0, power)[:, None]
    grown = np.where(straight[:, None], ratio, curved)
    return np.stack([np.ones_like(grown), grown], axis=2)


def _each(scale: np.ndarray) -> np.ndarray:
    """(P, 1, 1) what a variance is multiplied by."""
    return scale[:, None, None] ** 2


def _variance(n: np.ndarray, prior: Prior) -> np.ndarray:
    """Of z by the luck of a draw of n labels a class."""
    return prior.luck**2 * (n / AT) ** (-2 * prior.decay)


def _patients(n: np.ndarray, m: np.ndarray, error: np.ndarray, other: np.ndarray, prior: Prior) -> np.ndarray:
    """Covariance of z by the luck of the patients that it is measured on."""
    apart = np.abs(np.subtract.outer(np.log(n), np.log(m)))
    return np.outer(error, other) * np.exp(-prior.forgets * apart)


def _scaled(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
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
