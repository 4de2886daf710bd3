"""The columns of predictions.csv."""

from types import SimpleNamespace

import numpy as np

from medtl.trust import Judgement, Trust, apply_trust, predictions_frame

COLUMNS = ["scan_id", "patient", "p_benign", "p_malignant", "prediction", "prediction_set", "in_distribution", "refer"]
COLUMNS += ["status", "reason"]


def row(scan_id, status="ok", reason=""):
    return SimpleNamespace(scan_id=scan_id, patient=f"P-{scan_id}", status=status, reason=reason)


def test_a_row_for_each_scan_in_the_contracts_columns():
    judgement = Judgement(
        np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 1]), [(0,), (0, 1)], np.array([True, False]), np.array([0, 1])
    )
    frame = predictions_frame([row("a"), row("b")], ["benign", "malignant"], judgement)
    assert list(frame.columns) == COLUMNS
    assert frame.prediction.tolist() == ["benign", "malignant"]
    assert frame.prediction_set.tolist() == ["benign", "benign;malignant"]
    assert frame.refer.tolist() == [False, True] and frame.in_distribution.tolist() == [True, False]
    assert frame.p_malignant.tolist() == [0.2, 0.6]


def test_a_scan_that_cannot_be_read_has_its_row():
    rows = [row("a", "unreadable", "the file is cut off"), row("b", "set aside", "a structured report")]
    frame = predictions_frame(rows, ["benign", "malignant"], None)
    assert list(frame.columns) == COLUMNS
    assert frame.p_benign.isna().all() and (frame.prediction == "").all()
    assert frame.refer.tolist() == [True, False]
    assert frame.reason.tolist() == ["the file is cut off", "a structured report"]
    assert len(predictions_frame([], ["benign", "malignant"], None)) == 0


def test_several_labels_are_joined():
    judged = apply_trust(Trust("multilabel"), np.array([[3.0, -3, 3], [-3, -3, -3]]), None)
    frame = predictions_frame([row("a"), row("b")], ["x", "y", "z"], judged)
    assert frame.prediction.tolist() == ["x;z", ""]
