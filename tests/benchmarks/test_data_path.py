"""The benchmark of the data path runs, and compares like with like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_medtl_and_monai_prepare_the_same_pixels_and_are_timed_in_turns(shared_data: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "data_path.py", "--quick", "--only", "prepare"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| medtl |" in done.stdout and "| MONAI |" in done.stdout
    assert "48 scans; pixels differ by 0.0" in done.stdout
    assert "1 repeats" in done.stdout
