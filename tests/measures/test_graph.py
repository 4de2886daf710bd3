"""The graph of scans against dense NumPy: distances, groups, and the normalised matrix."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.measures.graph import edges, normalised


def dense(features: np.ndarray, k: int) -> np.ndarray:
    """The nearest-neighbour weights from the matrix of all distances."""
    distance = np.sqrt(((features[:, None] - features[None]) ** 2).sum(-1))
    np.fill_diagonal(distance, np.inf)
    near = distance <= np.sort(distance, axis=1)[:, k - 1 : k]
    scale = np.sort(distance, axis=1)[:, k - 1]
    weights = np.where(near | near.T, np.exp(-(distance**2) / np.outer(scale, scale)), 0)
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("k", [1, 3, 29])
def test_neighbours_and_weights_are_those_of_all_distances(k):
    features = np.random.default_rng(0).normal(size=(30, 4))
    found = edges(features, k)
    np.testing.assert_allclose(found.toarray(), dense(features, k), atol=1e-12)
    assert (found != found.T).nnz == 0 and found.data.min() > 0 and found.data.max() <= 1


def test_weights_do_not_depend_on_the_scale_of_the_features():
    features = np.random.default_rng(1).normal(size=(20, 3))
    np.testing.assert_allclose(edges(features, 4).toarray(), edges(1000 * features, 4).toarray(), atol=1e-9)


def test_the_manifest_joins_studies_and_patients_and_nobody_unknown():
    patient, study = np.array(["a", "b", "a", "", "", "a"]), np.array(["x", "y", "x", "", "", ""])
    found = edges(np.zeros((6, 0)), 10, patient=patient, study=study).toarray()
    expected = np.zeros((6, 6))
    expected[0, 2] = expected[2, 0] = 1.0  # of one study, and so of one patient
    expected[0, 5] = expected[5, 0] = expected[2, 5] = expected[5, 2] = 0.5
    np.testing.assert_array_equal(found, expected)


def test_a_large_group_is_joined_along_the_manifest():
    found = edges(np.zeros((100, 0)), 2, patient=np.full(100, "a"))
    steps = np.abs(np.subtract(*found.nonzero()))
    assert set(steps) == {1, 2} and found.nnz == 2 * (99 + 98)


def test_the_stronger_of_two_reasons_counts():
    features = np.array([[0.0], [1.0], [10.0]])
    near, both = edges(features, 1).toarray(), edges(features, 1, patient=np.array(["a", "a", "b"])).toarray()
    assert near[0, 1] == pytest.approx(np.exp(-1)) and both[0, 1] == 0.5
    assert edges(features, 1, study=np.array(["a", "", "a"])).toarray()[0, 2] == 1.0


def test_alike_and_alone():
    twins = edges(np.zeros((3, 2)), 1)
    assert twins.nnz >= 2 and (twins.data == 1).all()
    assert edges(np.zeros((1, 2))).shape == (1, 1) and edges(np.zeros((1, 2)), patient=np.array(["a"])).nnz == 0


@pytest.mark.parametrize("loops", [0.0, 1.0])
def test_normalised_is_that_of_dense_matrices(loops):
    weights = edges(np.random.default_rng(2).normal(size=(12, 3)), 3)
    whole = weights.toarray() + loops * np.eye(12)
    d = np.diag(whole.sum(1) ** -0.5)
    np.testing.assert_allclose(normalised(weights, loops).toarray(), d @ whole @ d)


def test_a_scan_without_edges_stays_without():
    lonely = edges(np.zeros((2, 0)))
    assert normalised(lonely).nnz == 0
    np.testing.assert_array_equal(normalised(lonely, loops=1.0).toarray(), np.eye(2))
