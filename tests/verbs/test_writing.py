"""What a Run is written from."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.trust import fit_familiarity, fit_trust, out_of_distribution
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


@pytest.mark.parametrize("prior", ["source", "em", "bbse"])
def test_the_models_expect_the_shares_that_the_config_says(prior: str) -> None:
    """Two thirds are ill at the target and a third at the source; each class looks as at home."""
    rng = np.random.default_rng(0)
    label, there = np.arange(1500) % 3 == 0, np.arange(1500) % 3 != 0
    home, here = (np.stack([-x, x], axis=1) for x in (rng.normal(2 * of - 1) for of in (label, there)))
    home[:, 1] -= np.log(2)  # as the head expects the source
    here[:, 1] -= np.log(2)
    method, calibrator = _writing.for_prior(prior, _writing.Said(home, home, here, here), label.astype(int), "binary")
    trust = fit_trust(home, label.astype(int), None, None, None, "binary", method, calibrator=calibrator)
    said = trust.calibrator(here, "binary")[:, 1]
    if prior == "source":
        assert said.mean() < 0.6
    else:
        assert said.mean() == pytest.approx(2 / 3, abs=0.04)
        usual = fit_trust(home, label.astype(int), None, None, None, "binary")
        calls = said >= trust.threshold, usual.calibrator(here, "binary")[:, 1] >= usual.threshold
        np.testing.assert_array_equal(*calls)  # sensitivity and specificity stay where they were set
