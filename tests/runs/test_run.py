"""Runs: written whole, read only when they are whole."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medtl.errors import InputError
from medtl.models import Classifier, create_backbone
from medtl.runs.run import Run, change_run, write_run

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(whole: Run, tmp_path: Path) -> Path:
    """A Run that a test may damage."""
    return Path(shutil.copytree(whole.path, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_what_is_read(whole: Run) -> None:
    run = Run.load(whole.path)
    assert (run.classes, run.task, run.recipe) == (["no", "yes"], "binary", small.RECIPE)
    assert run.names == ["model", "source-only"]
    assert run.facts["provenance"]["seed"] == 3
    for name, seed in (("model", 1), ("adapted", 1), ("source-only", 2)):
        ours, theirs = run.classifier(name).state_dict(), small.classifier(seed=seed).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert not run.classifier(name).training
        assert run.trust(name).to_dict() == small.trust(seed=seed).to_dict()
    assert run.fingerprint("adapted") == run.fingerprint() != run.fingerprint("source-only")


def test_a_model_may_have_another_backbone_than_source_only(whole: Run, tmp_path: Path) -> None:
    other = Classifier(create_backbone("test_resnet", pretrained=False, channels=1), 2, bottleneck=16).eval()
    told = {"config": whole.config, "recipe": whole.recipe}
    models = {"adapted": other, "source-only": whole.classifier("source-only")}
    for handed_over in models:
        facts = {**whole.facts, "backbones": {"adapted": "test_resnet"}, "decision": {"handed_over": handed_over}}
        run = write_run(tmp_path / handed_over, facts=facts, models=models, **told)
        for name, model in models.items():
            ours, theirs = run.classifier(name).state_dict(), model.state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert run.backbone_of("source-only") == whole.facts["backbone"] == whole.backbone_of()
        assert run.backbone_of("adapted") == "test_resnet"
        assert run.backbone_of() == run.backbone_of(handed_over)


def test_the_files_can_be_read_by_other_programs_and_run_no_code(whole: Run) -> None:
    assert load_file(whole.path / "model.safetensors").keys() == small.classifier().state_dict().keys()
    features = np.load(whole.path / "features.npz", allow_pickle=False)
    assert features["source_id"].tolist() == ["a", "b"]
    assert json.loads((whole.path / "metrics.json").read_text()) == {"auroc": 0.5, "nothing": None}


def test_a_run_tells_no_place_and_no_host(whole: Run) -> None:
    import getpass
    import platform

    for file in ("run.json", "config.yaml", "recipe.json", "trust.json", "log.csv", "metrics.json"):
        text = (whole.path / file).read_text()
        assert "somebody" not in text
        assert str(whole.path.parent) not in text
        assert f'"{platform.node()}"' not in text
        assert f'"{getpass.getuser()}"' not in text


def test_logits_and_features_are_those_of_the_classifier_for_each_scan_alone(whole: Run, tmp_path: Path) -> None:
    cohort = small.cohort(tmp_path)
    logits, features = whole.outputs(cohort)
    assert logits.shape == (6, 2)
    assert features.dtype == np.float32
    model = whole.classifier()
    for i in range(len(cohort)):
        with torch.inference_mode():
            alone = model(torch.from_numpy(np.array(cohort.pixels(i))), torch.zeros(1, dtype=torch.long), 1)
        np.testing.assert_allclose(logits[i], alone.logits[0], atol=1e-5)
        np.testing.assert_allclose(features[i], alone.features[0], atol=1e-5)


def test_predictions_have_a_row_for_each_scan_in_order(whole: Run, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    frame = whole.predict(manifest)
    assert frame["scan_id"].tolist() == manifest.frame["scan_id"].tolist()
    assert frame["status"].tolist() == ["ok"] * 6 + ["unreadable", "set aside"]
    assert frame["reason"].tolist()[-1] == "a text file"
    assert frame["reason"].tolist()[-2] not in ("", None)
    assert str(tmp_path) not in frame["reason"].tolist()[-2]
    assert np.allclose((frame["p_no"] + frame["p_yes"])[:6].astype(float), 1)
    assert frame["p_yes"][6:].isna().all()
    expected = ["scan_id", "patient", "p_no", "p_yes", "prediction", "prediction_set"]
    assert list(frame.columns) == [*expected, "in_distribution", "refer", "status", "reason"]


def test_when_no_scan_can_be_read_each_still_has_its_row(whole: Run, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    frame = whole.predict(manifest.select(np.arange(8) >= 6))
    assert frame["status"].tolist() == ["unreadable", "set aside"]
    assert all(frame["reason"])


def test_labels_of_other_names_do_not_matter_to_predictions(whole: Run, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    other = small.Manifest(manifest.frame.assign(label="something else"))
    assert whole.predict(other)["p_yes"].equals(whole.predict(manifest)["p_yes"])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "run.json").unlink(), "--resume"),
        (lambda run: shutil.rmtree(run), "does not exist"),
        (lambda run: [file.unlink() for file in run.rglob("*") if file.is_file()], "--resume|not a Run"),
        (lambda run: (run / "run.json").write_text("{"), "not what a Run holds"),
        (lambda run: (run / "run.json").write_text("[]"), "not what a Run holds"),
        (lambda run: edit(run / "run.json", schema_version=99), "schema version 99"),
        (lambda run: edit(run / "run.json", classes=[]), "classes"),
        (lambda run: edit(run / "run.json", classes=["no", "no"]), "classes"),
        (lambda run: edit(run / "run.json", task="segmentation"), "task"),
        (lambda run: edit(run / "run.json", classes=["a", "b", "c"]), "binary"),
        (lambda run: edit(run / "run.json", models={}), "models"),
        (lambda run: (run / "recipe.json").unlink(), "recipe.json"),
        (lambda run: edit(run / "recipe.json", size=64), "not the recipe"),
        (lambda run: (run / "trust.json").write_text("nothing"), "trust.json"),
        (lambda run: (run / "trust.json").write_text("[]"), "trust.json"),
        (lambda run: (run / "config.yaml").write_text("a: [1"), "config.yaml"),
    ],
)
def test_what_is_no_whole_run_is_refused_in_one_sentence(copy: Path, damage: object, says: str) -> None:
    damage(copy)
    with pytest.raises(InputError, match=says) as caught:
        Run.load(copy)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"anything")
    with pytest.raises(InputError, match="is a file"):
        Run.load(file)
    with pytest.raises(InputError, match="is not a Run"):
        Run.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "model.safetensors").write_bytes(b"not weights"), "damaged or exchanged"),
        (
            lambda run: shutil.copy(run / "models" / "source-only.safetensors", run / "model.safetensors"),
            "damaged or exchanged",
        ),
        (lambda run: (run / "model.safetensors").unlink(), "cannot be read"),
        (lambda run: edit(run / "run.json", backbone="test_resnet"), "does not fit"),
        (lambda run: edit(run / "run.json", bottleneck=17), "does not fit"),
    ],
)
def test_weights_that_are_not_the_runs_are_refused(copy: Path, damage: object, says: str) -> None:
    damage(copy)
    with pytest.raises(InputError, match=says):
        Run.load(copy).classifier()


def test_trust_that_was_fitted_for_other_weights_is_refused(copy: Path) -> None:
    state = json.loads((copy / "trust.json").read_text())
    (copy / "trust.json").write_text(json.dumps({"model": state["source-only"]}))
    with pytest.raises(InputError, match="other weights"):
        Run.load(copy).trust()


def test_an_unknown_model_is_refused_with_the_names_there_are(whole: Run) -> None:
    with pytest.raises(InputError, match="model, source-only"):
        whole.classifier("cdan")


def test_a_run_that_is_written_again_is_unfinished_until_the_end(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    with pytest.raises(InputError, match="disk is full"):
        small.run(copy)
    with pytest.raises(InputError, match="--resume"):
        Run.load(copy)
    monkeypatch.undo()
    assert small.run(copy).names == ["model", "source-only"]
    assert not list(copy.rglob("*.part"))


def test_a_model_that_is_no_longer_there_leaves_no_file(copy: Path) -> None:
    run = small.run(copy, models={"model": small.classifier()}, trust={}, features=None, log=None)
    assert run.names == ["model"]
    assert not list((copy / "models").iterdir())


def test_facts_that_do_not_describe_a_run_are_our_fault(tmp_path: Path) -> None:
    given = {"config": {}, "recipe": small.RECIPE, "models": {"model": small.classifier()}}
    for wrong in (small.facts(task="what"), small.facts(classes=["one"]), {"seed": 1}):
        with pytest.raises(ValueError, match="not the facts"):
            write_run(tmp_path / "run", facts=wrong, **given)
    with pytest.raises(ValueError, match="handed over"):
        write_run(
            tmp_path / "run",
            facts=small.facts(decision={}),
            **{**given, "models": {"a": small.classifier(), "b": small.classifier()}},
        )
    with pytest.raises(ValueError, match="not there"):
        write_run(tmp_path / "run", facts=small.facts(), trust={"other": small.trust()}, **given)
    assert not (tmp_path / "run" / "run.json").exists()


def test_other_trust_in_a_copy_leaves_the_run_as_it_was(whole: Run, tmp_path: Path) -> None:
    before = whole.fingerprint()
    changed = change_run(whole, tmp_path / "calibrated", trust={"model": small.trust(seed=9)}, facts={"calibrated": 1})
    assert changed.trust().to_dict() == small.trust(seed=9).to_dict()
    assert changed.trust("source-only").to_dict() == small.trust(seed=2).to_dict()
    assert changed.facts["calibrated"] == 1
    assert changed.fingerprint() != before == Run.load(whole.path).fingerprint()
    assert changed.classifier() is not None
    with pytest.raises(InputError, match="exists already"):
        change_run(whole, tmp_path / "calibrated", trust={})
    change_run(whole, tmp_path / "calibrated", trust={}, force=True)
    assert Run.load(tmp_path / "calibrated").fingerprint() == before


def test_other_trust_in_place(copy: Path) -> None:
    run = change_run(Run.load(copy), trust={"adapted": small.trust(seed=9)})
    assert run.path == copy
    assert run.trust().to_dict() == small.trust(seed=9).to_dict()


def test_force_replaces_no_strangers_folder(whole: Run, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not a Run"):
        change_run(whole, tmp_path / "documents", trust={}, force=True)
    assert (tmp_path / "documents" / "thesis.txt").exists()
