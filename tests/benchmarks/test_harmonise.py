"""The benchmark of harmonisation runs from end to end."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT.parent / "shared" / "data" / "ultrasound"

sys.path.insert(0, str(ROOT / "benchmarks"))
harmonise = importlib.import_module("harmonise")


def test_rows_of_another_version_or_learnt_from_other_scans_are_not_those_of_this_one(monkeypatch) -> None:
    bench, pair = harmonise.bench_for(quick=False), harmonise.PAIRS[0]
    ways = {way.name: way for way in harmonise.WAYS}

    def keys() -> dict[str, tuple[object, str]]:
        told = {name: (way, harmonise.versions_of(way)) for name, way in ways.items()}
        recipe = harmonise.RECIPES[pair.recipe]
        digest = {name: harmonise.digest_of(bench.config, recipe, versions) for name, (_, versions) in told.items()}
        return {name: (harmonise.key_of(bench, pair, 0, way), digest[name]) for name, (way, _) in told.items()}

    before = keys()
    monkeypatch.setattr(harmonise, "MIX_VERSIONS", {"fda": 99})
    assert [name for name, each in keys().items() if each != before[name]] == ["FDA", "DANN + FDA"]
    monkeypatch.undo()
    monkeypatch.setattr(harmonise, "LEARNT_FROM", 20)
    changed = [name for name, each in keys().items() if each != before[name]]
    assert changed == ["histogram", "landmarks", "DANN + histogram"]


def test_recipes_learn_from_as_many_scans_as_the_verb_takes(monkeypatch) -> None:
    read: list[str] = []
    pair = SimpleNamespace(source="", parts=lambda *_: [set()], manifest=lambda *_: [f"{i}" for i in range(450)])
    monkeypatch.setattr(harmonise, "read", read.append)
    list(harmonise.bench_for(quick=False).scans(pair))
    assert read == [f"{i}" for i in range(0, 450, 3)]


@pytest.mark.slow
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
