"""Shortcuts: whether what should not tell a scan's label or site (its size, its border, its file, callipers) does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, ndtri

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
FITTED = 1.1  # by how much the fitting widens what an AUROC varies by; measured on null data
CHANCE = 0.05  # that anything of a whole report warns where nothing tells anything


class Shortcut(NamedTuple):
    """How well one feature tells the target.

    Attributes:
        name: of the feature, or `TOGETHER`.
        auroc: cross-validated, of more than two classes the mean of each against the rest; 0.5 tells nothing.
        low, high: 95 % interval.
        warn: whether a model would learn this: `low` is above 0.6, and that is no chance find among all that was tried.
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
    features: np.ndarray, names: Sequence[str], target: ArrayLike, groups: ArrayLike, seed: int = 0, targets: int = 1
) -> list[Shortcut]:
    """How well each feature, and all together, tell the target; cross-validated, no group on both sides.

    A single feature is read by a tree of at most eight leaves, so that one odd size is found as well as a slope; all
    together by boosted trees. A group counts once in each class that it has, however many scans it has there. The
    interval is that of so many groups (`_interval`), a tenth wider for what the fitting adds. A row warns where its
    lower bound is above 0.6: a network finds such a thing in its first epoch, while below it there is little to gain,
    and sizes and brightness do differ a little with the patient (a large lesion is scanned deeper). It must be no
    chance find besides: what tells nothing comes so far in under 5 % of reports, all their features and targets taken
    together. What is warned of is not always wrong: it is to be looked at, and cropped, resized or balanced away where
    it is.

    Measured on 13 features of which none tells anything but (nearly) who the patient is, two classes, 100 reports each:

        ==============================  ==========================  ====================
        patients x scans                reports that warn, percent  intervals with 0.5
        ==============================  ==========================  ====================
        20 x 1, 5, 10, 20               0, 1, 2, 2                  94, 94, 96, 96 %
        24 x 1 to 115, most few         4                           94 %
        20 x 10, features of 4 values   2                           91 %
        60 x 3, 11 of them sick         1                           96 %
        40 x 5, 100 x 1, 400 x 5        1, 1, 0                     95, 91, 95 %
        30 x 3, three classes           0                           100 %
        20 x 10, a label a scan         0                           100 %
        ==============================  ==========================  ====================

    Args:
        features: (N, F).
        names: of the F columns. A column with one value has no row.
        target: (N,) classes; scans with "" are left out, and classes with fewer than ten groups.
        groups: (N,) who must not be split: the patient.
        seed: of the folds. Of more than 5,000 scans, whole groups are drawn at random, of each class some.
        targets: how many the same report looks at.

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
    asked = _asked(number, group, CHANCE / (targets * (len(varying) + 1)), seed)
    rows = [_row(names[i], table[:, [i]], asked) for i in varying]
    rows.sort(key=lambda row: -row.auroc)
    return [_row(TOGETHER, np.column_stack([_binned(table[:, i]) for i in varying]), asked), *rows]


def _enough(classes: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Mask (N,): classes that enough groups have, and not too many scans."""
    kept = _without_rare(classes, group, classes != "")
    if kept.sum() <= MOST:
        return kept
    at = np.flatnonzero(kept)
    drawn = _drawn(np.unique(classes[at], return_inverse=True)[1], np.unique(group[at], return_inverse=True)[1], seed)
    kept[at[~drawn]] = False
    return _without_rare(classes, group, kept)


def _without_rare(classes: np.ndarray, group: np.ndarray, kept: np.ndarray) -> np.ndarray:
    kept = kept.copy()
    for name in np.unique(classes[kept]):
        if len(np.unique(group[kept & (classes == name)])) < FEWEST:
            kept &= classes != name
    return kept


