"""Dealing is fair, balanced, and a pure function of the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medtl.data.samplers import Deal

STRATA = st.lists(st.integers(0, 4), min_size=1, max_size=40)
BATCH = st.integers(1, 24)


@given(STRATA, BATCH, st.integers(0, 3))
def test_every_scan_of_a_stratum_is_dealt_once_before_any_twice(strata, batch, seed):
    strata = np.array(strata)
    deal = Deal(strata, batch, seed)
    dealt = np.concatenate([deal.rows(step) for step in range(30)])
    for stratum in np.unique(strata):
        deck = np.flatnonzero(strata == stratum)
        of_deck = dealt[strata[dealt] == stratum]
        whole = len(of_deck) // len(deck) * len(deck)
        for turn in of_deck[:whole].reshape(-1, len(deck)):
            assert sorted(turn) == list(deck)
        assert len(set(of_deck[whole:])) == len(of_deck) - whole


@given(STRATA, BATCH)
def test_strata_are_balanced_in_each_batch_and_equal_over_time(strata, batch):
    strata = np.array(strata)
    names = np.unique(strata)
    deal = Deal(strata, batch, seed=0)
    counts = np.array([[np.sum(strata[deal.rows(step)] == name) for name in names] for step in range(2 * len(names))])
    assert (counts.sum(1) == batch).all()
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(counts.sum(0)) == 0


@given(STRATA, BATCH, st.integers(0, 10_000))
def test_rows_depend_on_the_step_alone(strata, batch, step):
    one, other = Deal(strata, batch, seed=5), Deal(strata, batch, seed=5)
    other.rows(step + 1)
    rows = one.rows(step)
    assert rows.dtype == np.int64
    assert np.array_equal(rows, other.rows(step))


def test_another_seed_deals_otherwise_and_turns_are_shuffled_anew():
    deal = Deal(np.zeros(50), 50, seed=0)
    assert not np.array_equal(deal.rows(0), Deal(np.zeros(50), 50, seed=1).rows(0))
    assert not np.array_equal(deal.rows(0), deal.rows(1))


def test_processes_share_a_batch_without_overlap():
    deal = Deal(np.arange(64) % 2, 32, seed=0)
    rows = deal.rows(3)
    shares = [rows[rank::2] for rank in range(2)]
    assert sorted(np.concatenate(shares)) == sorted(rows)
    assert all(np.sum(share % 2) == 8 for share in shares)


def test_nothing_to_deal_is_an_error():
    with pytest.raises(ValueError, match="no rows"):
        Deal([], 4, seed=0)


# ---- by patient --------------------------------------------------------------------------------------------------
@given(STRATA, st.data(), BATCH, st.integers(0, 3))
def test_every_patient_once_before_any_twice_and_their_scans_in_turn(strata, data, batch, seed):
    strata = np.array(strata)
    patient = np.array(data.draw(st.lists(st.sampled_from("abcdef"), min_size=len(strata), max_size=len(strata))))
    deal = Deal(strata, batch, seed, patient=patient)
    dealt = np.concatenate([deal.rows(step) for step in range(60)])
    for stratum in np.unique(strata):
        of_stratum = dealt[strata[dealt] == stratum]
        names = np.unique(patient[strata == stratum])
        whole = len(of_stratum) // len(names) * len(names)
        for turn in of_stratum[:whole].reshape(-1, len(names)):
            assert sorted(patient[turn]) == list(names)
        for name in names:
            scans = np.flatnonzero((strata == stratum) & (patient == name))
            mine = of_stratum[patient[of_stratum] == name]
            for turn in np.array_split(mine, range(len(scans), len(mine), len(scans))):
                assert len(set(turn)) == len(turn)


def test_a_patient_with_many_scans_is_dealt_no_more_often():
    patient = np.repeat(["many", "one", "two"], [100, 1, 2])
    deal = Deal(np.zeros(103), 10, seed=0, patient=patient)
    dealt = patient[np.concatenate([deal.rows(step) for step in range(30)])]
    assert {name: int((dealt == name).sum()) for name in ("many", "one", "two")} == {
        "many": 100,
        "one": 100,
        "two": 100,
    }


def test_one_scan_a_patient_is_a_plain_deal():
    strata = np.arange(40) % 3
    plain, by_patient = Deal(strata, 7, seed=1), Deal(strata, 7, seed=1, patient=np.arange(40))
    counts = [
        np.bincount(np.concatenate([deal.rows(s) for s in range(60)]), minlength=40) for deal in (plain, by_patient)
    ]
    assert np.ptp(counts, axis=1).max() <= 1


# ---- by weight ---------------------------------------------------------------------------------------------------
WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=30).filter(any)


@given(WEIGHTS, st.integers(0, 3))
def test_a_turn_deals_the_share_of_each_rounded_down_or_up(weights, seed):
    weights = np.array(weights)
    size = int((weights > 0).sum())
    deal = Deal(np.zeros(len(weights)), size, seed, weights=weights)
    share = size * weights / weights.sum()
    turns = np.array([np.bincount(deal.rows(turn), minlength=len(weights)) for turn in range(50)])
    assert (turns.sum(1) == size).all()
    assert (turns >= np.floor(share - 1e-9)).all() and (turns <= np.ceil(share + 1e-9)).all()
    assert (turns[:, weights == 0] == 0).all()
    assert np.abs(turns.mean(0) - share).max() < 0.1  # three of 50 turns more or less, of which it may err either way


@pytest.mark.slow
@given(WEIGHTS, st.integers(0, 3), st.integers(0, 500))
def test_nothing_with_a_weight_starves(weights, seed, begin):
    """From any turn on, a scan that is due a row in s turns is dealt within 3 s."""
    weights = np.array(weights)
    share = (weights > 0).sum() * weights / weights.sum()
    deal = Deal(np.zeros(len(weights)), int((weights > 0).sum()), seed, weights=weights)
    scarce = [row for row in np.flatnonzero(weights) if share[row] > 0.01]
    dealt = [set(deal.rows(turn)) for turn in range(begin, begin + 300)]
    for row in scarce:
        within = int(np.ceil(3 / min(share[row], 1)))
        assert row in set().union(*dealt[:within])


@given(STRATA, st.data(), BATCH, st.integers(0, 10_000))
def test_weighed_strata_stay_equal_and_rows_depend_on_the_step_alone(strata, data, batch, step):
    strata = np.array(strata)
    weights = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=len(strata), max_size=len(strata)))
    )
    weights[0] = 1.0
    deal = Deal(strata, batch, seed=2, weights=weights)
    left = np.unique(strata[weights > 0])
    counts = np.array([[np.sum(strata[deal.rows(s)] == name) for name in left] for s in range(2 * len(left))])
    assert (counts.sum(1) == batch).all() and np.ptp(counts.sum(0)) == 0
    assert np.array_equal(deal.rows(step), Deal(strata, batch, seed=2, weights=weights).rows(step))


@pytest.mark.parametrize("weights", [[0, 0, 0], [1, -1, 1], [1, np.nan, 1], [1, 1]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights are 3 numbers of at least 0"):
        Deal(np.zeros(3), 2, seed=0, weights=weights)
    with pytest.raises(ValueError, match="by patient or by weight"):
        Deal(np.zeros(3), 2, seed=0, weights=np.ones(3), patient=["a", "b", "c"])
