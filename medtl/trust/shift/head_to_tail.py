"""What few scans show is borrowed from what many show: bands of sureness."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators import Map, fit_temperature, probabilities_of
from medtl.trust.shift.seen import Seen, sureness

BANDS = 4
DIMENSIONS = 8
#: A band's mean and spread are drawn to those of all bands, as if by so many scans.
SCANS = 20.0
LARGEST = 20.0


def fit_head_to_tail(source: Seen, target: Seen, task: str) -> Map:
    """A weighted temperature whose weights come from bands of sureness, the rare borrowing from the frequent.

    After Chen and Su, CVPR 2023 (arXiv:2304.06537), who transfer from frequent classes (the head) to rare ones (the
    tail), with bands of sureness for classes: features in each band are normal, with means and variances of a band
    with few scans drawn to those of all of its site; a source scan weighs as the target's density over the source's.
    """
    assert source.label is not None
    ours, theirs = _axes(source.features, target.features)
    sure = [sureness(probabilities_of(site.logits, task), task) for site in (source, target)]
    edges = np.quantile(sure[0], np.arange(1, BANDS) / BANDS)
    bands = [np.searchsorted(edges, each) for each in sure]
    log_ratio = _log_density(ours, theirs, bands[1]) - _log_density(ours, ours, bands[0])
    weight = np.exp(np.clip(log_ratio, -np.log(LARGEST), np.log(LARGEST)))
    return fit_temperature(source.logits, source.label, task, weight / weight.mean())


def _axes(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sites' features on their first principal axes."""
    both = np.r_[source, target].astype(float)
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-6)
    left, _, _ = np.linalg.svd(both, full_matrices=False)
    kept = left[:, :DIMENSIONS] * np.sqrt(len(both))
    return kept[: len(source)], kept[len(source) :]


def _log_density(points: np.ndarray, features: np.ndarray, band: np.ndarray) -> np.ndarray:
    """(N,) of the points, under a mixture of one normal for each band."""
    mean, spread = features.mean(axis=0), features.var(axis=0) + 1e-3
    parts = []
    for number in range(BANDS):
        mine = features[band == number]
        n = len(mine)
        middle = (mine.sum(axis=0) + SCANS * mean) / (n + SCANS)
        width = (np.sum((mine - middle) ** 2, axis=0) + SCANS * spread) / (n + SCANS)
        share = (n + 1) / (len(features) + BANDS)
        parts.append(np.log(share) - np.sum((points - middle) ** 2 / width + np.log(width), axis=1) / 2)
    return np.logaddexp.reduce(parts, axis=0)
