"""evaluate against scikit-learn on its own predictions.csv, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from medtl.errors import InputError
from medtl.intensity import Recipe, Step
from medtl.intensity.fingerprint import Fingerprint, Print
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.verbs.evaluate import evaluate, evaluate_models

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parents[1] / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def scans(folder: Path, n: int = 24) -> Manifest:
    """Two pictures a patient, brighter where "yes"; one more is damaged."""
    random = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for i in range(n):
        yes = i // 2 % 2
        pixels = random.integers(0, 120 + 60 * yes, (40, 40), dtype=np.uint8)
        path = folder / f"Smith_{i}.png"
        Image.fromarray(pixels).save(path)
        rows.append({**_row(i, path), "label": ("no", "yes")[yes], "patient": f"P-{i // 2:08x}"})
    path = folder / "Smith_damaged.png"
    path.write_bytes((folder / "Smith_0.png").read_bytes()[:150])
    rows.append({**_row(n, path), "label": "no", "patient": "P-ffffffff"})
    return Manifest(pd.DataFrame(rows))


def _row(i: int, path: Path) -> dict[str, str]:
    return {**small._row(i, path, "ok", ""), "split": "calibrate"}  # so that no test split is dealt


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    random = np.random.default_rng(0)
    names = ("source_before", "target_before", "source_after", "target_after")
    features = {name: random.normal(size=(20, 8)).astype(np.float32) for name in names}
    log = pd.DataFrame({"phase": "dann", "epoch": 0, "step": range(8), "lr": 0.1, "task": random.random(8)})
    return small.run(
        tmp_path_factory.mktemp("runs") / "run",
        features={**features, "source_label": np.arange(20) % 2},
        log=log.assign(domain_accuracy=random.random(8)),
    )


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return scans(tmp_path_factory.mktemp("scans") / "here")


@pytest.fixture(scope="module")
def done(run: Run, on: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evaluation"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = evaluate(run.path, on, out)
    assert json.loads((out / "metrics.json").read_text()) == found
    return out


def test_the_three_files_and_nothing_else(done: Path) -> None:
    assert sorted(p.name for p in done.iterdir()) == ["metrics.json", "predictions.csv", "report.html"]
    assert [p.name for p in done.parent.iterdir()] == ["evaluation"]


def test_the_metrics_are_scikit_learns_on_the_predictions(done: Path, on: Manifest) -> None:
    metrics = json.loads((done / "metrics.json").read_text())
    table = pd.read_csv(done / "predictions.csv")
    assert list(table.scan_id) == list(on.frame.scan_id)
    table["label"] = (on.frame.label == "yes").to_numpy(int)
    assert list(table.status) == ["ok"] * 24 + ["unreadable"]
    read = table[table.status == "ok"]
    label, p = read.label, read.p_yes
    assert metrics["auroc"] == pytest.approx(roc_auc_score(label, p), abs=1e-6)
    assert metrics["average_precision"] == pytest.approx(average_precision_score(label, p), abs=1e-6)
    assert metrics["brier"] == pytest.approx(brier_score_loss(label, p), abs=1e-6)
    assert metrics["nll"] == pytest.approx(log_loss(label, p), abs=1e-6)
    said = read.prediction == "yes"
    assert metrics["accuracy"] == pytest.approx(np.mean(said == label))
    assert metrics["sensitivity"] == pytest.approx(np.mean(said[label == 1]))
    assert (metrics["n_scans"], metrics["n_patients"]) == (24, 12)
    assert metrics["referred"] == pytest.approx(read.refer.astype(bool).mean())


def test_the_contract(done: Path) -> None:
    metrics = json.loads((done / "metrics.json").read_text())
    keys = {
        "task", "threshold", "auroc", "auroc_ci", "average_precision", "accuracy", "balanced_accuracy", "sensitivity",
        "specificity", "ppv", "npv", "prevalence", "nll", "brier", "ece", "n_scans", "n_patients",
    }  # fmt: skip
    for numbers in (metrics, metrics["uncalibrated"], metrics["models"]["source-only"], metrics["sites"]["here"]):
        assert keys <= set(numbers)
    assert metrics["model"] == "adapted" and list(metrics["models"]) == ["source-only"]
    assert metrics["verdict"]["kind"] in ("better than chance", "not", "cannot tell yet")
    assert any("no labelled test split" in note for note in metrics["notes"])
    assert any("1 scan is left out" in note for note in metrics["notes"])


def test_the_report_names_nobody(done: Path, on: Manifest) -> None:
    html = (done / "report.html").read_text()
    for word in ("Smith", "/home", str(done.parent), str(Path(on.frame.path[0]).parent), *set(on.frame.patient)):
        assert word not in html
    for section in ("compared", "telling-apart", "reliability", "examples", "features", "training", "provenance"):
        assert f'id="{section}"' in html


def test_a_test_split_is_used_alone(run: Run, on: Manifest, tmp_path: Path) -> None:
    split = np.where(np.arange(len(on)) < 12, "test", "train")
    metrics = evaluate(run, Manifest(on.frame.assign(split=split)), tmp_path / "out")
    assert metrics["n_scans"] == 12
    assert any("Of 25 labelled scans, the 12 of the test split" in note for note in metrics["notes"])


def test_several_runs_in_one_report(run: Run, on: Manifest, tmp_path: Path) -> None:
    models = {"source-only": (run, "source-only"), "dann": (run, "model"), "fine-tuned": (run, "source-only")}
    others = {"seconds": {"dann": 3.0}, "title": "Three", "picture": tmp_path / "p.png"}
    metrics = evaluate_models(models, on, tmp_path / "out", handed_over="dann", **others)
    assert metrics["model"] == "dann" and list(metrics["models"]) == ["source-only", "fine-tuned"]
    assert metrics["models"]["source-only"] == metrics["models"]["fine-tuned"]
    assert "<h1>Three</h1>" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_models_are_compared_on_the_scans_that_all_of_them_can_read(run: Run, on: Manifest, tmp_path: Path) -> None:
    """A recipe that cannot make anything of some scans takes them from the others too."""
    dark = str(tmp_path / "dark.png")
    Image.fromarray(np.asarray(Image.open(on.frame.path[3])) // 2).save(dark)
    several = Manifest(on.frame.assign(path=on.frame.path.where(on.frame.index != 3, dark)))
    bright = Recipe("bright", size=32, steps=(Step("crop_to_foreground", {"above": 100}), Step("bit_range")))
    picky = small.run(tmp_path / "picky", recipe=bright)
    models = {"picky": (picky, "model"), "ours": (run, "model")}
    metrics = evaluate_models(models, several, tmp_path / "out")
    assert metrics["n_scans"] == metrics["models"]["picky"]["n_scans"] == 23
    assert any("2 scans are left out" in note for note in metrics["notes"])
    without = evaluate_models(models, Manifest(several.frame.drop(index=3)), tmp_path / "without")
    assert metrics["auroc"] == without["auroc"]
    assert metrics["models"]["picky"]["auroc"] == without["models"]["picky"]["auroc"]
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table.status[3] == "unreadable" and isinstance(table.reason[3], str)


def test_a_model_of_studies_is_not_compared_with_one_of_series(run: Run, on: Manifest, tmp_path: Path) -> None:
    of_studies = replace(run, path=tmp_path / "other", facts={**run.facts, "unit": "study"})
    with pytest.raises(InputError, match="a prediction a series, others a study: evaluate them apart"):
        evaluate_models({"a": (run, "model"), "b": (of_studies, "model")}, on, tmp_path / "out")


def knows(run: Run, patients: list[str]) -> Run:
    return Run(run.path, {**run.facts, "patients": patients}, run.config, run.recipe, run._trust)


def test_an_adapted_model_is_called_what_made_it(run: Run, on: Manifest, tmp_path: Path) -> None:
    facts = {**run.facts, "method": "source-only", "harmonise": ["histogram", "fda"]}
    evaluate(Run(run.path, facts, run.config, run.recipe, run._trust), on, tmp_path / "out")
    assert "source-only with fda" in (tmp_path / "out" / "report.html").read_text()


def test_patients_whose_labels_the_run_has_seen_are_no_test(run: Run, on: Manifest, tmp_path: Path) -> None:
    seen = knows(run, ["P-00000000", "P-00000001", "P-eeeeeeee"])
    with pytest.raises(InputError, match="P-00000000, P-00000001"):
        evaluate(seen, Manifest(on.frame.assign(split="test")), tmp_path / "out")
    with pytest.raises(InputError, match="trained or calibrated on"):
        evaluate(knows(run, list(on.frame.patient)), on, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    metrics = evaluate(seen, on, tmp_path / "out")
    assert metrics["n_scans"] == 20 and any("4 scans are left out" in note for note in metrics["notes"])


@pytest.mark.parametrize(
    ("label", "says"),
    [("", "has a label"), ("yes", "one class"), ("maybe", "none of the Run's classes")],
)
def test_what_cannot_be_measured_on_is_refused(run: Run, on: Manifest, tmp_path: Path, label: str, says: str) -> None:
    frame = on.frame.copy()
    rows = slice(0, 3) if label == "maybe" else slice(None)
    frame.loc[frame.index[rows], "label"] = label
    with pytest.raises(InputError, match=says):
        evaluate(run, Manifest(frame), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_exists_stays_without_force(run: Run, on: Manifest, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    for force in (False, True):
        with pytest.raises(InputError):
            evaluate(run, on, tmp_path / "mine", force=force)
    first = evaluate(run, on, tmp_path / "out")
    with pytest.raises(InputError, match="--force"):
        evaluate(run, on, tmp_path / "out")
    assert evaluate(run, on, tmp_path / "out", force=True) == first


def test_scans_outside_what_it_was_trained_on_are_told(on: Manifest, tmp_path: Path) -> None:
    known = Fingerprint.fit([Print((0.0, 60.0, 170.0, *[float("nan")] * 3, 1.0, 400.0, 400.0, 0.0))])
    found = evaluate(small.run(tmp_path / "run", trained_on=known), on, tmp_path / "out")
    (note,) = [note for note in found["notes"] if "not in distribution" in note]
    assert note.startswith("24 of 24 scans are not in distribution: the first, ") and "40 rows, trained on 400" in note
    table = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False)
    assert (table["reason"] != "").all() and set(table["in_distribution"][:24].astype(str)) == {"False"}
