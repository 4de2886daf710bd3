"""The same work on a Dask cluster: a real scheduler and two workers, each a process of its own, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from PIL import Image

import medtl
from medtl.cluster import work_on
from medtl.errors import InputError
from medtl.scans import index_folders
from medtl.scans.work import in_parallel, on_a_cluster

Client = pytest.importorskip("dask.distributed", reason="the extra [cluster] is not installed").Client

CT = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "98892001" / "CT5N"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    host, port = address.removeprefix("tcp://").split(":")
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*dask, "scheduler", "--host", host, "--port", port, "--no-dashboard"]
    worker = [*dask, "worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--host", host]
    processes = [subprocess.Popen(command, **quiet) for command in (scheduler, worker)]  # type: ignore[call-overload]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes[::-1]:
            process.terminate()
        for process in processes:
            process.wait(timeout=20)


def whose(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def test_the_work_is_done_by_the_workers(address: str) -> None:
    assert not on_a_cluster()
    with work_on(address):
        assert on_a_cluster()
        processes = set(in_parallel(whose, list(range(200)), "Asking"))
    assert len(processes) == 2 and os.getpid() not in processes
    assert not on_a_cluster()


def test_indexing_gives_the_same_manifest(address: str, tmp_path: Path) -> None:
    for i in range(40):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    for file in CT.iterdir():
        shutil.copy(file, tmp_path / f"{file.name}.dcm")
    here = index_folders(tmp_path, use_cache=False)
    assert "5" in set(here.frame.n_files)
    there = medtl.index(tmp_path, cluster=address)
    assert there.frame.equals(here.frame)


def test_preparing_gives_the_same_pixels(address: str, tmp_path: Path) -> None:
    from medtl.data import Cohort
    from medtl.intensity import RECIPES

    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    m = index_folders(tmp_path)
    here = Cohort(m, RECIPES["picture"], cache=tmp_path / "here")
    with work_on(address):
        there = Cohort(m, RECIPES["picture"], cache=tmp_path / "there")
    np.testing.assert_array_equal(there.stacked(), here.stacked())


@pytest.mark.slow
def test_no_scheduler_there() -> None:
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp"), work_on("tcp://127.0.0.1:9"):
        pass
