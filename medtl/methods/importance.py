"""Which source scans are like the target's: weights (N,) by several rules, from features of both sites."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medtl.trust.density_ratio import DIMENSIONS, fit_ratio

#: No scan counts as more than so many: a handful of scans that count for all is no training set.
LARGEST = 10.0
#: Centres of the kernels of KLIEP: the paper's.
CENTRES = 100
#: Widths tried, in units of the median distance between scans.
WIDTHS = (0.25, 0.5, 1.0, 2.0)
FOLDS = 5


def kernel_mean_matching(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights that give the source the target's mean in the kernel's feature space (Huang et al., NIPS 2006).

        min_w  w^T K w / 2 - kappa^T w,   0 <= w_i <= B,   |sum(w) - N| <= N eps,
        kappa_i = N / M sum_j k(x_i, z_j),   eps = (sqrt(N) - 1) / sqrt(N),

    with a Gaussian kernel as wide as the median distance. B and eps: B is `LARGEST`, eps that of Gretton et al. (2009).

    Args:
        source: (N, F).
        target: (M, F).
    """
    source, target = _axes(source, target)
    n = len(source)
    width = _median_distance(np.concatenate([source, target]))
    kernel = _gaussian(source, source, width)
    kappa = n * _gaussian(source, target, width).mean(axis=1)
    eps = (np.sqrt(n) - 1) / np.sqrt(n)
    return _settled(matched(kernel, kappa, LARGEST, n * (1 - eps), n * (1 + eps)))


def matched(
    kernel: np.ndarray, kappa: np.ndarray, most: float, low: float, high: float, steps: int = 2000
) -> np.ndarray:
    """The minimum of w^T K w / 2 - kappa^T w over 0 <= w <= most, low <= sum(w) <= high.

    Projected gradient with Nesterov's momentum, begun anew where it goes uphill (O'Donoghue and Candes 2015).
    """
    step = 1 / max(float(np.linalg.eigvalsh(kernel)[-1]), 1e-12)
    w = ahead = _projected(np.ones(len(kappa)), most, low, high)
    t = 1.0
    for _ in range(steps):
        new = _projected(ahead - step * (kernel @ ahead - kappa), most, low, high)
        if (ahead - new) @ (new - w) > 0:
            t = 1.0
        t, before = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
        moved, ahead, w = new - w, new + (before - 1) / t * (new - w), new
        if np.abs(moved).max() < 1e-7 * most:
            break
    return w


