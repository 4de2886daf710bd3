"""Draws are nested, and no patient is on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.search.learning_curve import chain, cross_validated, fewest, first, measured

RNG = np.random.default_rng(0)
LABEL = np.repeat([0, 1], 60)
PATIENT = np.array([f"p{i // 2}" for i in range(120)])
SCORE = RNG.normal(size=120) + 1.2 * LABEL


class Spy:
    """A learner that keeps what it was given, and says what the noise lets through."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.rows.append(rows)
        noise = np.random.default_rng(len(self.rows)).normal(size=120) * 3 / np.sqrt(len(rows))
        return np.stack([np.zeros(120), SCORE + noise], axis=1)


def test_five_shots_contain_one_and_are_of_as_many_patients() -> None:
    order = chain(LABEL, PATIENT, np.arange(120), seed=3)
    assert fewest(order) == 30
    one, five = first(order, 1), first(order, 5)
    assert set(one) < set(five) and len(set(PATIENT[five])) == 10
    assert np.bincount(LABEL[five]).tolist() == [5, 5]
    assert not np.array_equal(five, first(chain(LABEL, PATIENT, np.arange(120), seed=4), 5))


def test_it_learns_from_the_pool_alone_and_all_of_it_once() -> None:
    pool, apart = np.r_[0:40, 60:100], np.r_[40:60, 100:120]
    spy = Spy()
    points = list(measured(spy, LABEL, np.arange(120), pool, apart, (1, 5, 40), draws=3))
    assert [(point.shots, point.draw) for point in points] == [(1, 0), (5, 0), (40, 0), (1, 1), (5, 1), (1, 2), (5, 2)]
    assert all(set(rows) <= set(pool) for rows in spy.rows)
    assert all(point.labelled == 2 * point.shots and 0 < point.standard_error < 0.5 for point in points)


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="held apart"):
        next(measured(Spy(), LABEL, PATIENT, np.arange(0, 120, 2), np.arange(1, 120, 2), (1,)))


def test_cross_validation_measures_on_patients_that_the_model_has_not_seen() -> None:
    """A learner that knows its own scans by heart, and nothing of others, is no better than chance."""

    def by_heart(rows: np.ndarray) -> np.ndarray:
        known = np.isin(PATIENT, PATIENT[rows])
        said = np.random.default_rng(len(rows)).normal(size=120)
        said[known] = 10 * LABEL[known]
        return np.stack([-said, said], axis=1)

    points = list(cross_validated(by_heart, LABEL, PATIENT, np.arange(120), (5, 20), draws=3))
    assert {point.shots for point in points} == {5, 20}
    assert abs(np.mean([point.auroc for point in points]) - 0.5) < 0.15


def test_cross_validation_of_one_patient_a_class_says_nothing() -> None:
    assert not list(cross_validated(Spy(), LABEL, PATIENT, np.array([0, 60]), (1,)))
