"""How frequent each class is at a site without labels, with an interval, and whether a class is missing there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.trust.calibrators import fit_platt, probabilities_of
from medtl.trust.shift.label_shift import Estimate, expected_shares, one_label, solved_shares
from medtl.trust.shift.seen import Seen

#: Resamples of the patients of both sites; each calibrates anew.
DRAWS = 200
#: A class is nearly absent where both estimates are below the first share of what it has at the source, and both
#: intervals end below the second. Of simulated sites with 300 and 400 scans of five classes, nearly all that lack one
#: are told, and hardly any where it is 0.3 times as frequent (tests/trust/test_shares.py).
ABSENT, SURELY = 0.2, 0.5
ESTIMATES: dict[str, Estimate] = {"em": expected_shares, "bbse": solved_shares}

Interval = tuple[float, float]


class ClassShare(NamedTuple):
    """How frequent one class is; all shares in [0, 1].

    Attributes:
        name: of the class.
        source: its share of the labelled scans that were held out.
        predicted: the share of the target's scans that the model calls so.
        em: by expectation maximisation (Saerens et al. 2002) on calibrated probabilities (Alexandari et al. 2020).
        bbse: by black-box shift estimation (Lipton et al. 2018).
        em_ci, bbse_ci: 95 %, resampling the patients of both sites.
    """

    name: str
    source: float
    predicted: float
    em: float
    em_ci: Interval
    bbse: float
    bbse_ci: Interval


def class_shares(
    source: Seen,
    target: Seen,
    task: str,
    classes: Sequence[str],
    source_patient: ArrayLike,
    target_patient: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[ClassShare]:
    """Estimate the target's class shares, no label of its own being looked at.

    Right where each class looks at the target as it does at the source (label shift alone). The interval knows how few
    the scans are; it does not know whether pictures differ, and then lies too: compare both estimates.

    Args:
        source: N labelled scans that the model was not trained on.
        target: M scans.
        task: "binary", "multiclass" or "multilabel"; of several labels each has a share of its own.
        classes: K names.
        source_patient: (N,) names, resampled together.
        target_patient: (M,) likewise.
        draws: resamples.
        seed: of the resampling.
    """
    assert source.label is not None
    label, here = np.asarray(source.label), target.logits
    found = _estimated(source.logits, label, here, task)
    generator = np.random.default_rng(seed)
    sides = [_rows_of(np.asarray(patient)) for patient in (source_patient, target_patient)]
    drawn = []
    for _ in range(draws):
        ours, theirs = (_drawn(rows, generator) for rows in sides)
        drawn.append(_estimated(source.logits[ours], label[ours], here[theirs], task))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if draws else np.full((2, *found.shape), np.nan)
    home, said = _told(label, here, task)
    return [
        ClassShare(
            name, float(home[k]), float(said[k]),
            float(found[0, k]), (float(low[0, k]), float(high[0, k])),
            float(found[1, k]), (float(low[1, k]), float(high[1, k])),
        )
        for k, name in enumerate(classes)
    ]  # fmt: skip


def absent(shares: Sequence[ClassShare]) -> list[ClassShare]:
    """Classes that are nearly absent at the target, though the source has them: a partial target.

    Both estimates must say so, and their intervals too: other pictures look like another prevalence to either of them.
    """
    return [
        each
        for each in shares
        if max(each.em, each.bbse) < ABSENT * each.source and max(each.em_ci[1], each.bbse_ci[1]) < SURELY * each.source
    ]


def _estimated(logits: np.ndarray, label: np.ndarray, target: np.ndarray, task: str) -> np.ndarray:
    """(2, K) by each of ESTIMATES, after calibrating on these source scans."""
    at_home = fit_platt(logits, label, task)
    p, here = at_home(logits, task), at_home(target, task)
    if task != "multilabel":
        return np.array([estimate(p, label, here) for estimate in ESTIMATES.values()])
    pairs = [one_label(p, label, here, k) for k in range(p.shape[1])]
    return np.array([[estimate(*pair)[1] for pair in pairs] for estimate in ESTIMATES.values()])


def _told(label: np.ndarray, logits: np.ndarray, task: str) -> tuple[np.ndarray, np.ndarray]:
    """(K,) shares of the labels at the source, and of what the model calls the target's scans."""
    if task == "multilabel":
        return np.nanmean(label, axis=0), np.mean(logits > 0, axis=0)
    classes = logits.shape[1]
    home = np.bincount(label, minlength=classes) / len(label)
    return home, np.bincount(probabilities_of(logits, task).argmax(axis=1), minlength=classes) / len(logits)


def _drawn(patients: list[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    return np.concatenate([patients[i] for i in generator.integers(0, len(patients), len(patients))])


def _rows_of(patient: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(patient, kind="stable")
    return np.split(order, np.flatnonzero(patient[order][1:] != patient[order][:-1]) + 1)
