"""Referring the doubtful: the cut by hand, on other scans, and beside the risk-coverage curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.measures import selective as measures
from medtl.trust.selective import doubtful_below, sureness


def test_sureness_is_the_probability_of_the_call():
    assert sureness([[0.3, 0.7], [0.6, 0.4]], [1, 1]).tolist() == [0.7, 0.4]
    assert sureness([[0.9, 0.2, 0.4]], [[1, 0, 1]]) == pytest.approx([(0.9 + 0.8 + 0.4) / 3])


def test_the_cut_by_hand():
    sure = [0.9, 0.5, 0.7, 0.6, 0.8]
    assert doubtful_below(sure, 0.2) == pytest.approx(0.55)
    assert doubtful_below(sure, 0.0) == 0.0
    assert np.mean(np.array(sure) < doubtful_below(sure, 1.0)) == 1
    assert np.sum(np.full(9, 0.7) < doubtful_below(np.full(9, 0.7), 0.2)) == 0  # equally sure: none before the others


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.floats(0, 1), st.integers(0, 10_000))
def test_the_share_of_the_calibration_scans_is_below(n, share, seed):
    sure = np.random.default_rng(seed).random(n)
    assert np.sum(sure < doubtful_below(sure, share)) == round(share * n)


def test_the_share_holds_on_other_scans_and_the_rest_are_called_better():
    generator = np.random.default_rng(0)

    def draw(n):
        p = generator.beta(0.7, 0.7, n)
        return (generator.random(n) < p).astype(int), np.stack([1 - p, p], axis=1)

    (_, p), (label, others) = draw(2000), draw(4000)
    cut = doubtful_below(sureness(p, p.argmax(axis=1)), 0.2)
    called = others.argmax(axis=1)
    kept = sureness(others, called) >= cut
    assert 0.77 < kept.mean() < 0.83
    right = called == label
    assert right[kept].mean() > right.mean() + 0.04
    assert right[kept].mean() == pytest.approx(measures.accuracy_without(label, others, 1 - kept.mean()), abs=1e-9)
