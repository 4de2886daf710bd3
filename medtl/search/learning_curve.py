"""Train with few labels, then more, and measure each time on patients held apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from medtl.measures import auroc, delong
from medtl.search.curve import Point

#: From labelled rows (n,) to logits (N, K) of all scans.
Learner = Callable[[np.ndarray], np.ndarray]

FOLDS = 5


def measured(
    learner: Learner,
    label: np.ndarray,
    patient: np.ndarray,
    pool: np.ndarray,
    apart: np.ndarray,
    levels: Iterable[int],
    draws: int = 5,
    seed: int = 0,
) -> Iterator[Point]:
    """The AUROC on scans held apart, with more and more labels of a pool.

    A draw is one order of the pool's patients: its 5 shots contain its 1 shot. Where all of the pool is used the draws
    are one, and it is trained once.

    Args:
        learner: trains on rows.
        label: (N,) class numbers; -1 where unknown.
        patient: (N,) names.
        pool: rows to learn from.
        apart: rows to measure on, of other patients.
        levels: labels a class; those that there are not are left out.
        draws: how many orders.
        seed: of the orders.
    """
    if set(patient[pool]) & set(patient[apart]):
        raise ValueError("a patient is in the pool and among those held apart")
    seen: dict[tuple[int, ...], np.ndarray] = {}
    for draw in range(draws):
        order = chain(label, patient, pool, seed + draw)
        for shots in (level for level in sorted(levels) if level <= fewest(order)):
            rows = first(order, shots)
            if tuple(rows) in seen:
                continue
            seen[tuple(rows)] = learner(rows)
            area, error = _area(label[apart], seen[tuple(rows)][apart], patient[apart])
            yield Point(shots, draw, area, error, len(rows))


def cross_validated(
    learner: Learner,
    label: np.ndarray,
    patient: np.ndarray,
    pool: np.ndarray,
    levels: Iterable[int],
    draws: int = 5,
    seed: int = 0,
) -> Iterator[Point]:
    """As `measured`, inside the labelled scans alone: each draw is one partition into folds by patient.

    The AUROC is the mean over folds of what a model says of the fold, so that only scans judged by the same model are
    ranked against each other; its standard error is DeLong's, of all folds together. Much noisier than patients held
    apart: the few labelled scans are also all there is to measure on.
    """
    for draw in range(draws):
        whole = chain(label, patient, pool, seed + draw)
        folds = min(FOLDS, fewest(whole))
        if folds < 2:
            return
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + draw)
        parts = [
            (chain(label, patient, pool[train], seed + draw), pool[test])
            for train, test in split.split(pool, label[pool], patient[pool])
        ]
        most = min(fewest(order) for order, _ in parts)
        for shots in (level for level in sorted(levels) if level <= most):
            areas, scores = [], []
            for order, test in parts:
                logits = learner(first(order, shots))[test]
                areas.append(_area(label[test], logits, patient[test])[0])
                scores.append(logits - logits.mean(axis=0))
            rows = np.concatenate([test for _, test in parts])
            error = _area(label[rows], np.concatenate(scores), patient[rows])[1]
            if not np.isnan(areas).all():
                yield Point(shots, draw, float(np.nanmean(areas)), error, shots * len(parts[0][0]))


def chain(label: np.ndarray, patient: np.ndarray, pool: np.ndarray, seed: int) -> list[np.ndarray]:
    """The pool's scans of each class in one order, one a patient: its first n are n shots of the class."""
    rng = np.random.default_rng(seed)
    order = pool[rng.permutation(len(pool))]
    one = order[np.sort(np.unique(patient[order], return_index=True)[1])]
    return [one[label[one] == k] for k in np.unique(label[pool])]


def first(order: list[np.ndarray], shots: int) -> np.ndarray:
    """Rows of `shots` scans a class."""
    return np.sort(np.concatenate([rows[:shots] for rows in order]))


def fewest(order: list[np.ndarray]) -> int:
    """Patients of the smallest class."""
    return min(len(rows) for rows in order)


def score_of(label: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits as `medtl.measures.delong` takes them: one class against the rest, where there are more."""
    if logits.shape[1] == 2:
        return label, logits[:, 1] - logits[:, 0]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    truth = np.eye(logits.shape[1])[label]
    truth[:, truth.sum(axis=0) == 0] = np.nan
    return truth, p / p.sum(axis=1, keepdims=True)


def _area(label: np.ndarray, logits: np.ndarray, patient: np.ndarray) -> tuple[float, float]:
    truth, score = score_of(label, logits)
    found = delong(truth, score, patient)
    area = found.auroc if truth.ndim > 1 else auroc(truth, score)
    return area, max(found.standard_error, 0.5 / len(label))
