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
#: before the next, and MiB held, as they are usually, within, and after a fault within.
CHILD = f"""
import json, resource
from pathlib import Path
import torch
from medtl.training.memory import kept_memory

def block():
    return torch.ones({BLOCK} * 2**18)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        block()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

block()
found = dict(usual=faults(), before=held())
try:
    with kept_memory():
        blocks = [block() for _ in range(4)]
        del blocks
        found |= dict(within=faults(), kept=held())
        raise ZeroDivisionError
except ZeroDivisionError:
    found["after"] = held()
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is what is told")
def test_it_is_fetched_once_and_not_page_by_page_each_time_and_goes_back_in_the_end():
    done = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["within"] < 0.5 * found["usual"]
    assert found["kept"] > found["before"] + 3 * BLOCK
    assert found["after"] < found["before"] + BLOCK / 2


@pytest.mark.parametrize("system", ["darwin", "win32", "linux"])
def test_elsewhere_nothing_is_done(monkeypatch, system):
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # musl has none of it
    with kept_memory():
        pass