def _drawn(number: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Mask (N,): whole groups at random, `MOST` scans together at most; of each class, the fewest it needs first."""
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(sizes))
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    fits = sizes <= MOST // (FEWEST * (int(number.max()) + 1))  # one huge group must not take the others' room
    first = []
    for each in range(int(number.max()) + 1):
        mine = np.unique(group[number == each])
        mine = mine[fits[mine]]
        first += list(mine[np.argsort(place[mine])][:FEWEST])
    left, chosen = MOST, np.zeros(len(sizes), bool)
    for one in [*first, *order]:
        if not chosen[one] and sizes[one] <= left:
            chosen[one] = True
            left -= sizes[one]
    return chosen[group]


class _Asked(NamedTuple):
    """What every row is asked: the class of each scan, and how to find out.

    Attributes:
        number: (N,) of the class.
        weight: (N,) with which a group counts once in each class that it has.
        folds: scans to learn from, and to tell.
        counts: for each class that is held against the rest, groups that have it, and that have another.
        chance: with which a row may warn where nothing tells anything.
        seed: of the models.
    """

    number: np.ndarray
    weight: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    counts: dict[int, tuple[int, int]]
    chance: float
    seed: int


def _asked(number: np.ndarray, group: np.ndarray, chance: float, seed: int) -> _Asked:
    from sklearn.model_selection import StratifiedGroupKFold  # here: it takes a second to import

    group = np.unique(group, return_inverse=True)[1]
    k = int(number.max()) + 1
    both = group * k + number
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return _Asked(
        number=number,
        weight=1 / np.bincount(both)[both],
        folds=list(split.split(np.zeros(len(number)), number, group)),
        counts={
            each: (len(np.unique(group[number == each])), len(np.unique(group[number != each])))
            for each in (range(1, 2) if k == 2 else range(k))
        },
        chance=chance,
        seed=seed,
    )


def _row(name: str, table: np.ndarray, asked: _Asked) -> Shortcut:
    from sklearn.metrics import roc_auc_score

    number, weight = asked.number, asked.weight
    score = np.zeros((len(number), int(number.max()) + 1))
    for train, test in asked.folds:
        here, model = np.unique(number[train]), _reader(table.shape[1], len(train), asked.seed)
        model.fit(table[train], number[train], sample_weight=weight[train])
        share = np.bincount(number[train], weight[train], score.shape[1])[here] / weight[train].sum()
        # less what the fold's own shares of the classes say, or what knows nothing would rank the folds
        score[np.ix_(test, here)] = model.predict_proba(table[test]) - share
    areas = [roc_auc_score(number == each, score[:, each], sample_weight=weight) for each in asked.counts]
    area, counts = float(np.mean(areas)), list(asked.counts.values())
    low, high = _interval(area, counts)
    warn = low > WARN and _by_chance(area, counts) < asked.chance
    return Shortcut(name, area, low, high, warn, len(number))


def _binned(values: np.ndarray) -> np.ndarray:
    """The same order in at most 128 steps, nan as it is; boosting would seek them in each fold, by weight, slowly."""
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, 128), method="nearest"))
    return np.where(np.isnan(values), np.nan, np.searchsorted(edges, values))


def _error(area: ArrayLike, counts: Sequence[tuple[int, int]]) -> np.ndarray:
    """Standard error of a fitted score's AUROC, were it `area` in truth.

    Hanley and McNeil's (Radiology 143, 1982), of which one group of scans is one case, times `FITTED`.
    """
    area, errors = np.asarray(area, float), []
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    for n, m in counts:
        squared = area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)
        errors.append(np.sqrt(np.maximum(squared, 0) / (n * m)))
    return np.asarray(FITTED * np.mean(errors, axis=0))


def _interval(area: float, counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """All true values that would give this one or one further off in 5 % of cases or more (a score interval)."""
    true = np.linspace(0, 1, 2001)
    possible = true[np.abs(true - area) <= -ndtri(0.025) * _error(true, counts) + 1e-9]
    return float(possible.min()), float(possible.max())


def _by_chance(area: float, counts: Sequence[tuple[int, int]]) -> float:
    """How often what tells nothing comes as far: by a beta distribution about 0.5 that varies as much."""
    parts = (1 / (4 * float(_error(0.5, counts)) ** 2) - 1) / 2
    return float(betainc(parts, parts, 1 - area))


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
