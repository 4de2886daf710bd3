"""What is said of each model is what scikit-learn says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from medtl.reports.comparison import _holm, compare_pairs, contract, evaluate_models, judge, one_class, what_to_trust
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


def test_pairs_are_compared_on_the_same_scans() -> None:
    on = made.scans(160)
    models = {"poor": made.outputs(on, 0.3), "good": made.outputs(on, 2.5, seed=2), "same": made.outputs(on, 0.3)}
    poor, good, same = evaluate_models(models, on, n_bootstrap=20)
    better, none = compare_pairs([(good, poor), (same, poor)], on)
    areas = [roc_auc_score(on.label, result.probabilities[:, 1]) for result in (good, poor)]
    assert better.auroc == pytest.approx(areas[0] - areas[1])
    assert 0 < better.auroc_ci[0] < better.auroc < better.auroc_ci[1] and better.auroc_p < 0.001
    assert better.auroc_p_holm == pytest.approx(2 * better.auroc_p)
    assert better.brier < 0 and better.brier_ci[1] < 0
    assert (none.auroc, none.auroc_p, none.auroc_p_holm, none.brier) == (0, 1, 1, 0)


def test_holm_is_as_in_the_books() -> None:
    """0.01, 0.04, 0.03 of three tests: 3 x 0.01, 2 x 0.03, and 0.04, which may not fall below the one before."""
    assert _holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert _holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0]) and not len(_holm(np.array([])))


def test_thresholds_are_set_on_other_labels_where_there_are_some() -> None:
    on, local = made.scans(60), made.scans(40)
    given = made.outputs(on, 1.0, local=made.outputs(local, 1.0).logits)
    (result,) = evaluate_models({"m": given}, on, n_bootstrap=20, local=local, prevalence={"malignant": 0.1})
    assert [row.n_labels for row in result.operating] == [0, 40, 40, 40]
    assert all(row.named and row.named[0] == 0.1 for row in result.operating)


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
        assert {row.of for row in result.operating} == {*on.classes, "mean"}
        assert [curve.of for curve in result.benefit] == list(on.classes) and result.doubt.e_aurc >= 0
    (pair,) = compare_pairs([(results[1], results[0])], on)
    assert pair.auroc > 0 and pair.brier < 0
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
