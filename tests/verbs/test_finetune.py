"""What finetune's Run holds, which labels reach it, that it is seeded and survives a cut, what it refuses."""

from __future__ import annotations

import errno
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from medtl import cli, progress
from medtl.finetuning import STRATEGIES
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.training import loop
from medtl.verbs.adapt import adapt
from medtl.verbs.finetune import finetune

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)


quiet_on_one_thread = two_sites.quiet_on_one_thread


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two sites, a config, and a Run adapted from one to the other."""
    folder = tmp_path_factory.mktemp("hospitals")
    here, there = two_sites.site(folder, "here"), two_sites.site(folder, "there", dark=50)
    adapt([here], there, folder / "run", config=two_sites.config(folder))
    return folder


@pytest.fixture(scope="module")
def tuned(place: Path) -> Run:
    return start(place, place / "tuned")


@pytest.fixture(scope="module")
def trained(place: Path) -> Run:
    """With a strategy that trains the network, however few the labels."""
    return start(place, place / "trained", strategy="full")


def start(place: Path, out: Path, **others: Any) -> Run:
    told = {"run": place / "run", "train": place / "there.csv", "config": place / "config.yaml", "shots": 4, **others}
    return finetune(out=out, **told)


def same(one: Run, other: Run) -> bool:
    a, b = (
        {
            f"{file.stem} {name}": value
            for file in run.path.rglob("*.safetensors")
            for name, value in load_file(file).items()
        }
        for run in (one, other)
    )
    return bool(a) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---- what it makes -----------------------------------------------------------------------------------------------
def test_the_run_is_whole(tuned: Run, place: Path) -> None:
    before = Run.load(place / "run")
    assert tuned.names == ["model", "before"]
    assert (tuned.decision["handed_over"], tuned.facts["strategy"]) == ("fine-tuned", "layers")
    assert tuned.decision["sentence"].startswith("Handed over: fine-tuned on 8 labelled scans of 8 patients.")
    assert tuned.recipe == before.recipe
    kept, handed_over = tuned.weights("before"), before.weights()
    assert all(torch.equal(kept[name], handed_over[name]) for name in handed_over)
    assert not (tuned.path / "checkpoints").exists()
    table = tuned.predict(Manifest.load(place / "there.csv"))
    assert (table.status == "ok").all() and np.allclose(table.p_no + table.p_yes, 1, atol=1e-5)


def test_the_run_knows_whose_labels_it_has_seen(tuned: Run, place: Path) -> None:
    frame = Manifest.load(place / "there.csv").frame
    new = set(tuned.facts["patients"]) - set(Run.load(place / "run").facts["patients"])
    assert len(new) == 8 and new <= set(frame.patient[frame.split == "train"])
    assert set(Run.load(place / "run").facts["patients"]) <= set(tuned.facts["patients"])


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy(place: Path, tmp_path: Path, strategy: str) -> None:
    run = start(place, tmp_path / "run", strategy=strategy)
    assert run.facts["strategy"] == strategy
    p = run.predict(Manifest.load(place / "there.csv")).p_yes
    assert np.ptp(p) > 0 and p.between(0, 1).all()
    assert [path.name for path in tmp_path.iterdir()] == ["run"] and not (run.path / "checkpoints").exists()


def test_from_a_run_that_was_never_adapted_and_from_one_that_was_tuned(place: Path, tmp_path: Path) -> None:
    """The cache of the first goes along where the network is trained, and where another head is put upon it."""
    told = {"method": "source-only", "config": place / "config.yaml"}
    source = adapt([place / "here.csv"], place / "there.csv", tmp_path / "source", **told)
    cached = start(place, tmp_path / "cached", run=source, strategy="tip-adapter")
    for strategy, heads in (("mme", 1), ("cosine", 2), ("layers", 1)):
        run = start(place, tmp_path / strategy, run=cached, strategy=strategy)
        assert len(run.classifier().few_shot) == heads
        assert (run.predict(Manifest.load(place / "there.csv")).status == "ok").all()


def test_a_strategy_that_leaves_the_network_alone_says_so(place: Path, trained: Run, tmp_path: Path) -> None:
    run = start(place, tmp_path / "run", strategy="lp-ft")
    said = "With fewer than 50 labelled scans, lp-ft leaves the network as it is."
    assert said in run.decision["sentence"] and "leaves the network" not in trained.decision["sentence"]


def test_the_log_of_what_trains(trained: Run, tuned: Run) -> None:
    assert list(pd.read_csv(trained.path / "log.csv").step) == [2, 4]
    assert not len(pd.read_csv(tuned.path / "log.csv"))  # 8 labels leave the network alone


def test_without_a_run_it_starts_from_the_backbone_and_takes_all_labels(place: Path, tmp_path: Path) -> None:
    run = start(place, tmp_path / "run", run=None, shots=None)
    frame = Manifest.load(place / "there.csv").frame
    assert run.names == ["model"]
    assert set(run.facts["patients"]) == set(frame.patient[frame.split == "train"])


# ---- which labels reach it -----------------------------------------------------------------------------------------
def test_labels_of_other_scans_change_nothing(tuned: Run, place: Path, tmp_path: Path) -> None:
    """Nor do the pixels of the test split."""

    def turned(frame: pd.DataFrame) -> pd.Series:
        return frame.label.where(frame.split == "train", frame.label.map({"no": "yes", "yes": "no"}))

    (tmp_path / "damaged.png").write_bytes(b"not a scan")
    paths = {"path": lambda frame: frame.path.where(frame.split != "test", str(tmp_path / "damaged.png"))}
    other = two_sites.change(place / "there.csv", tmp_path / "other.csv", label=turned, **paths)
    again = start(place, tmp_path / "run", train=other)
    assert same(tuned, again)
    assert json.loads((again.path / "trust.json").read_text()) == json.loads((tuned.path / "trust.json").read_text())


def test_the_labels_that_it_is_given_do(tuned: Run, place: Path, tmp_path: Path) -> None:
    def turned(frame: pd.DataFrame) -> pd.Series:
        return frame.label.map({"no": "yes", "yes": "no"})

    other = two_sites.change(place / "there.csv", tmp_path / "other.csv", label=turned)
    assert not same(tuned, start(place, tmp_path / "run", train=other))


# ---- seeds, cuts ---------------------------------------------------------------------------------------------------
def test_same_seed_same_weights_and_another_seed_others(tuned: Run, place: Path, tmp_path: Path) -> None:
    assert same(tuned, start(place, tmp_path / "again"))
    assert not same(tuned, start(place, tmp_path / "other", seed=1))


def test_cut_off_and_resumed_ends_at_the_same_weights(trained: Run, place: Path, tmp_path: Path, monkeypatch) -> None:
    save = loop.save_checkpoint

    def killed(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "save_checkpoint", killed)
        start(place, tmp_path / "run", strategy="full")
    assert torch.load(tmp_path / "run" / "checkpoints" / "finetune.pt", weights_only=True)["step"] == 2
    assert same(trained, start(place, tmp_path / "run", strategy="full", resume=True))


# ---- bad input -------------------------------------------------------------------------------------------------------
def refused(place: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: object, **told: Any) -> str:
    """What `medtl finetune` says when it refuses."""
    given = {"run": place / "run", "train": place / "there.csv", "config": place / "config.yaml", "shots": 4, **told}
    words = ["finetune", given.pop("run"), *(word for name, value in given.items() for word in (f"--{name}", value))]
    capsys.readouterr()
    assert cli.main([str(word) for word in (*words, "-o", out, *more, "--quiet")]) == 2
    *warnings, said = capsys.readouterr().err.splitlines()
    progress.set_mode("quiet")
    assert said.startswith("medtl: ") and not any("medtl: " in line or "Traceback" in line for line in warnings), said
    return said


@pytest.mark.parametrize(
    ("label", "says"),
    [("no", "one class only, 'no'"), ("", "has a label"), ("other", "one class only"), ("a;b", "knows the classes")],
)
def test_labels_that_do_not_do(place: Path, tmp_path: Path, capsys, label: str, says: str) -> None:
    wrong = two_sites.change(place / "there.csv", tmp_path / "wrong.csv", label=label)
    assert says in refused(place, tmp_path / "run", capsys, train=wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("harmonise", [["histogram"], []])
def test_no_labels_to_train_on(place: Path, tmp_path: Path, capsys, harmonise: list[str]) -> None:
    wrong = two_sites.change(place / "there.csv", tmp_path / "wrong.csv", split="calibrate")
    told = two_sites.config(place, "harmonised.yaml", harmonise=harmonise)
    words = ["finetune", "--train", wrong, "--config", told, "-o", tmp_path / "run", "--quiet"]
    assert cli.main([str(word) for word in words]) == 2
    assert "no labelled scan is in the train split" in capsys.readouterr().err


def test_more_shots_than_patients(place: Path, tmp_path: Path, capsys) -> None:
    said = refused(place, tmp_path / "run", capsys, shots=99)
    assert "only 6 patients of class 'no' are labelled for training, 99 are asked for" in said
    assert not (tmp_path / "run").exists()


def test_no_shots(place: Path, tmp_path: Path, capsys) -> None:
    assert "--shots 0 draws nobody" in refused(place, tmp_path / "run", capsys, shots=0)
    assert not (tmp_path / "run").exists()


def test_what_exists_stays_and_there_is_nothing_to_resume(tuned: Run, place: Path, tmp_path: Path, capsys) -> None:
    assert "exists already" in refused(place, tuned.path, capsys)
    assert "holds no run that was cut off" in refused(place, tmp_path / "run", capsys, "--resume")
    assert not (tmp_path / "run").exists()


def test_what_to_start_from_is_no_run(place: Path, tmp_path: Path, capsys) -> None:
    assert "is not a Run" in refused(place, tmp_path / "run", capsys, run=tmp_path)
    assert "did you mean 'lp-ft'" in refused(place, tmp_path / "run", capsys, strategy="lpft")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["fda", "mixstyle"])
def test_what_needs_a_source_and_a_target_is_not_passed_over(place: Path, tmp_path: Path, capsys, name: str) -> None:
    config = two_sites.config(place, "mixed.yaml", harmonise=[name])
    assert f"harmonise: {name} brings" in refused(place, tmp_path / "run", capsys, config=config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["finetune.pt", "model.safetensors"])
def test_a_full_disk(trained: Run, place: Path, tmp_path: Path, capsys, monkeypatch, name: str) -> None:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert "the disk is full" in refused(place, tmp_path / "run", capsys, strategy="full")
    if name == "finetune.pt":
        assert list(tmp_path.iterdir()) == []
    else:
        assert same(trained, start(place, tmp_path / "run", strategy="full", resume=True))


def test_a_disk_that_is_full_without_any_training(tuned: Run, place: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Half of the files are there and no checkpoint: it is still known as one that was begun."""
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == "trust.json":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert "the disk is full" in refused(place, tmp_path / "run", capsys)
    assert "give --resume to go on" in refused(place, tmp_path / "run", capsys)
    assert same(tuned, start(place, tmp_path / "run", resume=True))


def test_the_range_is_that_of_its_scans_and_of_the_run_it_started_from(place: Path, tuned: Run) -> None:
    before, after = Run.load(place / "run").trained_on, tuned.trained_on
    assert before is not None and after is not None
    assert after.scans > before.scans
    for name, (least, most) in before.ranges.items():
        assert after.ranges[name][0] <= least and after.ranges[name][1] >= most
