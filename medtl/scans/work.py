"""The same work on many files: here while they are few, on all cores where it pays, on a cluster if asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib
from joblib.parallel import get_active_backend

from medtl.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIAL, PAYS = 0.3, 5.0  # seconds: after the first, is there more than the second left? Processes start in about 2
BATCH = 32  # items that go to a process at once


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], doing: str) -> Iterator[Result]:
    """`work(item)` of each item, in order, with a progress bar that says what it is `doing`."""
    return track(_results(work, items), doing, total=len(items))


def _results(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
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
