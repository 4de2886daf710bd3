"""run.json's rules and the writing of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from medtl.runs.layout import plain, without_paths


def test_numpy_becomes_json() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": (np.int64(1), float("nan"), np.inf), 4: np.bool_(True)}
    assert plain(value) == {"a": 0.5, "b": [0, 1, 2], "c": [1, None, None], "4": True}
    json.dumps(plain(value), allow_nan=False)


def test_places_go_and_all_else_stays() -> None:
    given = {"source": ["/data/Smith_John", Path("relative/too"), "C:\\scans\\Smith"], "home": "~/x", "why": "a/b is 3"}
    assert without_paths(given) == {"source": ["(path)"] * 3, "home": "(path)", "why": "a/b is 3"}
