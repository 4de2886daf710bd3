"""The decision curve by Vickers' formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.measures import decision_curve


def test_net_benefit_by_hand():
    # At 0.2: of 10 scans 3 of 4 positives found, 2 false alarms that weigh a quarter each; at 0.5: 2 and 1, weigh 1.
    label = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    p = [0.9, 0.5, 0.2, 0.1, 0.6, 0.2, 0.1, 0.1, 0.0, 0.0]
    curve = decision_curve(label, p, [0.2, 0.5])
    assert curve.net_benefit == pytest.approx([(3 - 2 / 4) / 10, (2 - 1) / 10])
    assert curve.treat_all == pytest.approx([(4 - 6 / 4) / 10, (4 - 6) / 10])


def test_a_perfect_model_gains_the_prevalence_and_treating_all_nothing_at_it():
    label = np.repeat([1, 0], [30, 70])
    curve = decision_curve(label, label.astype(float))
    assert curve.net_benefit == pytest.approx(np.full(99, 0.3))
    assert curve.treat_all[29] == pytest.approx(0)
    assert curve.threshold[[0, -1]] == pytest.approx([0.01, 0.99])


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50))
def test_it_is_bounded_and_does_not_mind_order_or_unlabelled_scans(pairs):
    label, p = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs])
    curve = decision_curve(label, p)
    assert (curve.net_benefit <= label.mean() + 1e-9).all()
    slow = [np.mean((p >= t) & (label == 1)) - np.mean((p >= t) & (label == 0)) * t / (1 - t) for t in curve.threshold]
    np.testing.assert_allclose(curve.net_benefit, slow, atol=1e-9)
    more = decision_curve(np.r_[label[::-1], -1], np.c_[1 - np.r_[p[::-1], 0.5], np.r_[p[::-1], 0.5]])
    np.testing.assert_allclose(more.net_benefit, curve.net_benefit, atol=1e-9)


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match="below 1"):
        decision_curve([0, 1], [0.2, 0.7], [0.5, 1.0])
    with pytest.raises(ValueError, match="of one class"):
        decision_curve([0, 1], np.full((2, 3), 1 / 3))
    assert np.isnan(decision_curve([-1], [0.5]).net_benefit).all()