def density_ratio(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights p_T(x) / p_S(x) by a classifier that tells the sites apart (Bickel et al., JMLR 2009).

    See `medtl.trust.density_ratio`, which weighs labels at validation by the same.

    Args:
        source: (N, F).
        target: (M, F).
    """
    return _settled(fit_ratio(source, target)(source))


def kliep(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights sum_l alpha_l k(x, c_l) under which the target's scans are likeliest (Sugiyama et al., 2008).

        max_alpha  sum_j log w(z_j),   mean_i w(x_i) = 1,   alpha >= 0,

    the centres c_l being scans of the target, 100 at most; the kernel's width is the one under which target scans that
    were left out are likeliest, as in the paper.

    Args:
        source: (N, F).
        target: (M, F).
    """
    source, target = _axes(source, target)
    random = np.random.default_rng(0)
    unit = _median_distance(np.concatenate([source, target]))
    centres = target[random.permutation(len(target))[:CENTRES]]
    fold = random.permutation(len(target)) % min(FOLDS, len(target))

    def left_out(width: float) -> float:
        at_source, at_target = _gaussian(source, centres, width).mean(axis=0), _gaussian(target, centres, width)
        folds = [(at_target[fold != k], at_target[fold == k]) for k in range(fold.max() + 1)]
        told = [test @ likeliest(train, at_source) for train, test in folds]
        return float(np.log(np.maximum(np.concatenate(told), np.finfo(float).tiny)).mean())

    width = max((unit * each for each in WIDTHS), key=left_out)
    kernel = _gaussian(source, centres, width)
    return _settled(kernel @ likeliest(_gaussian(target, centres, width), kernel.mean(axis=0)))


def likeliest(at_target: np.ndarray, at_source: np.ndarray, steps: int = 2000) -> np.ndarray:
    """The alpha (L,) >= 0 that maximises sum(log(A alpha)) with b alpha = 1, for A (M, L) and b (L,).

    With beta = alpha b these are the shares of a mixture, which expectation-maximisation finds, always uphill.
    """
    b = np.maximum(at_source, np.finfo(float).tiny)
    density = at_target / b
    beta = np.full(len(b), 1 / len(b))
    for _ in range(steps):
        whole = np.maximum(density @ beta, np.finfo(float).tiny)
        new = beta * (density / whole[:, None]).mean(axis=0)
        moved, beta = np.abs(new - beta).sum(), new / new.sum()
        if moved < 1e-6:
            break
    return beta / b


def clusters(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights by cluster: the target's share of its scans over the source's (Cortes et al., ALT 2008, arXiv:0805.2775).

    k-means on both sites' scans, one cluster to about 30 of them. Clusters in which the target has hardly any scan,
    a tenth of its share of all, are left out: their source scans count nothing.

    Args:
        source: (N, F).
        target: (M, F).
    """
    from sklearn.cluster import KMeans

    source, target = _axes(source, target)
    both = np.concatenate([source, target])
    k = int(np.clip(len(both) // 30, 2, 50))
    cluster = KMeans(k, n_init=5, random_state=0).fit_predict(both)
    ours = np.bincount(cluster[: len(source)], minlength=k) / len(source)
    theirs = np.bincount(cluster[len(source) :], minlength=k) / len(target)
    ratio = theirs / np.maximum(ours, 1 / (10 * len(source)))
    return _settled(np.where(ratio < 0.1, 0.0, ratio)[cluster[: len(source)]])


WEIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kmm": kernel_mean_matching,
    "density-ratio": density_ratio,
    "kliep": kliep,
    "clusters": clusters,
}


def within_classes(weights: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(N,) the same, 1 on average in each class: then the classes are expected as often as they were before.

    p_T(x | y) is w(x) p_S(x | y) over its mean, so this is the target's distribution with the classes' shares as they
    are dealt. A class without any weight keeps all its scans. Several labels a scan: as they are.

    Args:
        weights: (N,), at least 0.
        label: (N,) class, or (N, K).
    """
    if label.ndim == 2:
        return weights
    told = weights.copy()
    for c in np.unique(label):
        mine = label == c
        mean = weights[mine].mean()
        told[mine] = weights[mine] / mean if mean > 0 else 1.0
    return told


def _settled(weights: np.ndarray) -> np.ndarray:
    """1 on average, and none above `LARGEST`; where nothing is like the target, all alike."""
    weights = np.maximum(np.nan_to_num(weights), 0.0)
    if weights.sum() <= 0:
        return np.ones(len(weights))
    for _ in range(50):  # cutting the largest lowers the mean, which raises the others
        weights = np.minimum(weights / weights.mean(), LARGEST)
    return weights / weights.mean()


def _projected(w: np.ndarray, most: float, low: float, high: float) -> np.ndarray:
    """The nearest point with 0 <= w <= most and low <= sum(w) <= high: the same shift for all, found by halving."""
    held = np.clip(w, 0, most)
    if low <= held.sum() <= high:
        return held
    aim = low if held.sum() < low else high
    below, above = -w.max() - 1, most - w.min() + 1
    for _ in range(60):
        middle = (below + above) / 2
        below, above = (middle, above) if np.clip(w + middle, 0, most).sum() < aim else (below, middle)
    return np.clip(w + (below + above) / 2, 0, most)


def _axes(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both on the first principal axes of both, after standardising: kernels fail in 1,280 dimensions."""
    source, target = np.asarray(source, float), np.asarray(target, float)
    both = np.concatenate([source, target])
    mean, spread = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
    _, size, axes = np.linalg.svd((both - mean) / spread, full_matrices=False)
    kept = max(1, min(DIMENSIONS, len(both) // 10, int((size > 1e-6 * max(size[0], 1e-12)).sum())))
    axes = axes[:kept].T
    return ((source - mean) / spread) @ axes, ((target - mean) / spread) @ axes


def _gaussian(one: np.ndarray, other: np.ndarray, width: float) -> np.ndarray:
    square = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.exp(-np.maximum(square, 0.0) / (2 * width**2))


def _median_distance(points: np.ndarray, most: int = 500) -> float:
    from scipy.spatial.distance import pdist

    some = points[np.random.default_rng(0).permutation(len(points))[:most]]
    return max(float(np.median(pdist(some))), 1e-6)
