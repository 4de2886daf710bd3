"""The fold keeps patients apart, and fewer steps are taken only where the labels ask for them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from medtl.training import early_stopping
from medtl.training.early_stopping import enough_steps, fold_of
from medtl.training.loop import EPOCH


class Labels(SimpleNamespace):
    def __len__(self):
        return len(self.label)


def labels(a_class=20, scans=2):
    label = np.repeat(np.arange(2), a_class * scans)
    patient = np.repeat(np.arange(2 * a_class), scans).astype(str)
    return Labels(label=label, patient=patient, classes=["no", "yes"], multilabel=False)


def test_a_fifth_of_the_patients_of_each_class():
    few = labels()
    rows = fold_of(few, seed=0)
    assert not set(few.patient[rows]) & set(few.patient[~rows])
    assert [len(set(few.patient[rows & (few.label == c)])) for c in (0, 1)] == [4, 4]
    assert (fold_of(few, seed=0) == rows).all() and (fold_of(few, seed=1) != rows).any()


def test_none_with_fewer_patients_however_many_scans():
    assert fold_of(labels(a_class=19, scans=5), seed=0) is None
    missing = labels()
    missing.classes = ["no", "yes", "other"]
    assert fold_of(missing, seed=0) is None


PATIENT = np.repeat(np.arange(8), 2).astype(str)


def told(*by_epoch):
    return {epoch: np.repeat(values, 2) for epoch, values in enumerate(by_epoch)}


def test_all_steps_unless_fewer_are_surely_better():
    start, rest = np.full(8, 0.7), np.linspace(0.0, 0.1, 8)
    assert enough_steps(told(start, start - 0.2, start - 0.3), PATIENT, 2 * EPOCH) == 2 * EPOCH
    assert enough_steps(told(start, 0.2 + rest, 0.4 + rest), PATIENT, 2 * EPOCH) == EPOCH
    assert enough_steps(told(start, start + 1, start + 1), PATIENT, 2 * EPOCH) == 0
    assert enough_steps(told(start, start, start), PATIENT, 2 * EPOCH) == 2 * EPOCH


def test_a_difference_that_hangs_on_one_patient_is_not_sure():
    one = np.full(8, 0.5)
    one[0] = 1.5
    assert enough_steps(told(np.full(8, 0.5), one), PATIENT, EPOCH) == EPOCH


def test_steps_that_are_no_multiple_of_an_epoch():
    low, high = np.full(8, 0.1), np.full(8, 0.9)
    assert enough_steps(told(high, low, high + np.arange(8) / 100), PATIENT, EPOCH + 7) == EPOCH
    assert enough_steps(told(high, low), PATIENT, 7) == 7


def test_how_surprising_labels_are_does_not_hang_on_the_gain(monkeypatch):
    score = np.array([-2.0, -1.0, 1.0, -0.5, 1.0, 2.0])
    few = SimpleNamespace(label=np.array([0, 0, 0, 1, 1, 1]), multilabel=False)

    def surprise(size):
        logits = size * np.stack([-score, score], axis=1)
        monkeypatch.setattr(early_stopping, "outputs", lambda model, cohort: (logits, None))
        return early_stopping.surprise(None, few, np.zeros(2))

    assert len(surprise(1.0)) == 6 and surprise(1.0)[2] > surprise(1.0)[0]
    assert surprise(2.0) == pytest.approx(surprise(1.0), abs=0.4)  # as they are, the third would differ by 1.9


def test_a_model_that_expects_the_classes_alike_is_told_how_often_they_are_labelled(monkeypatch):
    few = SimpleNamespace(label=np.array([0, 0, 0, 1]), multilabel=False)
    monkeypatch.setattr(early_stopping, "outputs", lambda model, cohort: (np.zeros((4, 2)), None))
    found = early_stopping.surprise(None, few, np.log([0.75, 0.25]))
    assert found == pytest.approx(-np.log([0.75, 0.75, 0.75, 0.25]))
