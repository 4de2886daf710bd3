"""Calibrating a small Run on a few pictures: a copy, in place, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.runs.layout import pseudonyms
from medtl.runs.run import Run, change_run
from medtl.scans import Manifest
from medtl.verbs.calibrate import _both_classes, calibrate

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.run(tmp_path_factory.mktemp("calibrate") / "RUN")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    made = small.manifest(tmp_path_factory.mktemp("scans"), scans=14)
    return with_splits(made, ["calibrate"] * len(made))


def with_splits(manifest: Manifest, splits: list[str]) -> Manifest:
    frame = manifest.frame.copy()
    frame.loc[frame.index[: len(splits)], "split"] = splits
    return Manifest(frame, manifest.files)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_copy_is_calibrated_and_the_run_stays(whole: Run, scans: Manifest, tmp_path: Path, method: str) -> None:
    before = (whole.path / "trust.json").read_bytes()
    changed = calibrate(whole.path, scans, method, tmp_path / "RUN2")
    assert changed.path == tmp_path / "RUN2"
    assert (whole.path / "trust.json").read_bytes() == before
    for name in changed.names:
        trust, old = changed.trust(name), whole.trust(name)
        assert trust.method == method and trust.calibrated_on == {"n_scans": 14, "n_patients": 14, "sites": ["here"]}
        np.testing.assert_array_equal(trust.ood.mean, old.ood.mean)
    assert set(changed.facts["patients"]) >= {f"P-{i:08x}" for i in range(14)}


def test_neither_the_test_split_nor_labels_of_the_training_are_looked_at(
    whole: Run, scans: Manifest, tmp_path: Path
) -> None:
    split = with_splits(scans, ["train"] * 4 + ["calibrate"] * 6 + ["test"] * 4)

    def seen(run: Run) -> list[str]:
        return sorted(set(run.facts["patients"]) - {*pseudonyms(["trained"]), "P-00000000", "P-00000001"})

    unknown = calibrate(whole, split, out=tmp_path / "A")
    assert seen(unknown) == [f"P-{i:08x}" for i in range(4, 10)]
    trained = change_run(whole, tmp_path / "T", trust={}, facts={"patients": ["trained", "P-00000000", "P-00000001"]})
    known = calibrate(trained, split, out=tmp_path / "B")
    assert seen(known) == [f"P-{i:08x}" for i in range(2, 10)]
    assert known.trust().calibrated_on["n_scans"] == 8
    again = calibrate(known, split, out=tmp_path / "C")
    assert again.trust().calibrated_on["n_scans"] == 8 and again.facts["patients"] == known.facts["patients"]


def test_in_place_takes_force(whole: Run, scans: Manifest, tmp_path: Path) -> None:
    copy = calibrate(whole, scans, out=tmp_path / "RUN")
    with pytest.raises(InputError, match="--force"):
        calibrate(copy, scans)
    with pytest.raises(InputError, match="exists already"):
        calibrate(whole, scans, out=copy.path)
    assert calibrate(copy, scans, "platt", force=True).trust().method == "platt"


def test_few_patients_are_told_what_they_can_promise(
    whole: Run, scans: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(whole, scans.select(scans.frame.scan_id[:4].tolist()), out=tmp_path / "RUN")
    assert "with 4 scans no more than 80 % can be promised" in capsys.readouterr().err


def test_a_coverage_that_cannot_be_promised_is_refused_and_another_is_kept(
    whole: Run, scans: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"with 14 scans no more than 93 % .* --coverage 0.93 or label 5 more"):
        calibrate(whole, scans, out=tmp_path / "RUN", coverage=0.95)
    assert not (tmp_path / "RUN").exists()
    kept = calibrate(whole, scans, out=tmp_path / "RUN", coverage=0.8).trust().sets
    assert (kept.kind, kept.coverage, kept.promised, kept.patients) == ("marginal", 0.8, (0.8,), (14,))


def test_sets_within_classes_weighted_for_other_scans_and_the_doubtful(
    whole: Run, scans: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = calibrate(whole, scans, out=tmp_path / "A", sets="class", coverage=0.8).trust().sets
    assert classes.kind == "class" and classes.patients == (7, 7)
    there = small.manifest(tmp_path / "there", scans=20)
    run = calibrate(whole, scans, "temperature", tmp_path / "B", unlabelled=there, sets="weighted", refer=0.25)
    trust = Run.load(run.path).trust()
    assert trust.sets.kind == "weighted" and len(trust.sets.weights) == 14 and trust.refer_share == 0.25
    predicted = run.predict(there)
    decided = (~predicted.prediction_set[predicted.status == "ok"].isin(["", "no;yes"])).mean()
    assert ("label 50 scans there" in capsys.readouterr().err) == (decided < 0.5)
    told = predicted[predicted.status == "ok"]
    assert set(told.prediction_set) <= {"", "no", "yes", "no;yes"} and (told.refer | told.in_distribution).all()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sets": "adaptive"}, "choose one of marginal, class, weighted"),
        ({"sets": "weighted"}, "--unlabelled"),
        ({"coverage": 90}, "--coverage 90 is not between 0 and 1"),
        ({"refer": 20}, "--refer 20 is not between 0 and 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(whole: Run, scans: Manifest, tmp_path: Path, asked: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        calibrate(whole, scans, out=tmp_path / "RUN", **asked)


@pytest.mark.parametrize("kind", ["no labels", "one class", "test only", "no calibrator"])
def test_what_cannot_be_calibrated_on_is_refused_and_leaves_nothing(
    whole: Run, scans: Manifest, tmp_path: Path, kind: str
) -> None:
    given, says, method = {
        "no labels": (scans.without_labels(), "no labelled scan", "temperature"),
        "one class": (scans.select((scans.frame.label == "yes").to_numpy()), "one class only", "temperature"),
        "test only": (with_splits(scans, ["test"] * len(scans)), "only in its test split", "temperature"),
        "no calibrator": (scans, "choose one of temperature, platt", "horoscope"),
    }[kind]
    with pytest.raises(InputError, match=says):
        calibrate(whole, given, method, tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


def test_for_a_site_without_labels(whole: Run, scans: Manifest, tmp_path: Path) -> None:
    there = small.manifest(tmp_path, scans=24)
    run = calibrate(whole, scans, out=tmp_path / "RUN", unlabelled=there)
    assert {run.trust(name).method for name in run.names} == {"witness"}
    other_way = there.frame.assign(label=there.frame.label.map({"yes": "no", "no": "yes"}))
    lied = calibrate(whole, scans, out=tmp_path / "LIED", unlabelled=Manifest(other_way, there.files))
    assert lied.trust().calibrator == run.trust().calibrator
    home = calibrate(whole, scans, out=tmp_path / "HOME")
    assert home.trust().method == "temperature"
    assert run.trust().calibrator.temperature >= 2 * home.trust().calibrator.temperature - 1e-6
    assert Run.load(run.path).trust() is not None


@pytest.mark.parametrize(
    ("method", "sets", "scans_there", "says"),
    [
        ("cpcs", "marginal", None, "name them with --unlabelled"),
        ("auto", "marginal", 5, "takes 20 scans from there, and --unlabelled has 5"),
        ("temperature", "weighted", 1, "--unlabelled has 1"),
        ("temperature", "class", 5, "neither temperature nor class sets look at the scans of --unlabelled"),
    ],
)
def test_a_site_without_labels_takes_enough_scans_that_something_looks_at(
    whole: Run, scans: Manifest, tmp_path: Path, method: str, sets: str, scans_there: int | None, says: str
) -> None:
    there = small.manifest(tmp_path, scans=scans_there) if scans_there else None
    with pytest.raises(InputError, match=says):
        calibrate(whole, scans, method, tmp_path / "RUN", unlabelled=there, sets=sets)
    assert not (tmp_path / "RUN").exists()


def test_of_several_labels_one_at_least_is_on_some_scans_and_not_on_others(whole: Run) -> None:
    _both_classes(np.array([[1.0, 0.0], [1.0, np.nan], [1.0, 1.0]]), whole, "here.csv")
    for same in ([[1.0, 0.0]], [[1.0, np.nan], [1.0, 0.0]]):
        with pytest.raises(InputError, match=r"here\.csv has no label that some scans have and others have not"):
            _both_classes(np.array(same), whole, "here.csv")
