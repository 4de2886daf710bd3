"""What a Run is written from."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.trust import fit_familiarity, out_of_distribution
from medtl.verbs import _writing

FEATURES = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)


class Scans:
    """A cohort that knows its features."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def select(self, rows: np.ndarray) -> Scans:
        return Scans(self.features[rows])


@pytest.mark.parametrize(("most", "at_home"), [(1000, 40), (24, 40), (24, 1), (2, 1)])
def test_familiarity_is_the_same_from_the_scans_that_it_looks_at(monkeypatch, most: int, at_home: int) -> None:
    asked = []

    def outputs(classifier: None, cohort: Scans) -> tuple[None, np.ndarray]:
        asked.append(len(cohort))
        return None, cohort.features

    monkeypatch.setattr(out_of_distribution, "_MOST", most)
    monkeypatch.setattr(_writing, "outputs", outputs)
    some = _writing.train_features(None, Scans(FEATURES[:at_home]), FEATURES[at_home:])
    assert len(some) == min(most, 60) and sum(asked) <= min(most, at_home)
    found, expected = fit_familiarity(some), fit_familiarity(FEATURES)
    np.testing.assert_array_equal(found.distance(FEATURES), expected.distance(FEATURES))


@pytest.mark.parametrize(
    ("here", "own", "learnt", "cut"),
    [(120, True, 60, 60), (120, False, 30 + 60, 5 + 60), (20, True, 30 + 10, 5 + 10), (1, True, 30 + 1, 5)],
)
def test_what_is_familiar_is_cut_on_other_patients_than_it_is_learnt_from(
    monkeypatch, here: int, own: bool, learnt: int, cut: int
) -> None:
    monkeypatch.setattr(_writing, "outputs", lambda classifier, cohort: (None, cohort.features))
    features = np.arange(here, dtype=float)[:, None]
    patient = np.array([f"P{number}" for number in range(here)])
    source, held_out = Scans(np.full((30, 1), -1.0)), np.full((5, 1), -2.0)
    to_learn, to_cut = _writing.what_is_familiar(None, source, held_out, features, patient, own)
    assert (len(to_learn), len(to_cut)) == (learnt, cut)
    assert not set(to_learn[:, 0]) & set(to_cut[:, 0])
