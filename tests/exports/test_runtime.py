"""The hospital's side: an export predicts as its Run does, without torch, and only when it is whole."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medtl.errors import InputError
from medtl.exports.onnx import _description
from medtl.exports.runtime import Export
from medtl.runs.run import Run, change_run
from medtl.trust import fit_trust

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.shared(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.shared(tmp_path_factory)[1]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """An export that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_it_predicts_what_the_run_predicts(run: Run, folder: Path, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    ours, theirs = Export.load(folder).predict(manifest), run.predict(manifest)
    assert list(ours.columns) == list(theirs.columns)
    for column in ours.columns:
        if column.startswith("p_"):
            np.testing.assert_allclose(ours[column].astype(float), theirs[column].astype(float), atol=1e-4)
        else:
            assert ours[column].tolist() == theirs[column].tolist(), column


@pytest.mark.parametrize("sets", ["class", "weighted"])
def test_the_description_carries_each_kind_of_sets_and_whom_to_refer(
    run: Run, folder: Path, copy: Path, tmp_path: Path, sets: str
) -> None:
    random = np.random.default_rng(0)
    label = np.arange(60) % 2
    logits, around = 2 * np.eye(2)[label] + random.normal(size=(60, 2)), random.normal(size=(60, 256))
    fitted = fit_trust(
        logits, label, None, around, around, "binary", sets=sets, unlabelled_features=around + 0.2, refer=0.3
    )
    changed = change_run(run, tmp_path / "RUN", trust={"model": fitted})
    facts = json.loads((copy / "medtl.json").read_text())
    described = _description(changed, "model", facts["model"]["sha256"])  # as `medtl export` writes it
    assert described["trust"]["sets"]["kind"] == sets and described["trust"]["refer_share"] == 0.3
    (copy / "medtl.json").write_text(json.dumps(described))
    manifest = small.manifest(tmp_path / "scans")
    ours, theirs = Export.load(copy).predict(manifest), changed.predict(manifest)
    for column in ("prediction_set", "refer", "in_distribution", "prediction"):
        assert ours[column].tolist() == theirs[column].tolist(), column


def test_the_onnx_file_stands_for_its_folder(folder: Path, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    assert Export.load(folder / "model.onnx").predict(manifest).equals(Export.load(folder).predict(manifest))


def test_no_scan_at_all_gives_no_row(folder: Path, tmp_path: Path) -> None:
    manifest = small.manifest(tmp_path)
    assert len(Export.load(folder).predict(manifest.select(np.zeros(8, bool)))) == 0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda export: (export / "model.onnx").write_bytes(b"other weights"), "damaged or exchanged"),
        (lambda export: (export / "model.onnx").unlink(), "cannot be read"),
        (lambda export: (export / "medtl.json").unlink(), "medtl.json is missing"),
        (lambda export: (export / "medtl.json").write_text("{"), "is damaged"),
        (lambda export: (export / "medtl.json").write_text("3"), "is damaged"),
        (lambda export: (export / "medtl.json").write_text('{"schema_version": 1, "model": 3}'), "is damaged"),
        (lambda export: (export / "medtl.json").write_text('{"schema_version": 7}'), "schema version 7"),
    ],
)
def test_what_is_no_whole_export_is_refused_in_one_sentence(copy: Path, damage: object, says: str) -> None:
    damage(copy)
    with pytest.raises(InputError, match=says) as caught:
        Export.load(copy)
    assert "\n" not in str(caught.value)


def test_a_recipe_or_unit_that_somebody_changed_is_refused(copy: Path) -> None:
    whole = json.loads((copy / "medtl.json").read_text())
    (copy / "medtl.json").write_text(json.dumps({**whole, "recipe": {**whole["recipe"], "size": 64}}))
    with pytest.raises(InputError, match="is not the one that the model was trained with: copy the export again"):
        Export.load(copy)
    (copy / "medtl.json").write_text(json.dumps({**whole, "unit": "patient"}))
    with pytest.raises(InputError, match="is damaged"):
        Export.load(copy)


def test_a_graph_that_onnx_runtime_cannot_run_is_refused(copy: Path) -> None:
    import hashlib

    (copy / "model.onnx").write_bytes(b"no graph")
    facts = json.loads((copy / "medtl.json").read_text())
    facts["model"]["sha256"] = hashlib.sha256(b"no graph").hexdigest()
    (copy / "medtl.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="cannot be run"):
        Export.load(copy)


def test_it_needs_no_torch(folder: Path, tmp_path: Path) -> None:
    small.manifest(tmp_path / "scans").save(tmp_path / "manifest.csv")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["timm"] = sys.modules["monai"] = None  # an import of them fails
from medtl.exports.runtime import Export
from medtl.scans import Manifest
frame = Export.load({str(folder)!r}).predict(Manifest.load({str(tmp_path / "manifest.csv")!r}))
print(len(frame), (frame["status"] == "ok").sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["8", "6"], done.stderr
