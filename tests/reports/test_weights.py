"""Which source scans counted, from a Run's folder to the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from medtl.reports.render import render
from medtl.reports.weights import as_numbers, histogram, source_weights_of

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


@pytest.fixture
def weights(tmp_path):
    weight = np.r_[np.zeros(10), np.full(9, 1.0), 11.0]
    np.savez(tmp_path / "features.npz", source_weight=weight, source_weight_id=[f"scan-{i:02d}" for i in range(20)])
    return source_weights_of(tmp_path)


def test_the_extremes_are_named_and_the_effective_number_is_kishs(weights):
    assert weights.effective == pytest.approx(20**2 / (9 + 121))
    assert weights.most[0] == ("scan-19", 11.0) and len(weights.most) == 5
    assert [weight for _, weight in weights.least] == [0.0] * 5
    assert not {name for name, _ in weights.most} & {name for name, _ in weights.least}
    assert as_numbers(weights)["most"]["scan-19"] == 11.0


def test_a_run_without_weights_has_none(tmp_path):
    assert source_weights_of(tmp_path) is None
    np.savez(tmp_path / "features.npz", source_before=np.zeros((3, 2)))
    assert source_weights_of(tmp_path) is None


def test_the_page_shows_them_only_where_there_are_any(weights):
    page = render(made.report(source_weights=weights))
    assert 'id="source-weights"' in page and "scan-19" in page
    assert f'value="{weights.effective!r}"' in page
    assert 'id="source-weights"' not in render(made.report())


def test_the_histogram_holds_every_scan(weights):
    bars = histogram(weights).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 20
