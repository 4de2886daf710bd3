"""A prediction a study, from training to the hospital: two views a study, of which only the first has the label."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medtl import progress
from medtl.exports.runtime import Export
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.verbs import _training
from medtl.verbs.adapt import adapt
from medtl.verbs.calibrate import calibrate
from medtl.verbs.evaluate import evaluate
from medtl.verbs.export import export
from medtl.verbs.predict import predict

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)


quiet_on_one_thread = two_sites.quiet_on_one_thread


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Two sites and a Run adapted from one to the other."""
    folder = tmp_path_factory.mktemp("hospitals")
    for name, dark in (("here", 0), ("there", 50)):
        two_sites.site(folder, name, dark=dark)
        views = {"study": lambda frame: "ST-" + frame.patient.str[2:]}
        labels = {"label": lambda frame: frame.label.where(~frame.study.duplicated(), "")}
        two_sites.change(folder / f"{name}.csv", folder / f"{name}-studies.csv", **views, **labels)
    config = two_sites.config(folder, unit="study")
    dealt = []
    with pytest.MonkeyPatch.context() as patch:
        prepare = _training.Cohorts.prepare
        patch.setattr(_training.Cohorts, "prepare", lambda *told: dealt.append(prepare(*told)) or dealt[0])
        adapt([folder / "here-studies.csv"], folder / "there-studies.csv", folder / "run", config=config)
    (cohorts,) = dealt
    for cohort, studies in ((cohorts.source, 12), (cohorts.held_out, 6), (cohorts.target, 18)):
        assert cohort.bag_sizes.tolist() == [2] * studies
    return folder


def test_what_is_measured_is_what_is_predicted(place: Path, tmp_path: Path) -> None:
    run, there = Run.load(place / "run"), Manifest.load(place / "there-studies.csv")
    assert (run.unit, run.config["unit"]) == ("study", "study")
    metrics = evaluate(run, there, tmp_path / "report")
    assert (metrics["unit"], metrics["n_scans"], metrics["n_patients"]) == ("study", 6, 6)
    assert metrics["verdict"]["sentence"].startswith("On 6 of your studies the AUROC is")
    assert "6 labelled studies of 6 patients" in (tmp_path / "report" / "report.html").read_text()
    table = pd.read_csv(tmp_path / "report" / "predictions.csv").set_index("scan_id")
    given = run.predict(there).set_index("scan_id")
    assert len(table) == 12  # the second views too
    np.testing.assert_allclose(table.p_yes, given.p_yes[table.index], atol=1e-6)
    studies = there.frame.set_index("scan_id").study
    assert (given.p_yes.groupby(studies).nunique() == 1).all() and given.p_yes.nunique() == 24


def test_it_is_calibrated_by_study(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress.set_mode("auto")
    done = calibrate(place / "run", place / "there-studies.csv", out=tmp_path / "calibrated")
    progress.set_mode("quiet")
    assert "Calibrated on 18 studies of 18 patients: temperature" in capsys.readouterr().out
    assert done.trust().calibrated_on["n_scans"] == 18 and done.unit == "study"


def test_the_export_predicts_as_the_run_does(place: Path, tmp_path: Path) -> None:
    there = Manifest.load(place / "there-studies.csv")
    folder = export(place / "run", tmp_path / "onnx", on=there)
    assert json.loads((folder / "medtl.json").read_text())["unit"] == Export.load(folder).unit == "study"
    ours, theirs = predict(place / "run", [there]), predict(folder, [there])
    for column in ours.columns:
        if column.startswith("p_"):
            np.testing.assert_allclose(ours[column].astype(float), theirs[column].astype(float), atol=1e-4)
        else:
            assert ours[column].tolist() == theirs[column].tolist(), column
