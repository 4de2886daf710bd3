"""The benchmark of volumes counts pairs as one would by hand, and runs from end to end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from medtl.models.chunks import is_cut

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def volumes(shared_data):
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("volumes", BENCHMARKS / "volumes.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["volumes"] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module


def test_only_pairs_of_one_fold_count_as_often_as_both_were_drawn(volumes) -> None:
    random = np.random.default_rng(0)
    names = [f"P{i}" for i in range(9)]
    folds = [
        {"patient": names[:5], "score": [0.1, 0.4, 0.4, 0.9, 0.2], "label": [0, 1, 0, 1, 0]},
        {"patient": names[5:], "score": [-5.0, -9.0, -7.0, -6.0], "label": [1, 0, 1, 0]},  # of another scale
    ]
    times = random.integers(0, 3, (6, 9))
    for drawn, found in zip(times, volumes.concordance(folds, names, times), strict=True):
        right = pairs = 0.0
        for fold in folds:
            for a, x, one in zip(fold["patient"], fold["score"], fold["label"], strict=True):
                for b, y, other in zip(fold["patient"], fold["score"], fold["label"], strict=True):
                    if one == 1 and other == 0:
                        weight = drawn[names.index(a)] * drawn[names.index(b)]
                        right += weight * ((x > y) + 0.5 * (x == y))
                        pairs += weight
        assert found == pytest.approx(right / max(pairs, 1))


def test_the_people_are_half_and_half_and_who_has_no_age_is_left_out(volumes) -> None:
    assert volumes.people("sex", 48).frame.label.value_counts().to_dict() == {"F": 24, "M": 24}
    assert volumes.people("age", 48).frame.label.value_counts().to_dict() == {"younger": 24, "older": 23}  # one unknown
    few = volumes.people("age", 12).frame
    assert len(few) == 12 and list(few.label.value_counts()) == [6, 6]


def test_one_way_is_trained_in_chunks_and_the_rows_of_the_others_keep_their_names(volumes) -> None:
    setting = volumes.Setting()
    cut = {way.name for way in volumes.WAYS if is_cut(setting.batch * setting.of(way).slices, setting.batch)}
    assert cut == {"16 slices, mean"}
    names = ["slices, mean", "slices, attention", "neighbours, mean", "projections, mean", "3-D ResNet-10"]
    assert {way.name for way in volumes.WAYS if setting.of(way) == setting} == set(names)


@pytest.mark.slow
def test_it_runs_and_goes_on_where_it_was_cut(volumes, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MEDTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(volumes, "RESULTS", tmp_path)
    monkeypatch.setattr(volumes, "FOLDS", 2)
    monkeypatch.setattr(volumes, "QUESTIONS", ("sex",))
    monkeypatch.setattr(volumes, "WAYS", (volumes.Way("slices", slices=3), volumes.Way("cube")))
    volumes.main(["--quick"])
    first = capsys.readouterr().out
    assert "over the median" not in first
    assert [line.split(" | ")[1] for line in first.splitlines() if line.startswith("| sex")] == [
        "3 slices, mean", "3-D ResNet-10",
    ]  # fmt: skip

    def not_again(*_):
        raise AssertionError("a measured row is not measured again")

    monkeypatch.setattr(volumes, "measured", not_again)
    volumes.main(["--quick"])
    assert capsys.readouterr().out == first
