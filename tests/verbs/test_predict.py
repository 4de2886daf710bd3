"""`medtl predict`: a Run, an export or an .onnx file, on folders, files and manifests."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import medtl
from medtl.cli import main
from medtl.errors import InputError
from medtl.intensity.fingerprint import Fingerprint, Print
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.verbs.predict import predict

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.shared(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.shared(tmp_path_factory)[1]


@pytest.fixture
def scans(tmp_path: Path) -> Manifest:
    return small.manifest(tmp_path / "scans")


def test_run_export_and_onnx_file_give_the_same_table(run: Run, exported: Path, scans: Manifest) -> None:
    frames = [predict(model, [scans]) for model in (run, run.path, str(exported), exported / "model.onnx")]
    for frame in frames[1:]:
        np.testing.assert_allclose(frame["p_yes"].astype(float), frames[0]["p_yes"].astype(float), atol=1e-4)
        assert frame["prediction"].tolist() == frames[0]["prediction"].tolist()


def test_a_folder_a_file_and_a_manifest_are_interchangeable(run: Run, scans: Manifest, tmp_path: Path) -> None:
    scans.save(tmp_path / "manifest.csv")
    by_manifest = predict(run, [tmp_path / "manifest.csv"])
    by_folder = predict(run, [tmp_path / "scans"])
    by_file = predict(run, [tmp_path / "scans" / "scan3.png"])
    assert by_folder["status"].tolist().count("ok") == by_manifest["status"].tolist().count("ok") == 6
    by_folder = by_folder[by_folder["status"] == "ok"]
    assert sorted(by_folder["p_yes"]) == pytest.approx(sorted(by_manifest["p_yes"][:6]), abs=1e-5)
    assert by_file["p_yes"].tolist() == pytest.approx([by_manifest["p_yes"][3]], abs=1e-5)
    both = predict(run, [scans.select(np.arange(8) < 2), scans.select(np.arange(8) >= 2)])
    assert both["scan_id"].tolist() == scans.frame["scan_id"].tolist()


def test_the_file_holds_the_table_and_a_spreadsheet_runs_none_of_it(run: Run, scans: Manifest, tmp_path: Path) -> None:
    frame = scans.frame.assign(patient=["=HYPERLINK(1)"] + ["@x"] + ["P"] * 6)
    out = tmp_path / "predictions.csv"
    returned = predict(run, [Manifest(frame)], out=out)
    text = out.read_text()
    assert not [line for line in text.splitlines() if any(cell[:1] in "=+-@" for cell in line.split(",") if cell)]
    table = pd.read_csv(out, dtype={"scan_id": str}, keep_default_na=False)
    assert list(table.columns) == list(returned.columns)
    assert table["scan_id"].tolist() == returned["scan_id"].tolist()
    assert table["status"].tolist()[-2:] == ["unreadable", "set aside"]
    assert [float(p) for p in table["p_yes"][:6]] == pytest.approx(returned["p_yes"][:6].tolist(), rel=1e-6)
    assert set(table["in_distribution"]) <= {"True", "False", ""}


def test_an_output_that_exists_is_refused_before_any_work(run: Run, tmp_path: Path, scans: Manifest) -> None:
    out = tmp_path / "predictions.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        predict(tmp_path / "no such run", [scans], out=out)
    assert out.read_text() == "mine"
    predict(run, [scans], out=out, force=True)
    assert out.read_text().startswith("scan_id,patient,p_no,p_yes,")


def test_what_is_neither_run_nor_export_is_refused(tmp_path: Path, scans: Manifest) -> None:
    (tmp_path / "weights.pt").write_bytes(b"\x80")
    for wrong in (tmp_path, tmp_path / "weights.pt", tmp_path / "nothing.onnx", tmp_path / "nowhere"):
        with pytest.raises(InputError) as caught:
            predict(wrong, [scans])
        assert "\n" not in str(caught.value)


def test_the_warning_of_the_run_is_repeated(
    run: Run, exported: Path, scans: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in (run, exported):
        predict(model, [scans])
        shown = capsys.readouterr()
        assert "Label 50 scans." in shown.err
        assert "8 scans: " in shown.out
        assert "2 not classified" in shown.out


def test_an_export_predicts_in_the_shell_without_torch(exported: Path, scans: Manifest, tmp_path: Path) -> None:
    scans.save(tmp_path / "manifest.csv")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["timm"] = sys.modules["monai"] = None  # an import of them fails
from medtl.cli import main
sys.exit(main(["predict", {str(exported)!r}, {str(tmp_path / "manifest.csv")!r}, "-o", {str(tmp_path / "out.csv")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 9


def test_it_is_a_function_of_the_package() -> None:
    assert medtl.predict is predict


def test_how_many_scans_are_not_in_distribution_is_said_in_one_line(
    scans: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Fingerprint.fit([Print((0.0, 60.0, 250.0, *[float("nan")] * 3, 1.0, 400.0, 400.0, 0.0))])
    run = small.run(tmp_path / "run", trained_on=known)
    predict(run, [scans])
    said = [line for line in capsys.readouterr().err.splitlines() if "not in distribution" in line]
    assert len(said) == 1
    assert "6 of 6 scans are not in distribution: the first, " in said[0] and "40 rows, trained on 400" in said[0]
    predict(small.run(tmp_path / "older"), [scans])
    assert "outside what" not in capsys.readouterr().err


def test_uncertainty_is_a_last_column_that_changes_nothing_else(run: Run, scans: Manifest, tmp_path: Path) -> None:
    plain = predict(run, [scans])
    told = predict(run.path, [scans], out=tmp_path / "predictions.csv", uncertainty="views")
    assert list(told.columns) == [*plain.columns, "uncertainty"]
    pd.testing.assert_frame_equal(told[plain.columns], plain)
    assert (told["uncertainty"][:6] >= 0).all()
    assert told["uncertainty"][6:].isna().all()
    last = [line.rsplit(",", 1)[1] for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    assert last[0] == "uncertainty"
    assert all(last[1:7])
    assert last[7:] == ["", ""]


def test_uncertainty_in_the_shell_and_what_it_refuses(
    run: Run, exported: Path, scans: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans.save(tmp_path / "manifest.csv")
    for words, refusal in (
        (["--uncertainty", "ensemble", "--members", str(run.path), str(run.path)], ""),
        (["--uncertainty", "ensemble"], "--members RUN RUN"),
        (["--uncertainty", "guess"], "choose one of ensemble, dropout, views, laplace"),
        (["--members", str(run.path)], "--uncertainty ensemble"),
    ):
        assert main(["predict", str(run.path), str(tmp_path / "manifest.csv"), *words]) == (2 if refusal else 0)
        assert refusal in capsys.readouterr().err
    assert main(["predict", str(exported), str(tmp_path / "manifest.csv"), "--uncertainty", "views"]) == 2
    assert "is an export and has no uncertainty" in capsys.readouterr().err
