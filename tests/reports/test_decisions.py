"""The curves of net benefit and referral show what was measured."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medtl.reports import decisions

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


@pytest.fixture(scope="module")
def data() -> object:
    return made.report(examples=(), log=None, projection=None)


def test_net_benefit_is_a_hundred_scans_and_every_model_has_a_line(data: object) -> None:
    axes = decisions.benefit(data, 0).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    curve = data.handed_over.benefit[0]
    shown = curve.threshold <= decisions.SHOWN_TO
    np.testing.assert_allclose(lines["adapted"].get_ydata(), 100 * curve.net_benefit[shown])
    np.testing.assert_allclose(lines["act on all scans"].get_ydata(), 100 * curve.treat_all[shown])
    assert {model.name for model in data.models} < set(lines) and "malignant" in axes.get_xlabel()
    assert axes.get_ylim()[1] >= 100 * curve.net_benefit[shown].max()


def test_the_mark_lies_where_a_fifth_is_referred(data: object) -> None:
    axes = decisions.referral(data).axes[0]
    doubt = data.handed_over.doubt
    mark = next(line for line in axes.lines if line.get_marker() == "o")
    assert mark.get_xdata()[0] == pytest.approx(0.8)
    assert mark.get_ydata()[0] == pytest.approx(1 - doubt.accuracy_kept)
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["adapted"].get_ydata(), doubt.risk)


def test_a_class_that_is_not_there_and_a_model_without_doubt(data: object) -> None:
    models = tuple(replace(model, doubt=None) if model.name == "fine-tuned" else model for model in data.models)
    labels = [line.get_label() for line in decisions.referral(replace(data, models=models)).axes[0].lines]
    assert "fine-tuned" not in labels and "source-only" in labels
    three = made.report(made.scans(90, ("a", "b", "c")), examples=(), log=None, projection=None)
    assert [decisions.benefit(three, k).axes[0].get_xlabel().split(" of ")[1] for k in range(3)] == [
        f"{name} on" for name in "abc"
    ]
