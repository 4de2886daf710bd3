"""What adapt's Run holds, that it is seeded and survives a kill, that no target label reaches it, what it refuses."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from medtl import cli, progress
from medtl.data import Cohort
from medtl.errors import InputError
from medtl.intensity.fingerprint import Fingerprint, print_of
from medtl.measures import mmd
from medtl.measures.validation import SCORES
from medtl.runs.run import Run
from medtl.scans import Manifest, read
from medtl.training import loop
from medtl.verbs.adapt import adapt
from medtl.verbs.export import export
from medtl.verbs.predict import predict

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("two_sites", HERE / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)


@pytest.fixture(autouse=True)
def quiet_on_one_thread(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that these tests start: sums are then in the same order
    monkeypatch.setattr(loop, "EPOCH", 2)
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two sites and a config."""
    folder = tmp_path_factory.mktemp("hospitals")
    two_sites.site(folder, "here")
    two_sites.site(folder, "there", dark=50)
    two_sites.config(folder)
    return folder


@pytest.fixture(scope="module")
def run(place, tmp_path_factory) -> Run:
    """A finished Run that the tests leave as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "EPOCH", 2)
        patch.setenv("MEDTL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        progress.set_mode("quiet")
        made = start(place, place / "run")
        torch.set_num_threads(threads)
    return made


def start(place: Path, out: Path, **others: Any) -> Run:
    told = {"source": [place / "here.csv"], "target": place / "there.csv", "config": place / "config.yaml", **others}
    return adapt(out=out, **told)


def words(place: Path, out: Path, *more: object) -> list[str]:
    told = ["adapt", "--source", place / "here.csv", "--target", place / "there.csv"]
    return [str(word) for word in [*told, "--config", place / "config.yaml", "-o", out, *more]]


def tensors(run: Run | Path) -> dict[str, torch.Tensor]:
    folder = run.path if isinstance(run, Run) else run
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.stem} {name}": value for file in files for name, value in load_file(file).items()}


def log_of(folder: Path) -> pd.DataFrame:
    """Without what took how long."""
    return pd.read_csv(folder / "log.csv").drop(columns="data_wait")


def same(one: Run | Path, other: Run | Path) -> bool:
    a, b = tensors(one), tensors(other)
    return bool(a) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.startswith("medtl: ") and "Traceback" not in text


# ---- what it makes -----------------------------------------------------------------------------------------------
def test_the_run_is_whole(run: Run) -> None:
    other = "source-only" if run.decision["handed_over"] == "adapted" else "adapted"
    assert run.names == ["model", other]
    files = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    assert files == {
        "run.json", "config.yaml", "recipe.json", "model.safetensors", f"models/{other}.safetensors", "trust.json",
        "log.csv", "metrics.json", "features.npz",
    }  # fmt: skip
    assert (run.classes, run.task, run.facts["method"], run.facts["seed"]) == (["no", "yes"], "binary", "dann", 0)
    assert run.facts["harmonise"] == []
    assert run.facts["sites"] == {"source": ["here"], "target": ["there"]}
    assert run.config["adapt"]["steps"] == 4 and run.config["weights"] == "(path)"
    told = {"handed_over", "why", "sentence", "warn", "signals", "kept", "select", "candidates", "rule"}
    assert told <= set(run.decision)
    assert (run.decision["kept"], run.decision["select"]) == ("dann", "auto")
    assert {*SCORES, "forgot", "agreement"} == set(run.decision["candidates"]["dann"])
    assert run.decision["sentence"].startswith(f"Handed over: {run.decision['handed_over']}, since ")
    assert "label 50 scans of each class here" in run.decision["sentence"]
    assert run.trust().calibrator.temperature > 0 and run.trust("source-only").threshold is not None


def test_the_run_knows_what_adapting_did(run: Run) -> None:
    told = json.loads((run.path / "metrics.json").read_text())["adapting"]
    rows = {(row["measure"], row["of"]): row for row in told["distances"]}
    assert {of for _, of in rows} == {-1, 0, 1} and len(rows) == 12
    held = np.load(run.path / "features.npz")
    scale = np.sqrt((held["source_after"].var(axis=0).mean() + held["target_after"].var(axis=0).mean()) / 2)
    after = mmd(held["source_after"] / scale, held["target_after"] / scale)
    assert rows["MMD", -1]["after"] == pytest.approx(after, rel=1e-4) == run.decision["signals"]["mmd_after"]
    assert [share["name"] for share in told["shares"]] == []  # 12 held-out scans are too few
    assert told["unlike"] is None
    assert (told["warnings"], told["remarks"]) == (run.decision["warnings"], run.decision["remarks"])


def test_the_run_knows_whose_labels_it_has_seen(run: Run, place: Path) -> None:
    frame = Manifest.load(place / "here.csv").frame
    assert run.facts["patients"] == sorted(set(frame.patient[frame.split != "test"]))


def test_the_log_has_every_phase(run: Run) -> None:
    log = pd.read_csv(run.path / "log.csv")
    assert list(dict.fromkeys(log.phase)) == ["source-only", "witness", "dann"]
    dann = log[log.phase == "dann"]
    assert list(dann.step) == [0, 2, 4]
    assert {"task", "domain", "domain_accuracy", "lr", "target_information", "source_auroc"} <= set(
        dann.dropna(axis=1, how="all")
    )
    seconds = json.loads((run.path / "metrics.json").read_text())["seconds"]
    assert list(seconds) == ["source-only", "witness", "dann"]


def test_the_features_are_of_both_sites(run: Run) -> None:
    with np.load(run.path / "features.npz", allow_pickle=False) as held:
        sizes = {name: held[name].shape for name in held.files}
    assert sizes["source_before"] == sizes["source_after"] == (12, 256)  # the calibrate split
    assert sizes["target_before"] == sizes["target_after"] == (36, 256)  # all but the test split
    assert sizes["source_label"] == sizes["source_id"] == (12,) and sizes["target_id"] == (36,)


def test_it_predicts(run: Run, place: Path) -> None:
    table = run.predict(Manifest.load(place / "there.csv"))
    assert len(table) == 48 and (table.status == "ok").all()
    assert np.allclose(table.p_no + table.p_yes, 1, atol=1e-5)


def test_source_only_has_one_model(place: Path, tmp_path: Path) -> None:
    run = start(place, tmp_path / "run", method="source-only")
    assert run.names == ["model"] and run.decision["handed_over"] == "source-only"
    assert list(pd.read_csv(run.path / "log.csv").phase.unique()) == ["source-only", "witness"]


def test_source_only_with_fda_has_two_and_says_so(place: Path, tmp_path: Path) -> None:
    run = start(
        place, tmp_path / "run", method="source-only", config=two_sites.config(place, "fda.yaml", harmonise="fda")
    )
    assert len(run.names) == 2 and (run.facts["method"], run.facts["harmonise"]) == ("source-only", ["fda"])


def test_candidates_are_tried_and_one_is_kept(place: Path, tmp_path: Path) -> None:
    file = two_sites.config(place, "candidates.yaml", candidates=[{"weight": 0.1}, {"weight": 1.0}])
    run = start(place, tmp_path / "run", config=file)
    assert list(pd.read_csv(run.path / "log.csv").phase.unique()) == ["source-only", "witness", "dann", "dann 2"]
    assert len(run.names) == 2


@pytest.mark.slow
def test_several_methods_from_the_shell_and_after_a_kill(place: Path, tmp_path: Path) -> None:
    """Whole and cut off while the second trained: the same models, table and log."""
    told = words(place, tmp_path / "whole", "--methods", "deep-coral,standardise", "dann", "--select", "snd")
    assert cli.main([*told, "--quiet"]) == 0
    run = Run.load(tmp_path / "whole")
    phases = ["source-only", "witness", "deep-coral", "standardise", "dann"]
    assert list(pd.read_csv(run.path / "log.csv").phase.unique()) == phases
    assert list(run.decision["candidates"]) == ["source-only", *phases[2:], "average"]
    assert run.decision["select"] == run.config["select"] == "snd"
    made = {"average": "deep-coral, dann"}.get(run.decision["kept"], run.decision["kept"])
    assert run.facts["method"] == made and len(run.names) == 2

    out = tmp_path / "cut"
    told = words(place, out, "--methods", "deep-coral,standardise", "dann", "--select", "snd")
    kill_at(out, "dann", told)
    whole_ones = {path: path.stat().st_mtime_ns for path in (out / "checkpoints").glob("[!d]*.pt")}
    assert {path.stem for path in whole_ones} == {"source-only", "witness"}
    assert cli.main([*told, "--resume", "--quiet"]) == 0
    resumed = Run.load(out)
    assert same(run, resumed) and resumed.decision == run.decision
    assert log_of(out).equals(log_of(run.path))


@pytest.mark.slow
def test_answers_averaged_with_source_onlys(place: Path, tmp_path: Path) -> None:
    """The same training with and without: the mean of both, in the Run, in an export, and to start from."""
    plain = start(place, tmp_path / "plain", config=two_sites.config(place, "plain.yaml"))
    run = start(place, tmp_path / "run", config=two_sites.config(place, "both.yaml", with_source_only=True))
    assert run.decision["sentence"].endswith("Its answers are averaged with source-only's.")
    scans = Cohort(Manifest.load(place / "there.csv").without_labels(), run.recipe, classes=run.classes)
    own, its, both = (
        made.outputs(scans, which)[0].astype(float)
        for made, which in ((plain, "adapted"), (run, "source-only"), (run, "adapted"))
    )
    prior = np.asarray(run.facts["prior"])
    own, its, both = (each - prior for each in (own, its, both))
    margins = [each[:, 1] - each[:, 0] for each in (own, its, both)]
    seen = (scans.manifest.frame.split != "test").to_numpy()
    scale = np.sqrt(np.mean(margins[0][seen] ** 2) / np.mean(margins[1][seen] ** 2))
    assert np.allclose(margins[2], (margins[0] + scale * margins[1]) / 2, atol=1e-3)

    exported = export(run.path, tmp_path / "export")
    from_run, from_export = (
        predict(each, [place / "there.csv"], tmp_path / f"{n}.csv") for n, each in enumerate((run.path, exported))
    )
    assert np.allclose(from_run.p_yes.astype(float), from_export.p_yes.astype(float), atol=1e-4)
    again = start(place, tmp_path / "again", from_run=run.path)
    assert again.names == run.names


def test_the_help_names_every_score() -> None:
    help_of_select = (adapt.__doc__ or "").split("select:")[1].split("from_run:")[0]
    assert all(re.search(rf"\b{name}\b", help_of_select) for name in ("auto", *SCORES))


@pytest.mark.slow
def test_a_student_is_on_a_network_of_its_own(place: Path, tmp_path: Path, monkeypatch) -> None:
    """Run, prediction and a further adaptation know which model has which."""
    monkeypatch.setattr("medtl.training.adaptation.choose", lambda candidates, select: ("distill", "a test"))
    options = {"student": "test_resnet", "student_weights": "random"}
    run = start(
        place, tmp_path / "run", config=two_sites.config(place, "student.yaml", method="distill", options=options)
    )
    assert run.decision["handed_over"] == "adapted" and run.facts["backbones"] == {"adapted": "test_resnet"}
    assert len(run.predict(Manifest.load(place / "there.csv")).dropna(subset="p_yes")) == 48
    again = start(place, tmp_path / "again", from_run=run.path)
    assert again.backbone_of("source-only") == run.facts["backbone"] == two_sites.BACKBONE


def test_a_run_to_start_from(run: Run, place: Path, tmp_path: Path) -> None:
    """Its source-only model is the warm start and stays as it is, its recipe is used, its patients are remembered."""
    frame = Manifest.load(place / "here.csv").frame
    half = Manifest(frame[frame.patient.str.extract(r"(\d+)$")[0].astype(int) < 12])
    again = start(place, tmp_path / "run", source=[half], from_run=run.path)
    assert again.recipe == run.recipe
    assert again.facts["patients"] == run.facts["patients"]
    assert list(pd.read_csv(again.path / "log.csv").phase.unique()) == ["witness", "dann"]
    before, after = run.weights("source-only"), again.weights("source-only")
    assert all(torch.equal(before[name], after[name]) for name in before if name != "head.bias")
    alike = [w["head.bias"] - torch.tensor(r.facts["prior"]) for w, r in ((before, run), (after, again))]
    assert torch.allclose(*alike, atol=1e-6)  # the prior of the first source went before that of the second came
    with pytest.raises(InputError, match="the Run to start from, which would be lost"):
        start(place, run.path, from_run=run.path, force=True)


# ---- seeds, kills ------------------------------------------------------------------------------------------------
def test_same_seed_same_weights_and_another_seed_others(run: Run, place: Path, tmp_path: Path) -> None:
    again = start(place, tmp_path / "again")
    assert same(run, again)
    assert again.decision == run.decision
    assert not same(run, start(place, tmp_path / "other", seed=1))


def kill_at(out: Path, phase: str, told: list[str]) -> None:
    """Run `medtl` and kill it in the middle of a phase."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "two_sites.py", *told]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / f"{phase}.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < torch.load(out / "checkpoints" / f"{phase}.pt", weights_only=True)["step"] < 6


