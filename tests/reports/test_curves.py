"""The ROC curve is scikit-learn's, and its band resamples patients."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from medtl.reports.curves import GRID, one_versus_rest, roc_band, said


def made(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    label = random.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(label - 0.5 + random.normal(size=n))))
    return label, np.stack([1 - p, p], 1), np.arange(n) // 2


def test_the_area_under_the_curve_is_the_auroc() -> None:
    label, p, patient = made()
    band = roc_band(label, p, patient)
    assert abs(np.trapezoid(band.sensitivity, GRID) - roc_auc_score(label, p[:, 1])) < 0.01
    assert (band.low <= band.sensitivity + 0.02).all() and (band.sensitivity <= band.high + 0.02).all()


def test_fewer_patients_make_a_wider_band() -> None:
    label, p, _ = made(60)
    many, few = np.arange(60), np.arange(60) // 10
    width = [np.mean(b.high - b.low) for b in (roc_band(np.sort(label), p, many), roc_band(np.sort(label), p, few))]
    assert width[1] > width[0]


def test_more_classes_are_averaged() -> None:
    label = np.arange(30) % 3
    band = roc_band(label, np.eye(3)[label], label)
    np.testing.assert_allclose(band.sensitivity[1:], 1)


def test_one_class_only_draws_the_diagonal() -> None:
    band = roc_band(np.zeros(4, int), np.full((4, 2), 0.5), np.arange(4))
    np.testing.assert_array_equal(band.sensitivity, GRID)


def test_columns() -> None:
    np.testing.assert_array_equal(one_versus_rest(np.array([0, 1]), 2), [[0], [1]])
    np.testing.assert_array_equal(one_versus_rest(np.array([0, 2]), 3), [[1, 0, 0], [0, 0, 1]])
    p = np.array([[0.2, 0.8], [0.6, 0.4]])
    np.testing.assert_array_equal(said(np.array([0, 1]), p), [0.8, 0.4])
    np.testing.assert_array_equal(said(np.array([[1, np.nan], [0, 1]]), p), [0.2, 0.6, 0.4])
