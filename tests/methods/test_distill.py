"""Distillation: the loss by hand, what the teacher says and when, the student's backbone, and its Run and export."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from medtl.errors import InputError
from medtl.exports.onnx import export_onnx
from medtl.methods import METHODS, distill
from medtl.methods.base import Batch
from medtl.methods.distill import Distill, distillation, new_backbone
from medtl.models import Classifier, create_backbone, look
from medtl.models.backbones import DEFAULT
from medtl.models.batch_statistics import with_statistics_of

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent.parent / "runs" / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SMALL = {"student": "test_efficientnet", "student_weights": "random", "channels": 1}


class Scans:
    """Bags in memory."""

    def __init__(self, n: int, shift: float = 0.0, seed: int = 0, channels: int = 1) -> None:
        random = np.random.default_rng(seed)
        self.bag_sizes = random.integers(1, 3, n)
        self.bags = [random.normal(shift, 1 + shift, (k, channels, 32, 32)).astype(np.float32) for k in self.bag_sizes]

    def __len__(self) -> int:
        return len(self.bags)

    def pixels(self, i: int) -> np.ndarray:
        return self.bags[i]

    def batch(self, rows: list[int], label: object = None) -> Batch:
        bag = torch.repeat_interleave(torch.arange(len(rows)), torch.from_numpy(self.bag_sizes[rows]))
        pixels = torch.from_numpy(np.concatenate([self.bags[row] for row in rows]))
        label = None if label is None else torch.tensor(label)
        return Batch(pixels, bag, label, torch.zeros(len(rows)), torch.tensor(rows))


def teacher(classes: int = 2, pooling: str = "mean") -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_backbone("test_resnet", pretrained=False, channels=1), classes, 16, pooling=pooling)


def prepared(method: Distill) -> tuple[Distill, Scans, Scans]:
    source, target = Scans(20), Scans(18, shift=1.0, seed=1)
    method.prepare({"source": SimpleNamespace(cohort=source), "target": SimpleNamespace(cohort=target)}, 0.0)
    return method, source, target


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_the_loss_is_the_divergence_times_the_squared_temperature(temperature):
    student, said = torch.randn(2, 7, 3, dtype=torch.float64)
    p, q = ((each / temperature).softmax(1).numpy() for each in (said, student))
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    assert distillation(student, said, temperature).item() == pytest.approx(expected)
    assert distillation(said, said, temperature).item() == pytest.approx(0, abs=1e-12)


def test_at_a_high_temperature_it_pulls_centred_logits_together():
    """Hinton et al., equation 4: the gradient nears (z - v) / K of zero-mean logits, times our 1 / N."""
    student, said = torch.randn(2, 1, 3, dtype=torch.float64)
    student, said = (student - student.mean()).requires_grad_(), said - said.mean()
    distillation(student, said, 1000.0).backward()
    torch.testing.assert_close(student.grad, (student.detach() - said) / 3, atol=1e-3, rtol=1e-2)


def test_several_labels_are_each_a_yes_or_no():
    student, said = torch.randn(2, 5, 4, dtype=torch.float64)
    p, q = torch.sigmoid(said / 2).numpy(), torch.sigmoid(student / 2).numpy()
    expected = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert distillation(student, said, 2.0, several=True).item() == pytest.approx(expected)


def test_the_teacher_speaks_of_each_site_with_its_statistics_once():
    warm = teacher()
    method, source, target = prepared(Distill(warm, **SMALL))
    for role, cohort in (("source", source), ("target", target)):
        expected = look(with_statistics_of(warm, cohort), cohort).logits
        torch.testing.assert_close(method.get_buffer(f"said_of_{role}"), expected)
    before = method.said_of_target.clone()
    again = Distill(teacher(), **SMALL)
    again.load_state_dict(method.state_dict())
    other = SimpleNamespace(cohort=Scans(18, seed=9))
    again.prepare({"source": other, "target": other}, 0.5)
    assert torch.equal(again.said_of_target, before)


@pytest.mark.parametrize("label", [[0, 1, 2], [[0.0, 1.0, float("nan")], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
def test_losses_are_those_of_what_the_teacher_said_of_the_dealt_rows(label):
    method, source, target = prepared(Distill(teacher(3, "attention"), temperature=2.0, hard=0.3, **SMALL))
    dealt = {"source": source.batch([4, 0, 7], label), "target": target.batch([11, 2, 5, 3])}
    method.eval()
    losses = method.losses(dealt, 0.5)
    several = isinstance(label[0], list)
    soft = []
    for role in ("source", "target"):
        logits = method.forward(dealt[role]).logits
        soft.append(distillation(logits, method.get_buffer(f"said_of_{role}")[dealt[role].row], 2.0, several))
    assert losses["soft"].item() == pytest.approx(sum(soft).item() / 2, rel=1e-5)
    if not several:
        task = F.cross_entropy(method.forward(dealt["source"]).logits, torch.tensor(label))
        assert losses["task"].item() == pytest.approx(0.3 * task.item(), rel=1e-5)
    method.train()
    sum(method.losses(dealt, 0.5).values()).backward()
    assert all(each.grad is None for each in method.teacher.parameters())
    assert all(each.grad is not None for each in method.classifier.backbone.parameters())


def test_the_running_statistics_are_the_targets():
    method, source, target = prepared(Distill(teacher(), **SMALL))
    dealt = {"source": source.batch([0, 1, 2, 3], [0, 1, 0, 1]), "target": target.batch([0, 1, 2, 3])}
    other = {**dealt, "source": source.batch([9, 8, 7, 6], [0, 1, 0, 1])}
    twin = Distill(teacher(), **SMALL)
    twin.load_state_dict(method.state_dict())
    for each, batch in ((method, dealt), (twin, other)):
        each.train()
        torch.manual_seed(2)
        each.losses(batch, 0.0)
    ours, theirs = dict(method.classifier.named_buffers()), dict(twin.classifier.named_buffers())
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert int(ours["bottleneck.2.num_batches_tracked"]) == 1


# ---- the student -------------------------------------------------------------------------------------------------
def test_a_random_student_learns_at_the_full_rate_and_one_with_weights_as_usual(tmp_path):
    random = Distill(teacher(), **SMALL)
    named = dict(random.named_parameters())
    assert {name for name in named if name.startswith("classifier.backbone.")} <= random.rates().keys() <= named.keys()
    whole = create_backbone("test_efficientnet", pretrained=False)
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    known = Distill(teacher(), "test_efficientnet", str(tmp_path / "w.safetensors"))
    assert known.rates() == {}
    torch.testing.assert_close(known.classifier.backbone.blocks[0][0].bn1.weight, whole.blocks[0][0].bn1.weight)


def test_without_weights_on_this_machine_it_is_random_and_says_so(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(distill, "warn", said.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    backbone, pretrained = new_backbone("test_efficientnet", None, 1)
    assert not pretrained and backbone.conv_stem.in_channels == 1
    prepared(Distill(teacher(), **SMALL))
    made = Distill(teacher(), "test_efficientnet", channels=1)
    assert not said  # before it is trained
    prepared(made)
    assert len(said) == 1
    assert "test_efficientnet begins with random weights" in said[0] and "student_weights" in said[0]


def test_weights_in_the_cache_are_found(monkeypatch, tmp_path):
    whole = create_backbone("test_efficientnet", pretrained=False)
    folder = tmp_path / f"models--{timm.get_pretrained_cfg('test_efficientnet').hf_hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    save_file(whole.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    backbone, pretrained = new_backbone("test_efficientnet", None, 3)
    assert pretrained and torch.equal(backbone.conv_stem.weight, whole.conv_stem.weight)


def test_what_is_no_timm_model_is_refused():
    with pytest.raises(InputError, match="not a timm model"):
        Distill(teacher(), "mobilnet")


def test_the_default_is_a_fifth_of_the_default_backbone():
    def weights(name: str) -> int:
        return sum(each.numel() for each in create_backbone(name, pretrained=False).parameters())

    default = Distill.__init__.__defaults__[0]
    assert weights(default) < weights(DEFAULT) / 4.5
    assert METHODS["distill"].known({"source": Scans(2, channels=3)}) == {"channels": 3}


@pytest.mark.slow
def test_its_run_predicts_and_its_export_is_smaller(tmp_path):
    """Each model of the Run is read and exported on the backbone that it has."""
    warm = small.classifier(backbone="test_resnet", seed=1)
    student = Distill(warm, **SMALL).predictor().eval()
    run = small.run(
        tmp_path / "run",
        facts=small.facts(backbone="test_resnet", method="distill", backbones={"adapted": "test_efficientnet"}),
        models={"adapted": student, "source-only": warm},
        trust={},
    )
    table = run.predict(small.manifest(tmp_path / "scans"))
    assert table.p_yes.notna().sum() == 6
    cohort = Scans(4, seed=3)
    torch.testing.assert_close(look(run.classifier(), cohort).logits, look(student, cohort).logits)
    files = {}
    for which, backbone in (("model", "test_efficientnet"), ("source-only", "test_resnet")):
        folder = export_onnx(run, tmp_path / which, which)
        files[which] = (folder / "model.onnx").stat().st_size
        assert json.loads((folder / "medtl.json").read_text())["backbone"] == backbone
    assert files["model"] < files["source-only"] / 2