@pytest.mark.parametrize("when", [pytest.param("witness", marks=pytest.mark.slow), "dann"])
def test_killed_and_resumed_ends_at_the_same_weights(run: Run, place: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "run"
    kill_at(out, when, words(place, out))
    with pytest.raises(InputError, match="cut off before it was done: give the same command again with --resume"):
        Run.load(out)
    with pytest.raises(InputError, match="exists already: choose another name, or give --resume to go on"):
        start(place, out)
    with pytest.raises(InputError, match="begun with other scans, options or seed"):
        start(place, out, seed=9, resume=True)
    resumed = start(place, out, resume=True)
    assert same(run, resumed)
    assert resumed.decision == run.decision
    assert log_of(out).equals(log_of(run.path))
    assert not (out / "checkpoints").exists()


# ---- no target label reaches it ----------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["turned round", "taken away"])
def test_target_labels_change_nothing(run: Run, place: Path, tmp_path: Path, how: str) -> None:
    """Not a tensor, not the decision, not what was fitted for trust, not a number of the log."""

    def other(frame: pd.DataFrame) -> pd.Series:
        return frame.label.map({"no": "yes", "yes": "no"}) if how == "turned round" else frame.label.map(lambda _: "")

    target = two_sites.change(place / "there.csv", tmp_path / "there.csv", label=other)
    blind = start(place, tmp_path / "run", target=target)
    assert same(run, blind)
    for name in ("run.json", "trust.json", "metrics.json"):
        a, b = (json.loads((each.path / name).read_text()) for each in (run, blind))
        for each in (a, b):
            each.pop("created", None), each.pop("seconds", None)
        assert a == b, name
    assert log_of(blind.path).equals(log_of(run.path))
    with np.load(run.path / "features.npz") as a, np.load(blind.path / "features.npz") as b:
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def test_the_targets_test_split_is_left_alone(run: Run, place: Path, tmp_path: Path) -> None:
    """Its pixels neither: damaged test scans change nothing."""
    frame = Manifest.load(place / "there.csv").frame
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"not a scan")
    target = Manifest(frame.assign(path=frame.path.where(frame.split != "test", str(damaged))))
    assert same(run, start(place, tmp_path / "run", target=target))


