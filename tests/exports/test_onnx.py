"""Exports: one file, any number of instances, the same probabilities as PyTorch, or nothing at all."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from medtl.data import Cohort
from medtl.errors import InputError
from medtl.exports import onnx as exporting
from medtl.exports.onnx import export_onnx
from medtl.exports.runtime import Export
from medtl.intensity import RECIPES
from medtl.models import Output
from medtl.models.heads import CacheHead, CosineHead
from medtl.runs.run import Run
from medtl.scans import Manifest

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small.shared(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.shared(tmp_path_factory)[1]


def test_it_is_one_sound_graph_with_the_contracts_names_and_shapes(run: Run, folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["medtl.json", "model.onnx"]
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)

    def shape(value: onnx.ValueInfoProto) -> list[object]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert {v.name: shape(v) for v in model.graph.input} == {"pixels": ["instances", 1, 32, 32]}
    features = run.classifier().backbone.num_features
    assert {v.name: shape(v) for v in model.graph.output} == {"logits": [1, 2], "features": [1, features]}


def gives_what_pytorch_gives(export: Export, model: torch.nn.Module, pixels: np.ndarray) -> Output:
    """The bag's output in PyTorch, once the export has given the same."""
    with torch.inference_mode():
        output = model(torch.from_numpy(pixels), torch.zeros(len(pixels), dtype=torch.long), 1)
    logits, features = export.outputs(pixels)
    np.testing.assert_allclose(logits, output.logits, atol=1e-4)
    np.testing.assert_allclose(features, output.features, atol=1e-4)
    return output


def test_bags_of_every_size_give_what_pytorch_gives(run: Run, folder: Path) -> None:
    export, model = Export.load(folder), run.classifier()
    random = np.random.default_rng(1)
    for instances in (1, 2, 3, 7, 33):
        pixels = random.uniform(-1, 1, (instances, 1, 32, 32)).astype(np.float32)
        gives_what_pytorch_gives(export, model, pixels)


def test_the_description_tells_what_a_prediction_needs_and_no_place(run: Run, folder: Path) -> None:
    facts = json.loads((folder / "medtl.json").read_text())
    assert facts["classes"] == ["no", "yes"]
    assert facts["fingerprint"] == run.fingerprint()
    assert facts["checked"]["largest_difference"] < 1e-4
    assert facts["decision"]["warn"] is True
    assert str(run.path.parent) not in json.dumps(facts)


