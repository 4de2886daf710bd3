"""Threads that read at once leave the warnings as they were, and print none meanwhile."""

from __future__ import annotations

import threading
import warnings

import pytest

from medtl.scans.quiet import without_warnings


def test_overlapping_readers_stay_silent_and_put_back_the_filters(recwarn: pytest.WarningsRecorder) -> None:
    before = list(warnings.filters)
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with without_warnings:
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    with without_warnings:
        second_is_in.set()
        first_is_out.wait(10)
        warnings.warn("Invalid value for VR DA: 'a birth date'", stacklevel=1)
    thread.join()
    assert not recwarn.list
    assert warnings.filters == before
