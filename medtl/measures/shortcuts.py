"""Shortcuts: whether what should not tell a scan's label or site (its size, its border, its file, callipers) does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medtl.measures.intervals import auroc, bootstrap_auroc, percentile_interval
from medtl.scans.burned_in import find_overlay
from medtl.scans.scan import Scan

#: What `features_of` measures, none of which is a finding.
FEATURES = (
    "slices",
    "rows",
    "columns",
    "aspect",
    "bytes per pixel",
    "mean",
    "standard deviation",
    "border mean",
    "border standard deviation",
    "corner mean",
    "share of pure black",
    "burned-in text",
    "burned-in callipers",
)
TOGETHER = "all together"
WARN = 0.6
FEWEST = 10  # groups a class
MOST = 5000  # scans; more make the interval narrower than anyone can use
FOLDS = 5


class Shortcut(NamedTuple):
    """How well one feature tells the target.

    Attributes:
        name: of the feature, or `TOGETHER`.
        auroc: cross-validated, of more than two classes the mean of each against the rest; 0.5 tells nothing.
        low, high: 95 % interval.
        warn: whether a model would learn this: `low` is above 0.6.
        scans: how many scans it was measured on.
    """

    name: str
    auroc: float
    low: float
    high: float
    warn: bool
    scans: int


def features_of(scan: Scan, file_size: int) -> dict[str, float]:
    """What should not tell anything: name in `FEATURES` -> number. Pixels are those of the middle slice, in its units.

    Args:
        scan: whole, or the middle of it; its slices are counted.
        file_size: of all its files, in bytes.
    """
    depth, rows, columns = scan.pixels.shape[:3]
    picture = scan.pixels[depth // 2]
    picture = picture.mean(axis=-1) if scan.colour else picture
    overlay = find_overlay(scan)
    edge = max(1, round(0.02 * min(rows, columns)))
    border = np.concatenate(
        [picture[:edge].ravel(), picture[-edge:].ravel(), picture[:, :edge].ravel(), picture[:, -edge:].ravel()]
    )
    high, wide = max(1, rows // 16), max(1, columns // 16)
    corners = [part for strip in (picture[:high], picture[-high:]) for part in (strip[:, :wide], strip[:, -wide:])]
    values = (
        depth,
        rows,
        columns,
        columns / rows,
        file_size / max(1, depth * rows * columns),
        picture.mean(),
        picture.std(),
        border.mean(),
        border.std(),
        np.mean([corner.mean() for corner in corners]),
        np.mean(picture <= picture.min()),
        "text" in overlay,
        "callipers" in overlay,
    )
    return dict(zip(FEATURES, (float(value) for value in values), strict=True))


def table_of(features: Sequence[Mapping[str, float]]) -> np.ndarray:
    """(N, F) of what `features_of` gives for N scans, the columns as in `FEATURES`."""
    return np.array([[each[name] for name in FEATURES] for each in features], float).reshape(-1, len(FEATURES))


def find_shortcuts(
    features: np.ndarray, names: Sequence[str], target: ArrayLike, groups: ArrayLike, seed: int = 0
) -> list[Shortcut]:
    """How well each feature, and all together, tell the target; cross-validated, no group on both sides.

    A single feature is read by a tree of at most eight leaves, so that one odd size is found as well as a slope; all
    together by boosted trees. The interval resamples groups. A row warns where its lower bound is above 0.6: a network
    finds such a thing in its first epoch, while below it there is little to gain, and sizes and brightness do differ a
    little with the patient (a large lesion is scanned deeper). What is warned of is not always wrong: it is to be
    looked at, and cropped, resized or balanced away where it is.

    Args:
        features: (N, F).
        names: of the F columns. A column with one value has no row.
        target: (N,) classes; scans with "" are left out, and classes with fewer than ten groups.
        groups: (N,) who must not be split: the patient.
        seed: of the folds and resamples. Of more than 5,000 scans, whole groups are drawn at random.

    Returns:
        All together first, then the rest, the best first; none where fewer than two classes remain.
    """
    table, classes, group = np.asarray(features, float), np.asarray(target, str), np.asarray(groups, str)
    kept = _enough(classes, group, seed)
    table, classes, group = table[kept], classes[kept], group[kept]
    names_of, number = np.unique(classes, return_inverse=True)
    if len(names_of) < 2:
        return []
    table = np.where(np.isfinite(table), table, np.nan)
    varying = [i for i in range(len(names)) if len(np.unique(table[:, i][~np.isnan(table[:, i])])) > 1]
    if not varying:
        return []
    folds = _folds(number, group, seed)
    rows = [_row(names[i], table[:, [i]], number, group, folds, seed) for i in varying]
    rows.sort(key=lambda row: -row.auroc)
    return [_row(TOGETHER, table[:, varying], number, group, folds, seed), *rows]


def _enough(classes: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Mask (N,): classes that enough groups have, and not too many scans."""
    kept = classes != ""
    for name in np.unique(classes[kept]):
        if len(np.unique(group[classes == name])) < FEWEST:
            kept &= classes != name
    if kept.sum() > MOST:
        names, inverse, counts = np.unique(group[kept], return_inverse=True, return_counts=True)
        order = np.random.default_rng(seed).permutation(len(names))
        drawn = order[np.cumsum(counts[order]) <= MOST]
        kept[np.flatnonzero(kept)[~np.isin(inverse, drawn)]] = False
    return kept


def _folds(number: np.ndarray, group: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold  # here: it takes a second to import

    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(split.split(np.zeros(len(number)), number, group))


def _row(
    name: str,
    table: np.ndarray,
    number: np.ndarray,
    group: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> Shortcut:
    k = int(number.max()) + 1
    score = np.zeros((len(number), k))
    for train, test in folds:
        here, model = np.unique(number[train]), _reader(table.shape[1], len(train), seed)
        share = np.bincount(number[train], minlength=k)[here] / len(train)
        # less what the fold's own shares of the classes say, or what knows nothing would rank the folds
        score[np.ix_(test, here)] = model.fit(table[train], number[train]).predict_proba(table[test]) - share
    truth = np.eye(k)[number]
    if k == 2:
        truth, score = truth[:, 1:], score[:, 1:]
    area = float(np.mean([auroc(t, s) for t, s in zip(truth.T, score.T, strict=True)]))
    low, high = percentile_interval(bootstrap_auroc(truth, score, group, n_bootstrap=300, seed=seed))
    return Shortcut(name, area, low, high, bool(low > WARN), len(number))


def _reader(columns: int, scans: int, seed: int) -> Any:
    if columns > 1:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=8,
            min_samples_leaf=max(5, scans // 100),
            early_stopping=False,
            random_state=seed,
        )
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_leaf_nodes=8, min_samples_leaf=max(5, scans // 50), random_state=seed)
