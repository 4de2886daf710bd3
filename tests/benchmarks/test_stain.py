"""The benchmark of stains runs from the scans to its table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_quick_run_prints_both_targets(shared_data: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "stain.py", "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout.splitlines()
    assert printed[0] == "| target | colour | stained | gain |"
    assert [line.split()[1] for line in printed[2:4]] == ["jiangxi", "cellavision"]
