"""Which scans to label next: each way of choosing has the same arguments and sees no label.

None of them is surely better than drawing at random: benchmarks/active.py, docs/learning_curve.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

Select = Callable[..., np.ndarray]

#: Groups of scans that `typical` looks for at most, as in its paper.
MOST_GROUPS = 500
#: Neighbours whose distance says how typical a scan is, as in its paper.
NEIGHBOURS = 20
#: Variance of a label beside what `design` takes the features to explain, which have unit length.
RIDGE = 0.1


def random(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """Any patients.

    Args:
        features: (N, F) of all scans, labelled or not.
        probabilities: (N, K) that a model gives them, rows sum to 1; used by those ways that ask what it is unsure of.
        labelled_rows: (L,) rows whose label is known already; their patients are not asked for again.
        k: how many to choose; fewer come back where there are fewer patients left.
        seed: of what is left to chance.
        patient: (N,) names; of a patient one scan is chosen.

    Returns:
        (k,) rows, the first to be labelled first.
    """
    return _one_a_patient(_shuffled(len(np.asarray(patient)), seed), labelled_rows, k, patient)


def entropy(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """Where the model's answer has the highest entropy (Settles, 2009). Arguments as `random`."""
    p = np.asarray(probabilities, float)
    return _highest(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1), labelled_rows, k, seed, patient)


