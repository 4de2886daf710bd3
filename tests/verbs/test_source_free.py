"""adapt without a source: a Run and the target's scans are enough, and what of the Run stays."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from medtl import cli
from medtl.errors import InputError
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.training import source_free
from medtl.verbs.adapt import adapt
from medtl.verbs.evaluate import evaluate

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)
quiet_on_one_thread = two_sites.quiet_on_one_thread


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """What a hospital has: its own scans, a Run and a config. The source's scans are gone."""
    folder = tmp_path_factory.mktemp("hospital")
    two_sites.site(folder, "here")
    two_sites.site(folder, "there", patients=48, dark=50)
    told = {"target": folder / "there.csv", "config": two_sites.config(folder), "method": "source-only"}
    adapt([folder / "here.csv"], out=folder / "run", **told)
    shutil.rmtree(folder / "here")
    (folder / "here.csv").unlink()
    return folder


def start(place: Path, out: Path, method: str | None = "shot", **others: Any) -> Run:
    told = {"target": place / "there.csv", "config": place / "config.yaml", "from_run": place / "run", **others}
    return adapt(None, out=out, method=method, **told)


@pytest.fixture(scope="module")
def run(place) -> Run:
    """A finished Run that the tests leave as it is."""
    return start(place, place / "shot")


def refused(place: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: object) -> str:
    """What `medtl adapt` says when it refuses."""
    words = ["adapt", "--target", place / "there.csv", "--config", place / "config.yaml", "-o", out, "--quiet", *more]
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and not out.exists()
    return said


def test_the_run_is_whole(run: Run, place: Path) -> None:
    other = "source-only" if run.decision["handed_over"] == "adapted" else "adapted"
    assert run.names == ["model", other]
    assert run.facts["method"] == "shot" and run.facts["source_free"] is True
    assert run.facts["sites"] == {"source": ["here"], "target": ["there"]}
    assert run.facts["patients"] == Run.load(place / "run").facts["patients"]
    log = pd.read_csv(run.path / "log.csv")
    assert set(log.phase) == {"shot"} and {"information", "pseudo_label", "target_information"} <= set(log)
    assert not (run.path / "checkpoints").exists()
    table = run.predict(Manifest.load(place / "there.csv"))
    assert (table.status == "ok").all() and np.allclose(table.p_no + table.p_yes, 1, atol=1e-5)


def test_the_model_it_began_from_is_in_it_as_it_was_and_the_head_is_the_same(run: Run, place: Path) -> None:
    before, kept, adapted = Run.load(place / "run").weights(), run.weights("source-only"), run.weights("adapted")
    assert all(torch.equal(before[name], kept[name]) for name in before)
    assert torch.equal(before["head.weight"], adapted["head.weight"])
    assert torch.allclose(before["head.bias"], adapted["head.bias"], atol=1e-6)
    assert not torch.equal(before["bottleneck.1.weight"], adapted["bottleneck.1.weight"])


def test_calibration_and_threshold_are_the_starting_runs_and_the_user_is_told(run: Run, place: Path) -> None:
    before = Run.load(place / "run").trust()
    for name in ("source-only", "adapted"):
        kept = run.trust(name)
        assert (kept.calibrator, kept.threshold, kept.sets) == (before.calibrator, before.threshold, before.sets)
        assert kept.calibrated_on == before.calibrated_on
    assert run.trust("adapted").ood is not None  # 72 scans: half to learn what is familiar, half to cut
    assert run.trust("adapted").ood.cut != before.ood.cut
    assert "calibration and threshold are those of the Run that it began from" in run.decision["sentence"]
    assert "label 50 scans of each class here" in run.decision["sentence"] and run.decision["warn"]


def test_it_can_be_evaluated_and_begun_from_again(run: Run, place: Path, tmp_path: Path) -> None:
    evaluate(run.path, on=place / "there.csv", out=tmp_path / "report")
    assert (tmp_path / "report" / "report.html").is_file()
    again = start(place, tmp_path / "again", "tent", from_run=run.path)
    before = Run.load(place / "run").weights()
    assert all(torch.equal(before[name], again.weights("source-only")[name]) for name in before)


def test_several_methods_and_one_is_kept(place: Path, tmp_path: Path) -> None:
    run = start(place, tmp_path / "run", None, methods=["shot,tent"], select="entropy")
    assert set(run.decision["candidates"]) == {"source-only", "shot", "tent"}
    assert run.decision["kept"] in ("shot", "tent") and run.facts["method"] == run.decision["kept"]
    assert list(dict.fromkeys(pd.read_csv(run.path / "log.csv").phase)) == ["shot", "tent"]


def test_cut_off_and_resumed_ends_at_the_same_weights(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = source_free.decide_without_source

    def cut(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(source_free, "decide_without_source", cut)
    with pytest.raises(KeyboardInterrupt):
        start(place, tmp_path / "run")
    monkeypatch.setattr(source_free, "decide_without_source", decide)
    with pytest.raises(InputError, match="begun with other scans, options or seed"):
        start(place, tmp_path / "run", seed=9, resume=True)
    resumed = start(place, tmp_path / "run", resume=True)
    for name in ("source-only", "adapted"):
        one, other = run.weights(name), resumed.weights(name)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert resumed.decision == run.decision


def test_target_labels_change_nothing(run: Run, place: Path, tmp_path: Path) -> None:
    target = two_sites.change(place / "there.csv", tmp_path / "blind.csv", label="")
    blind = start(place, tmp_path / "run", target=target)
    assert blind.decision == run.decision
    one, other = run.weights("adapted"), blind.weights("adapted")
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_method_that_needs_the_source_names_those_that_do_not(place: Path, tmp_path: Path, capsys) -> None:
    given = ("--from", place / "run")
    for told, method in (((), "dann"), (("--method", "mcc"), "mcc"), (("--methods", "shot,mcc"), "mcc")):
        said = refused(place, tmp_path / "run", capsys, *given, *told)
        assert f"{method} needs the source's scans: give them with --source, or choose a method that does" in said
        assert "shot or tent" in said


def test_what_else_takes_the_source_is_refused(place: Path, tmp_path: Path, capsys) -> None:
    said = refused(place, tmp_path / "run", capsys, "--method", "shot")
    assert "shot without source scans starts from a trained Run: name it with --from" in said
    given = ("--from", place / "run", "--method", "shot")
    assert "select: dev looks at source scans" in refused(place, tmp_path / "run", capsys, *given, "--select", "dev")
    mixed = two_sites.config(place, "mixed.yaml", harmonise="fda")
    assert "fda mix" in refused(place, tmp_path / "run", capsys, *given, "--config", mixed)
    prior = two_sites.config(place, "prior.yaml", prior="em")
    assert "prior: em takes held-out source scans" in refused(
        place, tmp_path / "run", capsys, *given, "--config", prior
    )
    alone = two_sites.change(place / "there.csv", tmp_path / "test.csv", split="test")
    assert "every target scan is in its test split" in refused(
        place, tmp_path / "run", capsys, *given, "--target", alone
    )
