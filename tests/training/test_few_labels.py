"""Draws of shots are nested; every strategy works from the ImageNet backbone, and none touches what it starts from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from safetensors.torch import save_file

from medtl.data import Cohort
from medtl.errors import InputError
from medtl.finetuning import STRATEGIES
from medtl.intensity import RECIPES
from medtl.models import Classifier, create_backbone
from medtl.models.layers import layered
from medtl.runs.predict import outputs
from medtl.scans import Manifest
from medtl.training import early_stopping, few_labels
from medtl.training.config import load_config
from medtl.training.few_labels import draw_shots, finetune_classifier, from_backbone

_spec = importlib.util.spec_from_file_location("two_sites", Path(__file__).parent.parent / "verbs" / "two_sites.py")
two_sites = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(two_sites)

quiet_on_one_thread = two_sites.quiet_on_one_thread


# ---- shots -------------------------------------------------------------------------------------------------------
class Labels(SimpleNamespace):
    def __len__(self):
        return len(self.label)


@settings(max_examples=100, deadline=None)
@given(
    scans=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), min_size=1, max_size=60),
    seed=st.integers(0, 5),
)
def test_more_shots_contain_fewer(scans, seed):
    """Patients may have scans of several classes, and several of one."""
    patient, label = np.array([f"P{who}" for who, _ in scans]), np.array([what for _, what in scans])
    cohort = Labels(label=label, patient=patient, classes=["a", "b", "c"], multilabel=False)
    before: set[int] = set()
    for shots in range(1, 6):
        try:
            rows = draw_shots(cohort, shots, seed)
        except InputError as error:
            assert "patients of class" in str(error)
            break
        assert before <= set(rows.tolist())
        assert len(set(patient[rows])) == len(rows) == 3 * shots
        assert np.bincount(label[rows], minlength=3).tolist() == [shots] * 3
        before = set(rows.tolist())


def test_another_seed_draws_others():
    few = Labels(label=np.arange(100) % 2, patient=np.arange(100).astype(str), classes=["a", "b"], multilabel=False)
    assert set(draw_shots(few, 5, 0)) != set(draw_shots(few, 5, 1))


# ---- strategies --------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    manifest = Manifest.load(two_sites.site(folder, "here"))
    recipe = RECIPES["picture"].__class__(**{**vars(RECIPES["picture"]), "size": 32})
    config = two_sites.config(folder, finetune={"steps": 4, "batch": 8})
    return Cohort(manifest, recipe, cache=folder / "cache"), config


def tune(place, tmp_path, strategy, rows=None, **told):
    everyone, file = place
    config = load_config(file, strategy=strategy, **told)
    start = from_backbone(config, 2, everyone.recipe.channels)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    labelled = everyone.select(draw_shots(everyone, 4, 0) if rows is None else rows)
    found = finetune_classifier(
        start, labelled, everyone, config, fabric=Fabric(accelerator="cpu", devices=1), folder=tmp_path
    )
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    return found, labelled


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_from_the_backbone(place, tmp_path, strategy):
    found, labelled = tune(place, tmp_path, strategy)
    logits = outputs(found.classifier, place[0])[0]
    assert np.isfinite(logits).all() and np.ptp(logits[:, 1] - logits[:, 0]) > 0
    trains = STRATEGIES[strategy].trains and len(labelled) >= STRATEGIES[strategy].least
    assert bool(found.log) == trains
    assert (found.held_out is None) == trains
    assert ("leaves the network as it is" in found.note) == (strategy == "lp-ft")
    learns = [name for name, parameter in found.classifier.named_parameters() if not parameter.requires_grad]
    assert [name for name in learns if ".beside." not in name] == ["shortcut.weight"]


def test_a_model_from_the_backbone_says_nothing_before(place):
    config = load_config(place[1])
    assert np.ptp(outputs(from_backbone(config, 2, place[0].recipe.channels).eval(), place[0])[0]) == 0


@pytest.mark.parametrize("strategy", ["full", pytest.param("lp-ft", marks=pytest.mark.slow)])
def test_patients_held_out_say_how_long(place, tmp_path, monkeypatch, strategy):
    """Twelve patients a class are made enough; the whole of it is resumed from its checkpoints."""
    monkeypatch.setattr(early_stopping, "ENOUGH", 12)
    monkeypatch.setattr(STRATEGIES["lp-ft"], "least", 1)
    rows = np.arange(len(place[0]))
    found, _ = tune(place, tmp_path, strategy, rows)
    phases = [row["phase"] for row in found.log]
    assert phases[:3] == ["how long"] * 3 and [row["step"] for row in found.log[:3]] == [0, 2, 4]
    assert all(np.isfinite(row["surprise"]) for row in found.log[:3])
    again, _ = tune(place, tmp_path, strategy, rows)
    assert all(
        torch.equal(value, again.classifier.state_dict()[name]) for name, value in found.classifier.state_dict().items()
    )
    fixed, _ = tune(place, tmp_path / "fixed", strategy, rows, early_stopping=False)
    assert {row["phase"] for row in fixed.log} == {"finetune"} and not fixed.note


def test_where_training_only_harms_the_network_stays(place, tmp_path, monkeypatch):
    monkeypatch.setattr(early_stopping, "ENOUGH", 12)
    monkeypatch.setattr(STRATEGIES["lp-ft"], "least", 1)
    level = iter([0.1, 0.5, 0.9])

    def surprise(model, held_out, prior):
        start = next(level)
        return [start + 0.01 * (row % 5) for row in range(len(held_out))]

    monkeypatch.setattr(few_labels, "surprise", surprise)
    rows = np.arange(len(place[0]))
    found, _ = tune(place, tmp_path, "lp-ft", rows)
    assert "the network stays as it is" in found.note and found.held_out is not None
    probe, _ = tune(place, tmp_path / "probe", "linear-probe", rows)
    ours, theirs = found.classifier.state_dict(), probe.classifier.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_what_stands_beside_a_network_is_imagenets_of_its_own_shape(tmp_path):
    """The first parameter of a vision transformer is no stem. Nothing stands beside ImageNet's own weights."""
    torch.manual_seed(0)
    imagenet = create_backbone("test_vit", pretrained=False)
    save_file(imagenet.state_dict(), tmp_path / "weights.safetensors")
    config = load_config(None, backbone="test_vit").model_copy(update={"weights": tmp_path / "weights.safetensors"})
    classifier = Classifier(imagenet, 2)
    assert few_labels._imagenet_beside(classifier, config, 3) is None
    trained = Classifier(create_backbone("test_vit", pretrained=False), 2)
    beside = few_labels._imagenet_beside(trained, config, 3)
    assert all(torch.equal(value, beside.state_dict()[name]) for name, value in imagenet.state_dict().items())
    both = layered(trained, beside).eval()
    assert both(torch.zeros(1, 3, 160, 160)).features.shape == (1, both.backbone.num_features)
    assert few_labels._imagenet_beside(both, config, 3) is None


def test_mme_goes_on_learning_from_the_source(place, tmp_path):
    everyone, file = place
    config = load_config(file, strategy="mme", strategy_options={"weight": 0.2})
    few = everyone.select(draw_shots(everyone, 2, 0))
    told = {"fabric": Fabric(accelerator="cpu", devices=1)}
    start = from_backbone(config, 2, everyone.recipe.channels)
    alone = finetune_classifier(start, few, everyone, config, folder=tmp_path / "alone", **told)
    both = finetune_classifier(start, few, everyone, config, folder=tmp_path / "both", source=everyone, **told)
    assert not torch.equal(alone.classifier.head.weight, both.classifier.head.weight)