def margin(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """Where the two likeliest answers are closest (Scheffer et al., IDA 2001). Arguments as `random`.

    With two classes it is `entropy`.
    """
    best = np.sort(np.asarray(probabilities, float), axis=1)
    return _highest(best[:, -2] - best[:, -1], labelled_rows, k, seed, patient)


def core_set(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """Greedy k-centre: each the farthest from all labelled or chosen before (Sener and Savarese, ICLR 2018).

    Arguments as `random`; distances are Euclidean between features of unit length.
    """
    return _farthest(_of_unit_length(features), labelled_rows, k, seed, patient, drawn=False)


def badge(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """Sure to move the model, and each differently (BADGE; Ash et al., ICLR 2020, arXiv:1906.03671).

    k-means++ on the gradient that the last layer would get if the likeliest answer were the label; the gradient is
    (p - answer) by features, and its products are taken without building it. Arguments as `random`.
    """
    p = np.asarray(probabilities, float)
    answer = np.eye(p.shape[1])[p.argmax(axis=1)] - p
    z = _of_unit_length(features)
    return _farthest(z, labelled_rows, k, seed, patient, drawn=True, weight=answer)


def typical(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """The most typical scan of each large group that has no label yet (TypiClust; Hacohen et al., ICML 2022).

    The scans are put into as many groups as there will be labels (k-means); from the groups with the fewest labels,
    the largest first, comes the scan whose nearest neighbours are nearest. Arguments as `random`.
    """
    from sklearn.cluster import KMeans

    z, labelled = _of_unit_length(features), np.asarray(labelled_rows, int)
    free = np.flatnonzero(_free(labelled, patient))
    groups = min(len(labelled) + k, MOST_GROUPS, len(z))
    group = KMeans(groups, n_init=1, random_state=seed).fit_predict(z)
    labels_in = np.bincount(group[labelled], minlength=groups)
    size = np.bincount(group, minlength=groups)
    typicality = np.zeros(len(z))
    for each in range(groups):
        rows = np.flatnonzero(group == each)
        near = min(NEIGHBOURS, len(rows) - 1)
        if near:
            apart = np.sort(_distances(z[rows], z[rows]), axis=1)[:, 1 : near + 1]
            typicality[rows] = 1 / (np.sqrt(apart).mean(axis=1) + 1e-12)
    chosen: list[int] = []
    names = np.asarray(patient)
    while len(chosen) < k and len(free):
        inhabited = np.unique(group[free])
        each = min(inhabited, key=lambda g: (labels_in[g], -size[g], g))
        rows = free[group[free] == each]
        row = int(rows[typicality[rows].argmax()])
        chosen.append(row)
        labels_in[each] += 1
        free = free[names[free] != names[row]]
    return np.array(chosen, int)


def design(
    features: ArrayLike, probabilities: ArrayLike, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike
) -> np.ndarray:
    """What tells a linear model most about all other scans (transductive design; Yu, Bi, Tresp, ICML 2006).

    Greedy: each leaves the least variance of a ridge regression's predictions, summed over all scans. It prefers what
    has many neighbours and is unlike what is labelled. Arguments as `random`.
    """
    z, names = _of_unit_length(features), np.asarray(patient)
    free = _free(np.asarray(labelled_rows, int), patient)
    cover = z @ z.T
    for row in np.asarray(labelled_rows, int):
        _explain(cover, row)
    chosen: list[int] = []
    while len(chosen) < k and free.any():
        told = (cover**2).sum(axis=0) / (np.diag(cover) + RIDGE)
        row = int(np.where(free, told, -1.0).argmax())
        chosen.append(row)
        free &= names != names[row]
        _explain(cover, row)
    return np.array(chosen, int)


def _explain(cover: np.ndarray, row: int) -> None:
    """Take away, in place, what the label of a row tells."""
    cover -= np.outer(cover[:, row], cover[row]) / (cover[row, row] + RIDGE)


#: name -> how to choose; the first is the default.
SELECTIONS: dict[str, Select] = {
    "random": random,
    "typical": typical,
    "core-set": core_set,
    "design": design,
    "entropy": entropy,
    "margin": margin,
    "badge": badge,
}

#: name -> why a scan was chosen, for the person who labels it.
WHY = {
    "random": "drawn at random",
    "typical": "typical of a group of scans that has few labels yet",
    "core-set": "unlike all scans that are labelled",
    "design": "tells most about the scans that are left",
    "entropy": "the model is least sure of it",
    "margin": "the model is least sure of it",
    "badge": "would move the model most",
}


def _farthest(
    z: np.ndarray,
    labelled_rows: ArrayLike,
    k: int,
    seed: int,
    patient: ArrayLike,
    drawn: bool,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of z (times `weight` (N, K), as an outer product) far from those before.

    `drawn`: with a probability that grows with the squared distance from those chosen, the first being the longest, as
    k-means++ does; else the farthest, from those labelled too.
    """
    rng = np.random.default_rng(seed)
    names, labelled = np.asarray(patient), np.asarray(labelled_rows, int)
    weight = np.ones((len(z), 1)) if weight is None else weight
    norm = (z**2).sum(axis=1) * (weight**2).sum(axis=1)

    def to(row: int) -> np.ndarray:
        return np.maximum(norm + norm[row] - 2 * (z @ z[row]) * (weight @ weight[row]), 0.0)

    free = _free(labelled, patient)
    nearest = np.full(len(z), np.inf)
    if not drawn:
        for row in labelled:
            nearest = np.minimum(nearest, to(row))
    chosen: list[int] = []
    while len(chosen) < k and free.any():
        rows = np.flatnonzero(free)
        if np.isinf(nearest[rows]).all():
            row = int(rows[norm[rows].argmax()]) if drawn else int(rng.choice(rows))
        elif drawn and nearest[rows].sum() > 0:
            row = int(rng.choice(rows, p=nearest[rows] / nearest[rows].sum()))
        else:
            row = int(rows[nearest[rows].argmax()])
        chosen.append(row)
        free &= names != names[row]
        nearest = np.minimum(nearest, to(row))
    return np.array(chosen, int)


def _highest(score: np.ndarray, labelled_rows: ArrayLike, k: int, seed: int, patient: ArrayLike) -> np.ndarray:
    """The highest scores first; equal ones as chance has it."""
    order = _shuffled(len(score), seed)
    return _one_a_patient(order[np.argsort(-score[order], kind="stable")], labelled_rows, k, patient)


def _one_a_patient(order: np.ndarray, labelled_rows: ArrayLike, k: int, patient: ArrayLike) -> np.ndarray:
    names, labelled = np.asarray(patient), np.asarray(labelled_rows, int)
    left = order[_free(labelled, patient)[order]]
    first = np.sort(np.unique(names[left], return_index=True)[1])
    return left[first][:k]


def _free(labelled: np.ndarray, patient: ArrayLike) -> np.ndarray:
    """Whether (N,) no scan of the patient is labelled."""
    names = np.asarray(patient)
    return ~np.isin(names, names[labelled])


def _shuffled(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def _of_unit_length(features: ArrayLike) -> np.ndarray:
    f = np.asarray(features, float)
    return f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared, (len(a), len(b))."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0.0)
