"""Calibration, net benefit, confusion and referral as a report has them, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, multilabel_confusion_matrix

from medtl.reports.probabilities import (
    average_precision_interval,
    benefit_curves,
    calibration_of,
    called,
    confusion_tables,
    doubt,
)

RANDOM = np.random.default_rng(0)
P = RANDOM.random(200)
LABEL = (RANDOM.random(200) < P).astype(int)
BOTH = np.stack([1 - P, P], axis=1)
PATIENT = np.array([f"P{i // 2}" for i in range(200)])


def test_the_parts_of_the_brier_score_sum_to_scikit_learns() -> None:
    found = calibration_of(LABEL, BOTH)
    parts = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"]
    assert parts == pytest.approx(found["brier"]) == pytest.approx(brier_score_loss(LABEL, P))


def test_an_honest_model_has_little_beyond_chance_and_one_that_is_too_sure_much() -> None:
    sure = np.clip(1.8 * (BOTH - 0.5) + 0.5, 0.001, 0.999)
    honest, boasting = calibration_of(LABEL, BOTH), calibration_of(LABEL, sure / sure.sum(1, keepdims=True))
    for name in ("ece", "ece_equal_mass"):
        assert honest[f"{name}_excess"] == pytest.approx(honest[name] - honest[f"{name}_expected"])
        assert abs(honest[f"{name}_excess"]) < 0.05 < boasting[f"{name}_excess"]
    assert boasting["ks"] > honest["ks"] and boasting["classwise_ece"] > honest["classwise_ece"]
    assert boasting["sharpness"] > honest["sharpness"]


def test_net_benefit_is_counted_from_the_confusion_matrix() -> None:
    (curve,) = benefit_curves(LABEL, BOTH, ("no", "yes"))
    assert curve.of == "yes"
    for threshold in (0.1, 0.35, 0.8):
        at = int(np.argmin(np.abs(curve.threshold - threshold)))
        tn, fp, fn, tp = confusion_matrix(LABEL, curve.threshold[at] <= P).ravel()
        weight = threshold / (1 - threshold)
        assert curve.net_benefit[at] == pytest.approx((tp - fp * weight) / 200)
        assert curve.treat_all[at] == pytest.approx((tp + fn - (fp + tn) * weight) / 200)
    assert len(benefit_curves(np.arange(30) % 3, np.full((30, 3), 1 / 3), ("a", "b", "c"))) == 3


def test_confusion_is_scikit_learns() -> None:
    (table,) = confusion_tables(LABEL, called(LABEL, BOTH, 0.3), ("no", "yes"))
    assert np.array_equal(table.counts, confusion_matrix(LABEL, P >= 0.3)) and table.of == ""
    truth = RANDOM.integers(0, 2, (50, 3)).astype(float)
    said = called(truth, RANDOM.random((50, 3)), None)
    tables = confusion_tables(truth, said, ("a", "b", "c"))
    assert np.array_equal([t.counts for t in tables], multilabel_confusion_matrix(truth, said))
    truth[:5, 1] = np.nan
    assert confusion_tables(truth, said, ("a", "b", "c"))[1].counts.sum() == 45


def test_what_referring_a_fifth_leaves() -> None:
    """Ten scans, surest first, wrong at the 3rd, 9th and 10th: a fifth referred takes two of the three errors."""
    sureness = np.linspace(0.98, 0.53, 10)
    label = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 0])
    found = doubt(label, np.stack([1 - sureness, sureness], 1), np.ones(10, int))
    assert (found.accuracy, found.accuracy_kept, found.n_kept) == (pytest.approx(0.7), pytest.approx(7 / 8), 8)
    assert found.coverage == pytest.approx(np.arange(1, 11) / 10)
    assert found.risk == pytest.approx([0, 0, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7, 1 / 8, 2 / 9, 3 / 10])
    assert found.aurc == pytest.approx(found.risk.mean())
    many = doubt(LABEL, BOTH, called(LABEL, BOTH, 0.5))
    assert len(many.coverage) == 100 and many.coverage[-1] == 1 and many.accuracy_kept > many.accuracy


def test_several_labels_have_doubt_too() -> None:
    label = np.array([[1.0, np.nan], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    p = np.array([[0.9, 0.5], [0.1, 0.9], [0.2, 0.1], [0.8, 0.1], [0.45, 0.6]])
    found = doubt(label, p, called(label, p, None))
    assert found.accuracy == pytest.approx(0.9) and found.accuracy_kept == 1.0


def test_the_interval_of_the_average_precision_holds_scikit_learns() -> None:
    low, high = average_precision_interval(LABEL, BOTH, PATIENT, 200, 0)
    assert low < average_precision_score(LABEL, P) < high and high - low < 0.3
