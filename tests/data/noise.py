"""Pictures of noise, to make cohorts of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import medtl.data.prepared as module
from medtl.intensity import RECIPES
from medtl.scans import Manifest
from medtl.scans.manifest import COLUMNS
from medtl.scans.read import read

RECIPE = replace(RECIPES["picture"], size=24)
RANDOM = np.random.default_rng(2)


def a_manifest(folder: Path, labels: Sequence[str], site: str = "here", **columns: list[str]) -> Manifest:
    """Pictures of noise, one a label; two a patient."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number, label in enumerate(labels):
        path = folder / f"{number}.png"
        Image.fromarray(RANDOM.integers(0, 256, (30, 26), dtype=np.uint8)).save(path)
        known = {"scan_id": f"{folder.name}-{number}", "patient": f"P-{number // 2}", "site": site, "status": "ok"}
        rows.append({**dict.fromkeys(COLUMNS, ""), **known, "path": str(path), "label": label})
    return Manifest(pd.DataFrame(rows).assign(**columns))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scans that were read from their files, as they come."""
    seen: list[str] = []

    def noted(row):
        seen.append(row.scan_id)
        return read(row)

    monkeypatch.setattr(module, "read", noted)
    return seen
