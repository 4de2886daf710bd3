"""What learning-curve writes, whose labels it sees, what it refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medtl import cli
from medtl.errors import InputError
from medtl.scans import Manifest
from medtl.verbs.learning_curve import learning_curve

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)

quiet_on_one_thread = two_sites.quiet_on_one_thread


@pytest.fixture(scope="module", autouse=True)
def two_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medtl.verbs.learning_curve.DRAWS", 2)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A site whose test split has 16 patients a class, and whose train split has labels for half its patients."""
    folder = tmp_path_factory.mktemp("hospital")
    whole = two_sites.site(folder, "here", patients=128)
    two_sites.config(folder)

    def half(frame: pd.DataFrame) -> pd.Series:
        return frame.label.where((frame.split != "train") | (frame.patient.str[-3:].astype(int) < 64), "")

    two_sites.change(whole, folder / "half.csv", label=half)
    return folder


@pytest.fixture(scope="module")
def out(place: Path) -> Path:
    run(place, place / "curve", select="entropy")
    return place / "curve"


def run(place: Path, out: Path, **others: Any) -> dict[str, Any]:
    told = {"train": place / "half.csv", "config": place / "config.yaml", **others}
    return learning_curve(out=out, **told)


def test_the_four_files_say_the_same(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [
        "curve.json",
        "learning_curve.csv",
        "next.csv",
        "report.html",
    ]
    facts, table = json.loads((out / "curve.json").read_text()), pd.read_csv(out / "learning_curve.csv")
    assert sorted(set(table.labels_a_class)) == [1, 2, 5, 10, 16]
    assert (table.labels == 2 * table.labels_a_class).all() and table.auroc.between(0, 1).all()
    assert facts["labels_a_class"] == 16 and "on 32 patients held apart" in facts["sentence"]
    assert facts["auroc"] == pytest.approx(table.auroc[table.labels_a_class == 16].mean(), abs=1e-4)
    assert facts["sentence"].startswith(f"With 16 labels a class the AUROC is {facts['auroc']:.2f}")
    at_100 = next(row for row in facts["expected"] if row["labels_a_class"] == 100)
    assert f"at 100 expect {at_100['auroc']:.2f}" in facts["sentence"]
    assert all(row["low"] < row["auroc"] < row["high"] for row in facts["expected"])
    page = (out / "report.html").read_text()
    assert facts["sentence"] in page and "<svg" in page and "http" not in page.replace("http://www.w3.org", "")


def test_next_are_unlabelled_patients_of_the_train_split_each_once(place: Path, out: Path) -> None:
    frame = Manifest.load(place / "half.csv").frame.set_index("scan_id")
    chosen = frame.loc[pd.read_csv(out / "next.csv").scan_id]
    assert len(chosen) == 32 == chosen.patient.nunique()  # of as many patients nothing is known
    assert (chosen.label == "").all() and (chosen.split == "train").all()
    assert not set(frame.patient) & set((out / "report.html").read_text().split())
    assert not any(name in (out / "next.csv").read_text() for name in frame.patient)


def test_labels_of_the_test_split_are_measured_on_and_not_learnt_from(place: Path, tmp_path: Path, out: Path) -> None:
    """Turned, they turn every AUROC around a half; the models and what is to be labelled next stay as they are."""

    def turned(frame: pd.DataFrame) -> pd.Series:
        return frame.label.where(frame.split != "test", frame.label.map({"no": "yes", "yes": "no"}))

    other = two_sites.change(place / "half.csv", tmp_path / "turned.csv", label=turned)
    run(place, tmp_path / "curve", train=other, select="entropy")
    assert (tmp_path / "curve" / "next.csv").read_text() == (out / "next.csv").read_text()
    before, after = (pd.read_csv(folder / "learning_curve.csv").auroc for folder in (out, tmp_path / "curve"))
    assert np.allclose(before + after, 1, atol=2e-4)


def test_the_shell_and_other_scans_to_measure_on(place: Path, tmp_path: Path) -> None:
    there = two_sites.site(tmp_path, "there", patients=24, dark=30)
    words = ["learning-curve", "--train", place / "half.csv", "--on", there, "--config", place / "config.yaml"]
    assert cli.main([str(word) for word in [*words, "--select", "typical", "-o", tmp_path / "curve"]]) == 0
    facts = json.loads((tmp_path / "curve" / "curve.json").read_text())
    patients = Manifest.load(there).frame.query("split == 'test'").patient.nunique()
    assert f"on {patients} patients held apart" in facts["sentence"]
    assert set(pd.read_csv(tmp_path / "curve" / "next.csv").why) == {
        "typical of a group of scans that has few labels yet"
    }


def test_with_few_labels_in_all_they_are_cross_validated(place: Path, tmp_path: Path) -> None:
    def few(frame: pd.DataFrame) -> pd.Series:
        return frame.label.where(frame.patient.str[-3:].astype(int) < 20, "")

    little = two_sites.change(place / "half.csv", tmp_path / "few.csv", label=few)
    facts = run(place, tmp_path / "curve", train=little)
    assert "cross-validated in the 20 labelled patients" in facts["sentence"]
    assert set(pd.read_csv(tmp_path / "curve" / "learning_curve.csv").labels_a_class) == {1, 2, 5, 8}


def test_what_it_refuses(place: Path, tmp_path: Path, out: Path) -> None:
    with pytest.raises(InputError, match="give --force"):
        run(place, out)
    with pytest.raises(InputError, match="did you mean 'entropy'"):
        run(place, tmp_path / "x", select="entropie")
    train_alone = two_sites.change(place / "half.csv", tmp_path / "train.csv", split="train")
    with pytest.raises(InputError, match=r"patients of --train are among those of --on"):
        run(place, tmp_path / "x", on=train_alone)
    several = two_sites.change(place / "half.csv", tmp_path / "several.csv", label="no;yes")
    with pytest.raises(InputError, match="can have several labels"):
        run(place, tmp_path / "x", train=several)
    assert not (tmp_path / "x").exists()
