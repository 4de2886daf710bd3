"""Batches are made ahead, in order, the same ones as without, and nothing is left behind."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.data import loader as module
from medtl.data.augmentation import Augmentation
from medtl.data.loader import Loader
from medtl.data.samplers import Deal
from medtl.training import Role

CPU = torch.device("cpu")


class Pictures:
    """What a Role needs of a cohort, in memory."""

    def __init__(self, n: int, size: int) -> None:
        self.stack = np.random.default_rng(0).uniform(-1, 1, (n, 1, size, size)).astype(np.float32)
        self.label = np.arange(n) % 2
        self.site = np.zeros(n, np.int64)

    def __len__(self) -> int:
        return len(self.stack)

    def pixels(self, i: int) -> np.ndarray:
        return self.stack[i][None]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("medtl-loader")]


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_batches_are_the_same_to_the_last_bit_and_resumable_at_any_step(ahead: int) -> None:
    role = Role(Pictures(40, 32), Deal(np.arange(40) % 3, 8, seed=1), augmentation=Augmentation())
    plain = [role.batch(step, 5, CPU) for step in range(9)]
    for first in (0, 4, 8, 9):
        with Loader(lambda step: role.batch(step, 5, CPU), range(first, 9), CPU, ahead) as loader:
            made = list(loader)
        assert len(made) == 9 - first
        for expected, batch in zip(plain[first:], made, strict=True):
            assert torch.equal(batch.pixels, expected.pixels)
            assert torch.equal(batch.row, expected.row) and torch.equal(batch.label, expected.label)


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(0, 12), ahead=st.integers(0, 4), seed=st.integers(0, 9))
def test_order_is_kept_and_the_queue_bounded(steps: int, ahead: int, seed: int) -> None:
    random, made, taken = np.random.default_rng(seed), [], 0

    def make(step: int) -> int:
        assert step <= taken + ahead
        time.sleep(random.uniform(0, 0.002))
        made.append(step)
        return step * 10

    with Loader(make, range(steps), CPU, ahead) as loader:
        for step, got in enumerate(loader):
            assert got == step * 10
            taken = step + 1
    assert made == list(range(steps))


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_next_is_made_while_the_caller_works(ahead: int) -> None:
    """The caller works until the next is there, which nobody but another thread can make meanwhile."""
    made = [threading.Event() for _ in range(12)]
    with Loader(lambda step: made[step].set(), range(12), CPU, ahead) as loader:
        for step, _ in enumerate(loader):
            for later in made[step + 1 : step + 1 + ahead]:
                assert later.wait(60)
            assert not any(later.is_set() for later in made[step + 1 + ahead :])


def test_waiting_is_counted_and_the_callers_own_work_is_not() -> None:
    began, work = time.perf_counter(), 12 * 0.01
    with Loader(lambda step: time.sleep(0.02), range(12), CPU, 0) as loader:
        for _ in loader:
            time.sleep(0.01)
    passed = time.perf_counter() - began
    assert 12 * 0.019 < loader.waited < passed - 0.9 * work


def test_all_threads_that_feed_a_gpu_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits until as many as there are make a batch at the same time."""
    monkeypatch.setattr(Loader, "_work", lambda self, step: (self._make(step), None))  # as on the CPU
    together = threading.Barrier(module.FEEDING, timeout=60)
    with Loader(lambda step: together.wait() * 0 + step, range(2 * module.FEEDING), torch.device("cuda")) as loader:
        assert list(loader) == list(range(2 * module.FEEDING))


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_at_its_step_and_leaves_no_thread(ahead: int) -> None:
    def make(step: int) -> int:
        if step == 3:
            raise OSError("the disk is gone")
        return step

    got = []
    with pytest.raises(OSError, match="the disk is gone"), Loader(make, range(10), CPU, ahead) as loader:
        for made in loader:
            got.append(made)
    assert got == [0, 1, 2]
    assert threads() == []


def test_whoever_is_interrupted_leaves_no_thread_and_no_work() -> None:
    begun = []

    def make(step: int) -> int:
        begun.append(step)
        time.sleep(0.01)
        return step

    with pytest.raises(KeyboardInterrupt), Loader(make, itertools.count(), CPU, 3) as loader:
        for made in loader:
            assert threads()
            if made == 2:
                raise KeyboardInterrupt
    assert threads() == []
    last = len(begun)
    time.sleep(0.05)
    assert len(begun) == last <= 7


def test_the_callers_arithmetic_keeps_its_cores() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with Loader(lambda step: torch.get_num_threads(), range(3), CPU) as loader:
            assert list(loader) == [1, 1, 1]
            assert torch.get_num_threads() == 2
            found = []
            other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
            other.start()
            other.join()
            assert found == [2]  # nor has any other thread fewer
    finally:
        torch.set_num_threads(before)


def test_tensors_are_found_wherever_a_batch_holds_them() -> None:
    role = Role(Pictures(8, 16), Deal(np.zeros(8), 4, seed=1), labelled=False, augmentation=None)
    batch = role.batch(0, 0, CPU)
    found = list(module._tensors({"source": batch, "number": 3}))
    assert [id(tensor) for tensor in found] == [id(batch[k]) for k in (0, 1, 3, 4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gets_the_same_batches() -> None:
    role = Role(Pictures(64, 64), Deal(np.zeros(64), 32, seed=1), augmentation=None)
    device = torch.device("cuda")
    with Loader(lambda step: role.batch(step, 5, device), range(20), device) as loader:
        for step, batch in enumerate(loader):
            torch.cuda._sleep(1_000_000)
            assert batch.pixels.is_cuda
            assert torch.equal(batch.pixels.cpu(), role.batch(step, 5, CPU).pixels)
