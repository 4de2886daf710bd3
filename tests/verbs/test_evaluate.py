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
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    multilabel_confusion_matrix,
    recall_score,
    roc_auc_score,
)

from medtl import cli
from medtl.errors import InputError
from medtl.intensity import Recipe, Step
from medtl.intensity.fingerprint import Fingerprint, Print
from medtl.measures import operating_point
from medtl.runs.run import Run
from medtl.scans import Manifest
from medtl.trust import Trust
from medtl.verbs._measuring import lesion_masks
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
    frame = pd.DataFrame(rows)
    patient = frame.index // 2
    frame["sex"] = np.where(patient % 3 == 0, "f", "m")
    return Manifest(frame.assign(age=np.where(patient == 1, "97", (30 + 3 * patient).astype(str))))


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
        found = evaluate(run.path, on, out, prevalence=0.05, by=["sex", "age"])
    assert json.loads((out / "metrics.json").read_text()) == found
    return out


def test_its_files_and_nothing_else(done: Path) -> None:
    files = ["checklist.md", "metrics.json", "model_card.md", "predictions.csv", "report.html"]
    assert sorted(p.name for p in done.iterdir()) == files
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


@pytest.fixture(scope="module")
def seen(done: Path, on: Manifest) -> tuple[dict, np.ndarray, np.ndarray, pd.DataFrame]:
    """metrics.json, and of the readable scans of predictions.csv the labels, the probabilities and the table."""
    table = pd.read_csv(done / "predictions.csv")
    table = table.assign(label=(on.frame.label == "yes").to_numpy(int), sex=on.frame.sex.to_numpy())
    table = table[table.status == "ok"]
    return json.loads((done / "metrics.json").read_text()), table.label.to_numpy(), table.p_yes.to_numpy(), table


def test_the_operating_points_are_scikit_learns_on_the_predictions(seen: tuple) -> None:
    metrics, label, p, table = seen
    own, *others = metrics["operating_points"]
    said = (table.prediction == "yes").to_numpy()
    assert own["sensitivity"] == pytest.approx(recall_score(label, said)) == metrics["sensitivity"]
    assert own["specificity"] == pytest.approx(recall_score(label, said, pos_label=0))
    assert own["threshold"] == metrics["threshold"] and own["where"] == "home"
    share, ppv, _ = own["named"]
    hit, alarm = share * own["sensitivity"], (1 - share) * (1 - own["specificity"])
    assert share == 0.05 and (ppv == pytest.approx(hit / (hit + alarm)) if hit + alarm else ppv is None)
    assert [row["rule"] for row in others] == ["90 % specificity", "95 % sensitivity", "Youden's J"]
    for row in others:
        assert (row["where"], row["n_labels"], row["n_positive"]) == ("here", 24, 12) and "cross-fitted" in row["how"]
    last_digit = 1e-6  # the table's probabilities have seven
    assert recall_score(label, p >= others[0]["threshold"] + last_digit, pos_label=0) >= 0.9
    assert recall_score(label, p >= others[1]["threshold"] - last_digit) >= 0.95


def test_confusion_net_benefit_calibration_and_doubt_are_those_of_the_predictions(seen: tuple) -> None:
    metrics, label, p, table = seen
    said = (table.prediction == "yes").to_numpy(int)
    (confusion,) = metrics["confusion"]
    assert confusion["counts"] == confusion_matrix(label, said).tolist() and confusion["names"] == ["no", "yes"]
    curve = metrics["decision_curve"]["yes"]
    at = curve["threshold"].index(0.3)
    _, alarms, _, hits = confusion_matrix(label, p >= 0.3).ravel()
    assert curve["net_benefit"][at] == pytest.approx((hits - alarms * 3 / 7) / 24)
    calibration = metrics["calibration"]
    parts = [calibration[name] for name in ("reliability", "uncertainty", "within")]
    assert sum(parts) - calibration["resolution"] == pytest.approx(brier_score_loss(label, p), abs=1e-6)
    assert calibration["ece"] == metrics["ece"] and {"ks", "classwise_ece", "sharpness"} <= set(calibration)
    assert calibration["uncalibrated"]["ece"] == metrics["uncalibrated"]["ece"]
    low, high = metrics["average_precision_ci"]
    assert low <= metrics["average_precision"] <= high
    doubt, sureness = metrics["selective"], np.where(said == 1, p, 1 - p)
    surest = np.argsort(-sureness, kind="stable")[:19]
    assert doubt["n_kept"] == 19 and doubt["accuracy"] == pytest.approx(metrics["accuracy"])
    assert doubt["accuracy_kept"] == pytest.approx(np.mean(said[surest] == label[surest]))


def test_groups_are_those_of_the_manifest_and_nobody_stands_alone(seen: tuple, done: Path) -> None:
    metrics, label, p, table = seen
    groups = {row["name"]: row for row in metrics["subgroups"]["sex"]["groups"]}
    assert list(groups) == ["m"] and "fewer than 5 patients" in metrics["subgroups"]["sex"]["note"]  # 4 are "f"
    own = (table.sex == "m").to_numpy()
    assert groups["m"]["auroc"] == pytest.approx(roc_auc_score(label[own], p[own]), abs=1e-6)
    assert groups["m"]["small"] and groups["m"]["n_patients"] == 8
    assert "80 and over" not in {row["name"] for row in metrics["subgroups"]["age"]["groups"]}


