"""How scans are dealt into batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medtl.models.looking import batches


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 100))
def test_batches_hold_each_scan_once_in_order_and_no_more_instances_than_allowed(sizes: list[int], most: int) -> None:
    dealt = list(batches(sizes, most))
    assert [i for batch in dealt for i in batch] == list(range(len(sizes)))
    assert all(len(batch) == 1 or sum(sizes[i] for i in batch) <= most for batch in dealt)