def test_an_export_that_differs_from_pytorch_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = exporting.OneScan.forward

    def a_little_surer(self, pixels):
        logits, features = honest(self, pixels)
        return logits + torch.tensor([0.0, 0.01]), features  # 0.0025 at most in a probability

    monkeypatch.setattr(exporting.OneScan, "forward", a_little_surer)
    with pytest.raises(InputError, match="differs from PyTorch"):
        export_onnx(run, tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_without_force_and_no_strangers_folder_with_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists already"):
        export_onnx(run, tmp_path / "thesis")
    with pytest.raises(InputError, match="is not an export"):
        export_onnx(run, tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "chapter1.txt").exists()


def test_force_replaces_an_export_and_another_model_of_the_run_can_be_exported(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(folder, tmp_path / "export")
    assert export_onnx(run, old, which="source-only", force=True) == old
    assert [file.name for file in tmp_path.iterdir()] == ["export"]
    facts = json.loads((old / "medtl.json").read_text())
    assert facts["fingerprint"] == run.fingerprint("source-only")
    pixels = np.zeros((1, 1, 32, 32), np.float32)
    with torch.inference_mode():
        expected = run.classifier("source-only")(torch.from_numpy(pixels), torch.zeros(1, dtype=torch.long), 1)
    np.testing.assert_allclose(Export.load(old).outputs(pixels)[0], expected.logits, atol=1e-4)


@pytest.mark.slow
def test_an_attention_backbone_in_colour_can_be_exported(tmp_path: Path) -> None:
    recipe = dataclasses.replace(small.RECIPE, size=160, channels=3)
    run = small.run(
        tmp_path / "run",
        facts=small.facts(backbone="test_vit", decision={}),
        recipe=recipe,
        models={"model": small.classifier(backbone="test_vit", channels=3)},
        trust={},
    )
    assert Export.load(export_onnx(run, tmp_path / "export")).outputs(np.zeros((4, 3, 160, 160), np.float32))


def test_few_shot_heads_are_in_the_run_and_in_its_export(tmp_path: Path) -> None:
    """No linear layer stands for them: the state dict tells the Run which there are, and the graph holds them."""
    model = small.classifier(seed=4)
    torch.manual_seed(1)
    features = model.backbone(torch.rand(8, 1, 32, 32) * 2 - 1).detach()
    centre, spread = features.mean(dim=0), features.std(dim=0) + 1e-3
    votes = torch.eye(2)[torch.arange(8) % 2]
    model.few_shot.append(CosineHead(centre, spread, torch.randn(2, features.shape[1]), gain=7.0))
    model.few_shot.append(CacheHead(centre, spread, (features - centre) / spread, votes, beta=3.0, gain=2.0))
    run = small.run(tmp_path / "run", models={"adapted": model, "source-only": small.classifier(seed=2)})
    export = Export.load(export_onnx(run, tmp_path / "export"))
    assert not run.classifier("source-only").few_shot
    pixels = np.random.default_rng(2).uniform(-1, 1, (3, 1, 32, 32)).astype(np.float32)
    output = gives_what_pytorch_gives(export, run.classifier(), pixels)
    with torch.inference_mode():
        expected = model(torch.from_numpy(pixels), torch.zeros(3, dtype=torch.long), 1).logits
        model.few_shot = torch.nn.ModuleList()
        without = model(torch.from_numpy(pixels), torch.zeros(3, dtype=torch.long), 1).logits
    assert torch.equal(output.logits, expected) and (expected - without).abs().max() > 0.1


def test_real_scans_and_the_real_backbone(shared_data: Path, tmp_path: Path) -> None:
    from medtl.models import DEFAULT, Classifier, create_backbone

    files = sorted((shared_data / "ultrasound" / "egypt").glob("*"))[:12]
    rows = [small._row(i, file, "ok", "") for i, file in enumerate(files)]
    manifest = Manifest(small.pd.DataFrame(rows))
    torch.manual_seed(0)
    model = Classifier(create_backbone(DEFAULT, channels=1), 2, bottleneck=16)
    recipe = RECIPES["ultrasound"]
    cohort = Cohort(manifest, recipe, cache=tmp_path / "cache")
    with torch.no_grad():  # so that the logits spread
        model.train()(torch.cat([torch.from_numpy(np.array(cohort.pixels(i))) for i in range(12)]))
        model.head.weight.mul_(10)
    run = small.run(
        tmp_path / "run",
        facts=small.facts(backbone=DEFAULT),
        recipe=recipe,
        models={"adapted": model},
        trust={"adapted": small.trust(features=1280)},
    )
    folder = export_onnx(run, tmp_path / "export", cohort=cohort)
    facts = json.loads((folder / "medtl.json").read_text())
    assert facts["checked"]["real_scans"] == 12
    assert facts["checked"]["largest_difference"] < 1e-4
    ours, theirs = Export.load(folder).predict(manifest), run.predict(manifest)
    assert np.ptp(theirs["p_yes"]) > 0.01
    np.testing.assert_allclose(ours["p_yes"], theirs["p_yes"], atol=1e-4)
    assert ours.drop(columns=["p_yes", "p_no"]).equals(theirs.drop(columns=["p_yes", "p_no"]))


@pytest.mark.slow
def test_a_model_that_attends_gives_the_weights_of_its_slices(tmp_path: Path) -> None:
    model = small.classifier(seed=4, pooling="attention")
    with torch.no_grad():  # so that the weights differ
        model.pooling.score.weight.normal_(0, 30)
    run = small.run(tmp_path / "run", models={"model": model}, trust={}, facts=small.facts(decision={}))
    assert run.facts["pooling"] == "attention"
    export = Export.load(export_onnx(run, tmp_path / "export"))
    assert [output.name for output in export.session.get_outputs()] == ["logits", "features", "attention"]
    random = np.random.default_rng(1)
    for instances in range(1, 18):
        pixels = random.uniform(-1, 1, (instances, 1, 32, 32)).astype(np.float32)
        output = gives_what_pytorch_gives(export, model, pixels)
        weights = export.attention(pixels)
        np.testing.assert_allclose(weights, output.attention, atol=1e-4)
        assert weights.shape == (instances,) and weights.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(weights) > 0.01


def test_a_model_of_the_mean_has_no_weights(folder: Path) -> None:
    assert Export.load(folder).attention(np.zeros((2, 1, 32, 32), np.float32)) is None
