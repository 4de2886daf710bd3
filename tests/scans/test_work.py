"""Work on many files: in copies of this process, in fresh ones, or here, and always in order."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

from medtl.scans import work
from medtl.scans.work import in_parallel

LINUX = pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="forks on Linux only")


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def fatal(number: int) -> int:
    if number == 200:
        os._exit(3)
    return number


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `medtl index`, which loads none; other tests do."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@LINUX
def test_many_items_go_to_copies_of_this_process(without_torch: None) -> None:
    results = list(in_parallel(squared, list(range(1000)), "Squaring"))
    assert [square for square, _ in results] == [number**2 for number in range(1000)]
    assert os.getpid() not in {process for _, process in results}


def test_few_items_stay_here() -> None:
    assert {process for _, process in in_parallel(squared, list(range(20)), "Squaring")} == {os.getpid()}


def test_none_fork_beside_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert {process for _, process in in_parallel(squared, list(range(1000)), "Squaring")} == {os.getpid()}


@LINUX
def test_a_process_that_dies_does_not_leave_us_waiting(without_torch: None) -> None:
    with pytest.raises(BrokenProcessPool):
        list(in_parallel(fatal, list(range(1000)), "Dying"))


@LINUX
def test_whoever_stops_early_leaves_no_process(without_torch: None, monkeypatch: pytest.MonkeyPatch) -> None:
    results = in_parallel(squared, list(range(work.MANY)), "Squaring")
    _, process = next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
