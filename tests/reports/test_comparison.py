"""What is said of each model is what scikit-learn says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from medtl.reports.comparison import contract, evaluate_models, judge, one_class, what_to_trust
from medtl.trust import Verdict

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


def test_the_numbers_before_and_after_calibration() -> None:
    on = made.scans(120, sites=("here", "there"))
    (result,) = evaluate_models({"m": made.outputs(on, 1.2)}, on, n_bootstrap=20)
    for metrics, p in ((result.metrics, result.probabilities), (result.metrics["uncalibrated"], result.uncalibrated)):
        assert metrics["auroc"] == pytest.approx(roc_auc_score(on.label, p[:, 1]))
        assert metrics["nll"] == pytest.approx(log_loss(on.label, p))
        assert metrics["brier"] == pytest.approx(brier_score_loss(on.label, p[:, 1]))
        assert metrics["accuracy"] == pytest.approx(accuracy_score(on.label, p[:, 1] >= metrics["threshold"]))
        assert metrics["ece_excess"] == pytest.approx(metrics["ece"] - metrics["ece_expected"])
    assert result.metrics["nll"] < result.metrics["uncalibrated"]["nll"]
    here = on.site == "here"
    assert result.sites["here"]["auroc"] == pytest.approx(roc_auc_score(on.label[here], result.probabilities[here, 1]))
    assert sum(site["n_scans"] for site in result.sites.values()) == 120
    assert contract(result)["sites"]["there"]["n_scans"] == 60


def test_a_model_without_trust_keeps_its_own_word() -> None:
    on = made.scans()
    (result,) = evaluate_models({"m": made.outputs(on, 1.0, fitted=False)}, on, n_bootstrap=20)
    np.testing.assert_allclose(result.probabilities, result.uncalibrated)
    assert result.referred is None and result.metrics["threshold"] == 0.5


@pytest.mark.parametrize("on", [made.scans(90, ("a", "b", "c")), made.several_labels()])
def test_other_tasks(on: object) -> None:
    results = evaluate_models({"m": made.outputs(on, 1.0), "n": made.outputs(on, 2.0)}, on, n_bootstrap=20)
    for result in results:
        assert set(result.metrics["classes"]) == set(on.classes)
    assert judge(results[1], on).kind == "better than chance"


def test_what_to_trust() -> None:
    on = made.scans(200)
    (result,) = evaluate_models({"m": made.outputs(on, 2.0)}, on, n_bootstrap=20)
    good = judge(result, on)
    assert what_to_trust(result, good).startswith(good.sentence)
    assert "can be read as they stand" in what_to_trust(result, good)
    (raw,) = evaluate_models({"m": made.outputs(on, 0.6, fitted=False)}, on, n_bootstrap=20)
    assert "off by about" in what_to_trust(raw, good)
    bad = Verdict("not", 0.5, (0.4, 0.6), "Not better.", 0)
    assert what_to_trust(result, bad) == "Not better. Do not rely on it here."


def test_one_class() -> None:
    assert one_class(["a", "a"]) == "a" and one_class(["a", "b"]) is None and one_class([]) is None
