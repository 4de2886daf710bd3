"""Freed memory is kept while it trains, and goes back afterwards."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from medtl.training import memory
from medtl.training.memory import kept_memory

BLOCK = 64  # MiB
#: In a process of its own, whose memory no other test has been in: page faults of forty blocks, each filled and freed
#: before the next, and MiB held, before, within and after a fault within.
CHILD = f"""
import json, resource
from pathlib import Path
import torch
from medtl.training.memory import kept_memory

def block(size={BLOCK}):
    return torch.ones(size * 2**18)

def faults(size={BLOCK}):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        block(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

block(), block(8)
found = dict(usual=faults(), small=faults(8), before=held())
try:
    with kept_memory():
        blocks = [block(4 * {BLOCK}) for _ in range(10)]  # 2.5 GiB: more than 31 bits count
        del blocks
        found |= dict(kept=held(), within=faults())
        raise ZeroDivisionError
except ZeroDivisionError:
    found |= dict(after=held(), small_after=faults(8))
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is what is told")
def test_it_is_fetched_once_and_not_page_by_page_each_time_and_goes_back_in_the_end():
    done = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["within"] < 0.5 * found["usual"]
    assert found["kept"] > found["before"] + 36 * BLOCK
    assert found["after"] < found["before"] + BLOCK / 2
    assert found["small_after"] <= found["small"] + 2 * 8 * 256  # no worse than before, but for two blocks


def fail(name):
    pytest.fail("it asks for a C library")


@pytest.mark.parametrize(("system", "library"), [("darwin", fail), ("win32", fail), ("linux", lambda name: object())])
def test_elsewhere_nothing_is_done(monkeypatch, system, library):
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.ctypes, "CDLL", library)  # musl has none of it
    with kept_memory():
        pass