def test_the_models_are_compared_in_pairs(seen: tuple, run: Run, on: Manifest) -> None:
    metrics, label, p, _ = seen
    (pair,) = metrics["comparison"]
    others = run.predict(on, "source-only").query("status == 'ok'").p_yes
    assert (pair["model"], pair["against"]) == ("source-only", "adapted")
    assert pair["auroc"] == pytest.approx(roc_auc_score(label, others) - roc_auc_score(label, p), abs=1e-6)
    assert pair["auroc_ci"][0] <= pair["auroc"] <= pair["auroc_ci"][1] and 0 <= pair["auroc_p"] <= 1
    assert pair["brier"] == pytest.approx(brier_score_loss(label, others) - brier_score_loss(label, p), abs=1e-6)


def test_thresholds_are_set_on_the_calibrate_split_where_there_is_one(run: Run, on: Manifest, tmp_path: Path) -> None:
    split = np.where(np.arange(len(on)) < 12, "test", "calibrate")
    metrics = evaluate(run, Manifest(on.frame.assign(split=split)), tmp_path / "out")
    own, *others = metrics["operating_points"]
    assert (own["n_labels"], [row["n_labels"] for row in others]) == (0, [12, 12, 12])
    assert all("calibrate split" in row["how"] for row in others)
    given = run.predict(on).p_yes[12:24].to_numpy()
    label = (on.frame.label[12:24] == "yes").to_numpy(int)
    assert others[1]["threshold"] == pytest.approx(operating_point(label, given, "sensitivity=0.95").threshold)
    seen_in_training = knows(run, sorted(set(on.frame.patient[12:24])))
    metrics = evaluate(seen_in_training, Manifest(on.frame.assign(split=split)), tmp_path / "other")
    assert all("cross-fitted" in row["how"] for row in metrics["operating_points"][1:])


def test_lesion_masks_are_found_beside_the_scans_or_the_manifest(on: Manifest, tmp_path: Path) -> None:
    names = ["Smith_1.png", "beside.png", *[""] * (len(on) - 2)]
    (tmp_path / "beside.png").write_bytes(b"")
    masked = Manifest(on.frame.assign(lesion_mask=names))
    found = lesion_masks(masked, tmp_path / "manifest.csv")
    assert found == {on.frame.scan_id[0]: Path(on.frame.path[1]), on.frame.scan_id[1]: tmp_path / "beside.png"}
    with pytest.raises(InputError, match=r"the lesion mask beside.png of scan 000000000001 is neither beside"):
        lesion_masks(masked, masked)
    assert lesion_masks(on, on) == {}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--by", "sex", "gender"], "no column 'gender' to group by"),
        (["--by", "patient"], "cannot be grouped by 'patient'"),
        (["--prevalence", "5"], "'5' is no share"),
    ],
)
def test_what_the_options_get_wrong_is_one_sentence(
    run: Run, on: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    on.save(tmp_path / "on.csv")
    assert (
        cli.main(["evaluate", str(run.path), "--on", str(tmp_path / "on.csv"), "-o", str(tmp_path / "x"), *options])
        == 2
    )
    said = capsys.readouterr().err
    assert says in said and said.count("medtl: ") == 1 and not (tmp_path / "x").exists()


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


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_more_than_two_classes(on: Manifest, tmp_path: Path, task: str) -> None:
    names = ["a", "b", "c"]
    trust = small.trust(3, task=task) if task == "multiclass" else Trust(task=task)
    facts = small.facts(classes=names, task=task, decision={})
    run = small.run(tmp_path / "run", facts=facts, models={"model": small.classifier(3)}, trust={"model": trust})
    number = np.arange(len(on)) // 2 % 3
    label = [names[k] if task == "multiclass" or k else "a;c" for k in number]
    several = Manifest(on.frame.assign(label=label))
    metrics = evaluate(run, several, tmp_path / "out", prevalence=["b=0.1"], by=["sex"])
    assert metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    table = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False).query("status == 'ok'")
    truth = np.array([[name in cell.split(";") for name in names] for cell in label[:24]])
    said = np.array([[name in cell.split(";") for name in names] for cell in table.prediction])
    if task == "multiclass":
        assert metrics["confusion"][0]["counts"] == confusion_matrix(truth.argmax(1), said.argmax(1)).tolist()
    else:
        expected = multilabel_confusion_matrix(truth, said).tolist()
        assert [each["counts"] for each in metrics["confusion"]] == expected
    own = [row for row in metrics["operating_points"] if row["where"] == "home"]
    assert [row["of"] for row in own] == [*names, "mean"]
    for k, row in enumerate(own[:3]):
        assert row["sensitivity"] == pytest.approx(recall_score(truth[:, k], said[:, k]))
        assert (row["named"] is not None) == (row["of"] == "b")
    assert list(metrics["decision_curve"]) == names and len(metrics["subgroups"]["sex"]["groups"]) == 1
