"""What the next steps need is made while the model works on this one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")

#: Batches that wait for the model: one more than it takes to bridge a slow read.
AHEAD = 2
#: Threads that feed a GPU, which is faster than one thread draws random numbers; each makes one of as many batches.
FEEDING = 4


class Loader(Generic[Made]):
    """Makes batches in background threads, a few steps ahead, and hands them out in order.

    What is made for a step may depend on nothing but the step, so a run with a loader sees the same batches as one
    without, to the last bit, and a resumed run those of an unbroken one. PyTorch's DataLoader would do it in processes,
    whose batches have to be copied, and would copy the cohort into each; what takes time here (reading, arithmetic on
    tensors) lets other threads go on. The threads use one core each, so that they do not push the model's aside.

        with Loader(make, range(first, last), device) as loader:
            for batch in loader:
                ...

    Args:
        make: makes what a step needs; it runs in other threads, several at a time where `device` is a GPU.
        steps: in which order.
        device: where the model is. On a GPU what is made goes there beside the model's own work (a CUDA stream).
        ahead: how many steps; by default 2, and 4 where `device` is a GPU. 0 makes each when it is asked for, in the
            caller's thread.

    Attributes:
        waited: seconds that the caller waited so far.
    """

    def __init__(
        self, make: Callable[[int], Made], steps: Iterable[int], device: torch.device, ahead: int | None = None
    ) -> None:
        threads = FEEDING if device.type == "cuda" else 1
        ahead = max(AHEAD, threads) if ahead is None else ahead
        self.waited = 0.0
        self._make = make
        self._steps = iter(steps)
        self._device = device
        self._queue: deque[Future[Any]] = deque()
        self._streams = threading.local()
        self._threads = _one_core_each(threads) if ahead else None
        for _ in range(ahead):
            self._order()

    def __enter__(self) -> Loader[Made]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Made]:
        """What was made, step by step.

        Raises:
            whatever `make` raised, at the step for which it did.
        """
        while True:
            if self._threads is None:
                step, began = next(self._steps, None), time.perf_counter()
                if step is None:
                    return
                made, ready = self._make(step), None
            else:
                if not self._queue:
                    return
                future = self._queue.popleft()
                self._order()
                began = time.perf_counter()
                made, ready = future.result()
            self.waited += time.perf_counter() - began
            if ready is not None:
                _hand_over(made, ready, self._device)
            yield made

    def close(self) -> None:
        """End the threads; what they are making now is waited for, and what they have not begun is left."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self._queue.clear()

    def _order(self) -> None:
        step = next(self._steps, None)
        if step is not None and self._threads is not None:
            self._queue.append(self._threads.submit(self._work, step))

    def _work(self, step: int) -> tuple[Made, torch.cuda.Event | None]:
        """What was made, and on a GPU the event after which it is there."""
        if self._device.type != "cuda":
            return self._make(step), None
        if not hasattr(self._streams, "own"):
            self._streams.own = torch.cuda.Stream(self._device)
        with torch.cuda.stream(self._streams.own):
            return self._make(step), self._streams.own.record_event()


def _one_core_each(several: int) -> ThreadPoolExecutor:
    """Threads whose arithmetic takes one core each; that of the caller's thread stays as it was.

    PyTorch has a number for each thread, and one that threads yet to come begin with. Setting the first sets the second
    too, which is put back here once all have set theirs.
    """
    own = torch.get_num_threads()
    begun = threading.Barrier(several + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first use of PyTorch takes the number to begin with: this is it
        torch.set_num_threads(1)
        begun.wait()

    threads = ThreadPoolExecutor(several, "medtl-loader", initializer=begin)
    for _ in range(several):
        threads.submit(int)
    begun.wait()
    torch.set_num_threads(own)
    return threads


def _hand_over(made: Any, ready: torch.cuda.Event, device: torch.device) -> None:
    """Let the model's stream wait for the batch, and the batch's memory for the model's stream."""
    stream = torch.cuda.current_stream(device)
    stream.wait_event(ready)
    for tensor in _tensors(made):
        tensor.record_stream(stream)


def _tensors(made: Any) -> Iterator[Tensor]:
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, Mapping):
        yield from _tensors(tuple(made.values()))
    elif isinstance(made, tuple):
        for part in made:
            yield from _tensors(part)
