"""A graph of scans: who lies near whom in feature space, and who belongs together by the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Weights of the edges that the manifest knows. A study's scans show one state of the patient; a patient's other
#: studies may show another.
SAME_STUDY, SAME_PATIENT = 1.0, 0.5


def edges(features: Any, k: int = 10, patient: Any = None, study: Any = None) -> Any:
    """The weights of all edges between N scans, as a symmetric scipy.sparse.csr_matrix (N, N).

    Scans that are among each other's `k` nearest, either way round, are joined with the weight

        exp(-d_ij^2 / (s_i s_j)),    s_i the distance of i to its k-th neighbour,

    which needs no bandwidth (Zelnik-Manor and Perona, Self-Tuning Spectral Clustering, NIPS 2004). Scans of a study are
    joined with weight 1, of a patient with 0.5; each to the `k` of its group that follow it in the manifest, where
    neighbouring slices and series stand beside each other, so that a large group has no more than k edges a scan. Of
    several reasons for an edge the strongest counts.

    Args:
        features: (N, F), or (N, 0) for the manifest's edges alone.
        k: neighbours; 10 lies between the 7 of scikit-learn's LabelSpreading and the 50 that Iscen et al. (CVPR 2019,
            arXiv:1904.04717) take of tens of thousands of pictures.
        patient: (N,) who they are of; "" for unknown, which joins no one.
        study: (N,) likewise.

    Returns:
        weights in (0, 1]; nothing on the diagonal.
    """
    from scipy.sparse import csr_matrix

    features = np.asarray(features, float)
    n = len(features)
    weights = csr_matrix((n, n))
    if features.shape[1] and n > 1 and k:
        weights = _near(features, min(k, n - 1))
    for names, weight in ((study, SAME_STUDY), (patient, SAME_PATIENT)):
        if names is not None:
            weights = weights.maximum(_together(np.asarray(names), k, weight))
    weights = weights.tocsr()
    weights.eliminate_zeros()
    return weights


def normalised(weights: Any, loops: float = 0.0) -> Any:
    """D^-1/2 (A + loops I) D^-1/2 of symmetric weights A (N, N), D its row sums; a row of zeros stays so.

    `loops=1` is the matrix of a graph convolution (Kipf and Welling, ICLR 2017, arXiv:1609.02907), `loops=0` that of
    label propagation (Zhou et al., NIPS 2004).
    """
    from scipy.sparse import diags, identity

    weights = weights + loops * identity(weights.shape[0])
    degree = np.asarray(weights.sum(axis=1)).ravel()
    scale = diags(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, np.finfo(float).tiny)), 0.0))
    return (scale @ weights @ scale).tocsr()


def _near(features: np.ndarray, k: int) -> Any:
    """The edges to the k nearest, symmetric."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k).fit(features).kneighbors_graph(mode="distance").tocoo()
    far = np.maximum.reduceat(found.data, np.arange(0, len(found.data), k))  # rows come in order, k each
    scale = np.maximum(far[found.row] * far[found.col], np.finfo(float).tiny)
    found.data = np.exp(-(found.data**2) / scale)
    near = found.tocsr()
    return near.maximum(near.T)


def _together(names: np.ndarray, k: int, weight: float) -> Any:
    """Each scan joined to the next k of its name."""
    from scipy.sparse import coo_matrix

    n = len(names)
    group = np.unique(names, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    pairs = [(order[:-step], order[step:]) for step in range(1, min(k, n - 1) + 1)]
    if not pairs:
        return coo_matrix((n, n)).tocsr()
    one, other = (np.concatenate(each) for each in zip(*pairs, strict=True))
    kept = (group[one] == group[other]) & (names[one] != "")
    one, other = one[kept], other[kept]
    joined = coo_matrix((np.full(len(one), weight), (one, other)), shape=(n, n)).tocsr()
    return joined.maximum(joined.T)
