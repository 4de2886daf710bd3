"""The same work on many files: here while they are few, on all cores where it pays, on a cluster if asked for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from multiprocessing import get_context
from typing import TypeVar

import joblib
from joblib.parallel import get_active_backend

from medtl.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIAL, PAYS = 0.3, 5.0  # seconds: after the first, is there more than the second left? Processes start in about 2
BATCH = 32  # items that go to a process at once
MANY = 400  # items for which copying this process pays, which takes a twentieth of a second


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], doing: str) -> Iterator[Result]:
    """`work(item)` of each item, in order, with a progress bar that says what it is `doing`."""
    results = _forked(work, items) if len(items) >= MANY and _may_fork() else _results(work, items)
    return track(results, doing, total=len(items))


def _may_fork() -> bool:
    """Whether processes can be copies of this one, which start at once.

    That is safe on Linux, while no other thread runs here that may hold a lock, and before PyTorch has started its own.
    """
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    return sys.platform == "linux" and alone and joblib.cpu_count() > 1 and not on_a_cluster()


def _forked(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """On all cores at once. The processes are made here and now, before a progress bar has its thread."""
    pool = ProcessPoolExecutor(joblib.cpu_count(), get_context("fork"))
    batches = pool.map(_each, repeat(work), [items[at : at + BATCH] for at in range(0, len(items), BATCH)])

    def results() -> Iterator[Result]:
        with pool:
            yield from chain.from_iterable(batches)

    return results()


def _results(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Here, until it is clear that starting fresh processes on all cores pays; on a cluster if there is one."""
    done = 0
    if not on_a_cluster():
        for item in items:
            yield work(item)
            done += 1
            if done == 1:
                start = time.monotonic()  # the first waits for what it imports
            spent = time.monotonic() - start
            if done > 1 and spent > TRIAL and spent / (done - 1) * (len(items) - done) > PAYS:
                break
    if done < len(items):
        parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator", batch_size=1)
        batches = (items[at : at + BATCH] for at in range(done, len(items), BATCH))
        for batch in parallel(joblib.delayed(_each)(work, batch) for batch in batches):
            yield from batch


def on_a_cluster() -> bool:
    """Whether `medtl.cluster.work_on` is in force."""
    return "Dask" in type(get_active_backend()[0]).__name__


def _each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]
