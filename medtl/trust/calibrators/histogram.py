"""The share that was so, in bins of equally many scans."""

from __future__ import annotations

import numpy as np

from medtl.trust.calibrators.likelihood import tells, truth_of
from medtl.trust.calibrators.maps import Curves, one_against_rest
from medtl.trust.calibrators.temperature import fit_temperature

BINS = 15  # at most; as Guo et al. 2017
PER_BIN = 20  # scans, for which a share is known to within about 0.1
#: A bin's share is drawn towards the mean of what the temperature says, as if by so many scans.
SCANS = 5.0


def fit_histogram(logits: np.ndarray, label: np.ndarray, task: str) -> Curves:
    """Histogram binning (Zadrozny and Elkan, ICML 2001): each bin says the share of its scans that was positive.

    Bins of equally many scans, 20 and more in each and 15 at most, of the probabilities of a fitted temperature, and
    each share is drawn towards those probabilities' mean as if by five scans, so that none is 0 or 1. More than two
    classes: bins for each, one against the rest, then normalised. All scans of a bin are told the same, so AUROC
    falls; for some 300 scans or more. Same arguments as `fit_temperature`.
    """
    temperature = fit_temperature(logits, label, task).temperature
    told = np.exp(one_against_rest(np.asarray(logits, float) / temperature, task)[0])
    truth = truth_of(label, np.shape(logits)[1], task)
    if not tells(truth, task):
        ends = ((0.0, 1.0),) * told.shape[1]
        return Curves(temperature, ends, ends, steps=False, share=1.0)
    bins = [_bins(p, so) for p, so in zip(told.T, truth[:, -told.shape[1] :].T, strict=True)]
    return Curves(temperature, tuple(said for said, _ in bins), tuple(seen for _, seen in bins), steps=True, share=0.0)


def _bins(p: np.ndarray, so: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Where each bin begins, and what it says."""
    known = ~np.isnan(so)
    p, so = p[known], so[known]
    number = int(np.clip(len(p) // PER_BIN, 1, BINS))
    begins = np.unique(np.r_[0.0, np.quantile(p, np.arange(1, number) / number) if len(p) else []])
    place = np.searchsorted(begins, p, side="right") - 1
    scans, positive, said = (np.bincount(place, each, minlength=len(begins)) for each in (np.ones_like(p), so, p))
    usual = np.where(scans > 0, said / np.maximum(scans, 1), begins)
    return tuple(map(float, begins)), tuple(map(float, (positive + SCANS * usual) / (scans + SCANS)))
