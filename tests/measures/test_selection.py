"""Which scans are chosen: hand-made cases, one a patient, none twice, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.measures.selection import SELECTIONS, badge, core_set, entropy, margin, typical


def made(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), n)
    return rng.normal(size=(n, 5)), probabilities, np.array([f"p{i // 2}" for i in range(n)])


@pytest.mark.parametrize("name", list(SELECTIONS))
def test_one_scan_a_patient_and_none_who_is_labelled(name: str) -> None:
    features, probabilities, patient = made()
    labelled = np.array([0, 10])
    rows = SELECTIONS[name](features, probabilities, labelled, 12, 0, patient)
    assert len(rows) == 12 == len(set(patient[rows]))
    assert not set(patient[rows]) & set(patient[labelled])
    again = SELECTIONS[name](features, probabilities, labelled, 12, 0, patient)
    assert (rows == again).all()


@pytest.mark.parametrize("name", list(SELECTIONS))
def test_as_many_as_there_are_and_a_first_choice_without_any_label(name: str) -> None:
    features, probabilities, patient = made(12)
    rows = SELECTIONS[name](features, probabilities, [], 50, 1, patient)
    assert sorted(patient[rows]) == sorted(set(patient))
    assert len(SELECTIONS[name](features, probabilities, np.arange(12), 3, 1, patient)) == 0


def test_entropy_and_margin_ask_what_the_model_is_least_sure_of() -> None:
    probabilities = np.array([[0.5, 0.5, 0.0], [0.34, 0.33, 0.33], [0.98, 0.01, 0.01], [0.6, 0.2, 0.2]])
    told = (np.eye(4), probabilities, [], 4, 0, np.arange(4))
    assert entropy(*told).tolist() == [1, 3, 0, 2]
    assert margin(*told).tolist()[2:] == [3, 2] and margin(*told)[0] == 0


def test_core_set_takes_the_farthest_from_all_that_is_labelled() -> None:
    angle = np.radians([0, 10, 90, 180, 170])
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert core_set(features, np.full((5, 2), 0.5), [0], 3, 0, np.arange(5)).tolist() == [3, 2, 1]


def test_core_set_leaves_no_scan_farther_than_twice_the_best_centres_would() -> None:
    """Gonzalez (1985): greedy k-centre is within a factor of two."""
    from itertools import combinations

    features, probabilities, _ = made(12, seed=3)
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    apart = np.linalg.norm(z[:, None] - z[None], axis=2)

    def radius(rows) -> float:
        return float(apart[:, list(rows)].min(axis=1).max())

    best = min(radius(rows) for rows in combinations(range(12), 3))
    assert radius(core_set(features, probabilities, [], 3, 0, np.arange(12))) <= 2 * best + 1e-9


def test_typical_takes_one_of_each_group_before_a_second_and_the_middle_of_it() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    spread = np.linspace(0, 0.3, 10)
    features = np.concatenate([c + s * 0.1 * rng.normal(size=3) for c in centres for s in spread]).reshape(30, 3)
    group = np.repeat([0, 1, 2], 10)
    rows = typical(features, np.full((30, 2), 0.5), [], 3, 0, np.arange(30))
    assert sorted(group[rows]) == [0, 1, 2]
    assert (rows % 10 < 8).all()  # none of the two farthest from the middle
    more = typical(features, np.full((30, 2), 0.5), [0], 2, 0, np.arange(30))
    assert sorted(group[more]) == [1, 2]


def test_badge_begins_with_the_longest_gradient_and_equals_the_gradients_written_out() -> None:
    features, probabilities, _ = made(20, seed=1)
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    gradient = (np.eye(3)[probabilities.argmax(1)] - probabilities)[:, :, None] * z[:, None]
    norm = (gradient.reshape(20, -1) ** 2).sum(1)
    rows = badge(features, probabilities, [], 2, 0, np.arange(20))
    assert rows[0] == norm.argmax()
    sure = probabilities.copy()
    sure[:10] = np.eye(3)[probabilities[:10].argmax(1)]  # no gradient, so all ten are one place
    assert (badge(features, sure, [], 10, 0, np.arange(20)) < 10).sum() <= 1
