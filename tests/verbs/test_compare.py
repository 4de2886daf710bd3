"""compare: every Run on the same scans, each tested against the first."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from medtl import cli
from medtl.errors import InputError
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.verbs.compare import _names, compare


def _module(path: str) -> object:
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(__file__).parents[1] / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


small, evaluated = _module("runs/small.py"), _module("verbs/test_evaluate.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    knows = {"models": {"model": small.classifier(seed=5)}, "trust": {"model": small.trust(seed=5)}}
    facts = small.facts(patients=["P-00000000", "P-eeeeeeee"], decision={})
    return [small.run(folder / "first"), small.run(folder / "second", facts=facts, **knows)]


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return evaluated.scans(tmp_path_factory.mktemp("scans") / "here")


@pytest.fixture(scope="module")
def done(runs: list[Run], on: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    on.save(folder / "on.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        words = ["compare", *[run.path for run in runs], "--on", folder / "on.csv", "-o", folder / "comparison"]
        assert cli.main([str(word) for word in words]) == 0
    return folder / "comparison"


def test_both_are_measured_on_scans_of_patients_that_neither_has_seen(
    done: Path, runs: list[Run], on: Manifest
) -> None:
    metrics = json.loads((done / "metrics.json").read_text())
    assert sorted(path.name for path in done.iterdir()) == ["compare.html", "metrics.json"]
    rows = np.arange(2, 24)  # the first two are of a patient that the second Run was trained on
    label = (on.frame.label[rows] == "yes").to_numpy(int)
    given = {run.path.name: run.predict(on).p_yes[rows] for run in runs}
    assert list(metrics["models"]) == ["first", "second"] and metrics["against"] == "first"
    for name, p in given.items():
        numbers = metrics["models"][name]
        assert (numbers["n_scans"], numbers["n_patients"]) == (22, 11)
        assert numbers["auroc"] == pytest.approx(roc_auc_score(label, p), abs=1e-6)
        assert numbers["brier"] == pytest.approx(brier_score_loss(label, p), abs=1e-6)
    (pair,) = metrics["comparison"]
    areas = {name: numbers["auroc"] for name, numbers in metrics["models"].items()}
    assert (pair["model"], pair["against"]) == ("second", "first")
    assert pair["auroc"] == pytest.approx(areas["second"] - areas["first"])
    assert pair["auroc_p_holm"] == pair["auroc_p"] and f"p = {pair['auroc_p']:.2g}" in metrics["sentence"]
    assert any("2 scans are left out" in note for note in metrics["notes"])


def test_the_page_names_the_runs_and_nobody(done: Path, on: Manifest) -> None:
    page = (done / "compare.html").read_text()
    assert "first" in page and "second" in page
    for word in ("Smith", str(done.parent), *set(on.frame.patient)):
        assert word not in page


def test_a_test_split_that_a_run_has_seen_is_refused(runs: list[Run], on: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="second was trained or calibrated on the labels of 1 of these patients"):
        compare(runs, Manifest(on.frame.assign(split="test")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_is_refused(runs: list[Run], on: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two Runs or more"):
        compare(runs[:1], on, tmp_path / "out")
    with pytest.raises(InputError, match="is given twice"):
        compare([runs[0], runs[0].path], on, tmp_path / "out")
    facts = small.facts(classes=["benign", "yes"])
    other = small.run(tmp_path / "other", facts=facts)
    with pytest.raises(InputError, match="first tells no, yes apart, other benign, yes: only Runs of the same classes"):
        compare([runs[0], other], on, tmp_path / "out")


def test_runs_of_the_same_name_are_told_apart_by_the_folder_above() -> None:
    assert _names([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]