# ---- bad input: one sentence, exit status 2, nothing half written ---------------------------------------------------
def refused(place: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: object, **told: Any) -> str:
    """What `medtl adapt` says when it refuses."""
    given = words(place, out, *more)
    for flag, value in told.items():
        given[given.index(f"--{flag}") + 1] = str(value)
    capsys.readouterr()
    assert cli.main([*given, "--quiet"]) == 2
    said = capsys.readouterr().err
    assert one_sentence(said), said
    return said


def test_what_exists_stays(run: Run, place: Path, tmp_path: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert "exists already: choose another name, or give --force" in refused(place, run.path, capsys)
    assert "holds no run that was cut off" in refused(place, run.path, capsys, "--resume")
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    assert "exists already" in refused(place, tmp_path / "mine", capsys)
    assert "is not a Run" in refused(place, tmp_path / "mine", capsys, "--force")
    assert "exists already" in refused(place, tmp_path / "mine" / "letter.txt", capsys)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_nothing_to_resume(place: Path, tmp_path: Path, capsys) -> None:
    assert "holds no run that was cut off: leave out --resume" in refused(place, tmp_path / "run", capsys, "--resume")
    assert not (tmp_path / "run").exists()


def test_force_replaces_a_run_but_not_before_all_is_known_to_be_right(
    run: Run, place: Path, tmp_path: Path, capsys
) -> None:
    first = start(place, tmp_path / "run", seed=1)
    wrong = two_sites.change(place / "here.csv", tmp_path / "one.csv", label="no")
    refused(place, first.path, capsys, "--force", source=wrong)
    assert Run.load(first.path).facts == first.facts
    assert same(start(place, tmp_path / "run", force=True), run)


def test_a_checkpoint_that_is_none(place: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "source-only.pt").write_text("not a checkpoint")
    said = refused(place, tmp_path / "run", capsys, "--resume")
    assert "source-only.pt is not a checkpoint of medtl: give --force to start again" in said
    start(place, tmp_path / "run", force=True)


@pytest.mark.parametrize(
    ("side", "label", "says"),
    [
        ("source", "no", "the source has one class only, 'no': add scans of the other class"),
        ("source", "", "no source scan has a label"),
        ("source", "", "no column `label`, say which it is: `medtl index FOLDER --label-column NAME -o source.csv`"),
        ("target", "other", "the target's labels other are none of the source's classes (no, yes)"),
    ],
)
def test_labels_that_do_not_do(place: Path, tmp_path: Path, capsys, side: str, label: str, says: str) -> None:
    which = {"source": "here.csv", "target": "there.csv"}[side]
    wrong = two_sites.change(place / which, tmp_path / "wrong.csv", label=label)
    assert says in refused(place, tmp_path / "run", capsys, **{side: wrong})
    assert not (tmp_path / "run").exists()


def test_of_scans_that_cannot_be_prepared_the_side_is_told(place: Path, tmp_path: Path, capsys) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG")
    wrong = two_sites.change(place / "there.csv", tmp_path / "there.csv", path=str(damaged), split="train")
    assert "target scans: none of the " in refused(place, tmp_path / "run", capsys, target=wrong)


def test_nothing_to_learn_grey_values_from(place: Path, tmp_path: Path, capsys) -> None:
    wrong = two_sites.change(place / "here.csv", tmp_path / "wrong.csv", split="calibrate")
    told = two_sites.config(place, "harmonised.yaml", harmonise="histogram")
    said = refused(place, tmp_path / "run", capsys, source=wrong, config=told)
    assert "the source's train split has 0 scans of 0 classes: label more patients" in said


def test_labels_that_differ_in_case_only(place: Path, tmp_path: Path, capsys) -> None:
    def one_capital(frame: pd.DataFrame) -> pd.Series:
        return frame.label.where(frame.index != frame.index[frame.label == "no"][0], "No")

    wrong = two_sites.change(place / "here.csv", tmp_path / "wrong.csv", label=one_capital)
    assert "the labels 'No' and 'no' differ in upper and lower case only" in refused(
        place, tmp_path / "run", capsys, source=wrong
    )


@pytest.mark.parametrize("split", ["train", "calibrate"])
def test_a_split_with_one_class(place: Path, tmp_path: Path, capsys, split: str) -> None:
    def moved(frame: pd.DataFrame) -> pd.Series:
        return frame.split.where((frame.split != split) | (frame.label == "no"), "test")

    wrong = two_sites.change(place / "here.csv", tmp_path / "wrong.csv", split=moved)
    assert f"the source's {split} split has " in refused(place, tmp_path / "run", capsys, source=wrong)
    assert not (tmp_path / "run").exists()


def test_nothing_left_to_adapt_to(place: Path, tmp_path: Path, capsys) -> None:
    wrong = two_sites.change(place / "there.csv", tmp_path / "wrong.csv", split="test")
    assert "every target scan is in its test split" in refused(place, tmp_path / "run", capsys, target=wrong)
    assert not (tmp_path / "run").exists()


def test_one_scan_is_too_few_to_adapt_to(place: Path, tmp_path: Path, capsys) -> None:
    wrong = tmp_path / "wrong.csv"
    pd.read_csv(place / "there.csv").head(1).assign(split="train").to_csv(wrong, index=False)
    assert "the target has one scan to adapt to" in refused(place, tmp_path / "run", capsys, target=wrong)
    assert not (tmp_path / "run").exists()


def test_a_patient_on_both_sides_of_a_split_is_named(place: Path, tmp_path: Path, capsys) -> None:
    def shared(frame: pd.DataFrame) -> pd.Series:
        first_of_test = frame.index[frame.split == "test"][0]
        return frame.patient.where(frame.index != first_of_test, "P-686a0000")  # whom the source trains on

    wrong = two_sites.change(place / "there.csv", tmp_path / "wrong.csv", patient=shared)
    said = refused(place, tmp_path / "run", capsys, target=wrong)
    assert "stand in different splits of source and target" in said
    assert "P-686a0000 in the source's train and the target's test" in said
    assert not (tmp_path / "run").exists()


def test_a_corrupt_file_among_good_ones_is_left_out_with_a_warning(place: Path, tmp_path: Path, capsys) -> None:
    frame = Manifest.load(place / "here.csv").frame
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(Path(frame.path[0]).read_bytes()[:150])
    source = Manifest(frame.assign(path=frame.path.where(frame.index != 0, str(damaged)))).save(tmp_path / "here.csv")
    given = words(place, tmp_path / "run")
    given[given.index("--source") + 1] = str(source)
    assert cli.main([*given, "--quiet"]) == 0
    said = capsys.readouterr().err
    assert "1 source scan was left out: " in said and str(tmp_path) not in said
    assert Run.load(tmp_path / "run").facts["patients"]


def test_misspelt_names_are_told_the_nearest(place: Path, tmp_path: Path, capsys) -> None:
    assert "there is no method 'dnn': did you mean 'dann'?" in refused(
        place, tmp_path / "run", capsys, "--method", "dnn"
    )
    file = two_sites.config(place, "wrong.yaml", sede=3)
    said = refused(place, tmp_path / "run", capsys, config=file)
    assert f"{file}: there is no key 'sede': did you mean 'seed'?" in said
    said = refused(place, tmp_path / "run", capsys, "--backbone", "resnet5O")
    assert "did you mean 'resnet50" in said
    assert "see `medtl doctor`" in refused(place, tmp_path / "run", capsys, "--device", "abacus")
    assert list(tmp_path.iterdir()) == []


def full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The disk is full when a file of this name is moved to its place."""
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)


def test_a_disk_that_is_full_at_the_first_checkpoint_leaves_nothing(
    place: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    full(monkeypatch, "source-only.pt")
    assert "the disk is full" in refused(place, tmp_path / "run", capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["dann.pt", "model.safetensors", "trust.json", "run.json"])
def test_a_disk_that_is_full_later_leaves_what_can_be_gone_on_with(
    run: Run, place: Path, tmp_path: Path, capsys, monkeypatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        full(patch, name)
        assert "the disk is full" in refused(place, tmp_path / "run", capsys)
    assert not list((tmp_path / "run").rglob("*.part"))
    with pytest.raises(InputError, match="was cut off"):
        Run.load(tmp_path / "run")
    assert same(run, start(place, tmp_path / "run", resume=True))


def test_a_place_that_cannot_be_made(place: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "could not be made" in refused(place, tmp_path / "file" / "run", capsys)


def test_the_run_knows_the_range_of_its_source_and_target_scans(place, run):
    used = [
        print_of(read(row))
        for name in ("here", "there")
        for row in Manifest.load(place / f"{name}.csv")
        if row.split == "train" or (name == "there" and row.split == "calibrate")
    ]
    expected, found = Fingerprint.fit(used), run.trained_on
    assert found is not None and found.scans == len(used) == expected.scans
    for name, ends in expected.ranges.items():
        assert found.ranges[name] == pytest.approx(ends)
    again = start(place, place / "again-from", from_run=run.path)
    assert again.trained_on is not None and again.trained_on.scans == 2 * len(used)


def test_what_would_be_treated_differently_is_said(place, tmp_path, capsys, monkeypatch):
    """Target pictures of 16 bits, of which the recipe "picture" makes nearly black ones."""
    before = Manifest.load(place / "there.csv")
    paths = []
    for row in before:
        paths.append(str(tmp_path / Path(row.path).name))
        deep = np.asarray(Image.open(row.path)).astype(np.uint16) * 16
        Image.fromarray(deep).save(paths[-1])
    Manifest(before.frame.assign(path=paths)).save(tmp_path / "deep.csv")
    monkeypatch.setattr("medtl.verbs._training.fabric_for", lambda config: 1 / 0)  # what follows is not of this test
    progress.set_mode("auto")
    with pytest.raises(ZeroDivisionError):
        start(place, tmp_path / "run", target=tmp_path / "deep.csv")
    said = capsys.readouterr().err
    assert "values of 8-bit pictures" in said and "values of more than 8 bits" in said
    assert "The source files have 8 bits and the target files 16" in said
    with pytest.raises(ZeroDivisionError):
        start(place, tmp_path / "run")
    assert "The source" not in capsys.readouterr().err
