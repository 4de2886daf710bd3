"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
KEEP = {M_TRIM_THRESHOLD: -1, M_MMAP_MAX: 0}  # -1: never trim
#: Where glibc moves its thresholds by itself as blocks are freed; once told any, it moves them no more.
USUAL = {M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 64 * 2**20, M_MMAP_MAX: 65536}


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, freed memory stays with this process, and goes back to the system at the end.

    glibc hands large blocks back at once, and each activation of a step on the CPU is one: the next step gets them
    again page by page, zeroed, 50,000 page faults for a batch of 32 of each site. What does not fit where other blocks
    were lies beside them, so the peak is a little higher (docs/benchmarks.md, "What a method adds to its two passes").
    Elsewhere than on Linux with glibc nothing is done.
    """
    malloc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if malloc is None or not hasattr(malloc, "mallopt"):  # musl has it not
        yield
        return
    for option, value in KEEP.items():
        malloc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in USUAL.items():
            malloc.mallopt(option, value)
        malloc.malloc_trim(0)
