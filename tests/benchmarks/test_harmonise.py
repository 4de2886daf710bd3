"""The benchmark of harmonisation runs from end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT.parent / "shared" / "data" / "ultrasound"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the scans of ../shared/data/ultrasound")
def test_it_trains_a_row_at_pixel_level_and_one_on_batches(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "harmonise.py", "--quick", "--rows", "histogram,FDA"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("| brazil-egypt")]
    assert [line.split(" | ")[1] for line in lines] == ["histogram", "histogram, target statistics", "FDA"]
    assert "s to learn" in lines[0] and "s in training" in lines[2]
    folder = next(tmp_path.glob("harmonise-*"))
    kept = sorted(file.name.split("-0-")[1].rsplit("-", 1)[0] for file in (folder / "harmonise").glob("*.safetensors"))
    assert kept == ["FDA", "histogram", "source-only"]  # the last is what FDA goes on from
