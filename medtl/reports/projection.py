"""The features of both sites, before and after adaptation, on a plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from medtl.measures import proxy_a_distance
from medtl.reports.contents import Projection

MOST = 400  # dots a site: more only hide one another, and the file grows


def project(
    source_before: np.ndarray,
    target_before: np.ndarray,
    source_after: np.ndarray,
    target_after: np.ndarray,
    source_label: Sequence[str],
    sites: tuple[str, str],
    how: str = "PCA",
    seed: int = 0,
) -> Projection:
    """Put both sites' features on a plane.

    PCA is the default: it is linear and the same every time, so that a gap in the picture is a gap in the features.
    t-SNE (van der Maaten and Hinton 2008) shows neighbourhoods and makes up the distances between them.

    Args:
        source_before: (N, F) embeddings of the source.
        target_before: (M, F) of the target.
        source_after: (N, F) the same scans as the adapted network has them.
        target_after: (M, F).
        source_label: (N,) class names. The target's are not shown: the adaptation did not see them.
        sites: source and target.
        how: "PCA" or "t-SNE".
        seed: of the choice of dots, and of t-SNE.
    """
    rng = np.random.default_rng(seed)
    source, target = _some(rng, len(source_before)), _some(rng, len(target_before))
    before = np.concatenate([source_before[source], target_before[target]])
    after = np.concatenate([source_after[source], target_after[target]])
    is_target = np.repeat([0, 1], [len(source), len(target)])
    labels = np.asarray(source_label, dtype=object)[source]
    return Projection(
        before=_plane(before, how, seed),
        after=_plane(after, how, seed),
        site=np.asarray(sites, dtype=object)[is_target],
        label=np.concatenate([labels, np.full(len(target), "", dtype=object)]),
        told_apart_before=told_apart(before, is_target),
        told_apart_after=told_apart(after, is_target),
        how=how,
    )


def told_apart(features: np.ndarray, is_target: np.ndarray) -> float:
    """Share of scans whose site a linear classifier reads off the features: the proxy A-distance as an accuracy."""
    return 0.5 + proxy_a_distance(features[is_target == 0], features[is_target == 1]) / 4


def _some(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.sort(rng.permutation(n)[:MOST])


def _plane(features: np.ndarray, how: str, seed: int) -> np.ndarray:
    centred = StandardScaler().fit_transform(features)
    if how == "t-SNE":
        perplexity = min(30.0, (len(features) - 1) / 3)
        return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(centred)
    return PCA(2, svd_solver="full").fit_transform(centred)
