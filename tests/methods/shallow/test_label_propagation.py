"""Label propagation against scikit-learn's, and a chain by hand."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.semi_supervised import LabelSpreading

from medtl.methods.shallow.label_propagation import spread


def test_a_chain_of_three_by_hand():
    # 0 - 1 - 2 with the label at 0: degrees 1, 2, 1; S01 = S12 = 1 / sqrt(2). With a = alpha / sqrt(2),
    # F1 = a (F0 + F2), F2 = a F1, F0 = 1 + a F1: F1 = a / (1 - 2 a^2).
    chain = csr_matrix(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], float))
    a = 0.5 / np.sqrt(2)
    middle = a / (1 - 2 * a**2)
    found = spread(chain, np.array([[1.0], [0.0], [0.0]]), 0.5)[:, 0]
    assert found == pytest.approx([1 + a * middle, middle, a * middle])


def test_labels_settle_where_scikit_learns_do():
    random = np.random.default_rng(0)
    label = np.arange(80) % 3
    points = random.normal(size=(80, 2)) + 3 * np.array([[0, 0], [1, 0], [0, 1]])[label]
    known = np.where(np.arange(80) < 20, label, -1)
    theirs = LabelSpreading(kernel="rbf", gamma=1.0, alpha=0.8, max_iter=10000, tol=1e-12).fit(points, known)
    weights = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(weights, 0)  # scikit-learn leaves out loops too
    seeds = np.eye(3)[label] * (np.arange(80) < 20)[:, None]
    ours = spread(csr_matrix(weights), seeds, 0.8)
    shares = ours / ours.sum(axis=1, keepdims=True)
    assert shares == pytest.approx(theirs.label_distributions_, abs=1e-6)
