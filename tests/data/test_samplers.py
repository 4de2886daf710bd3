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
