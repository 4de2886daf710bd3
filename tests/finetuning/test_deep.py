"""The strategies that train the network: which parameters move and how fast, each one's equation, resuming."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from medtl import progress
from medtl.data.samplers import Deal
from medtl.finetuning import STRATEGIES
from medtl.finetuning.depth import layers_of
from medtl.finetuning.mme import entropy
from medtl.methods.base import Batch, Step
from medtl.models import Classifier, create_backbone
from medtl.models.layers import layered
from medtl.training import Plan, Role, fit, loop

_spec = importlib.util.spec_from_file_location("shifted", Path(__file__).parent.parent / "methods" / "shifted.py")
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)

DEEP = [name for name, strategy in STRATEGIES.items() if strategy.trains]
PLAN = Plan(steps=6, batch=8, lr=1e-2, backbone_lr=0.5, weight_decay=0.5, warmup=1)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    progress.set_mode("quiet")
    monkeypatch.setattr(loop, "EPOCH", 2)
    yield
    progress.set_mode("auto")
    torch.set_num_threads(threads)


def make(name, seed=0, **options):
    torch.manual_seed(seed)
    return STRATEGIES[name](Classifier(shifted.SmallNet(), 2, bottleneck=16), **options)


def roles(name, source=True):
    few, here, there = shifted.pictures(1, n=20), shifted.pictures(1), shifted.pictures(0)
    every = {
        "labelled": Role(few, Deal(few.label, 8, 0), augmentation=shifted.LIGHT),
        "unlabelled": Role(here, Deal(here.site, 8, 1), labelled=False, augmentation=shifted.LIGHT),
        "source": Role(there, Deal(there.label, 8, 2), augmentation=shifted.LIGHT),
    }
    return {role: every[role] for role in STRATEGIES[name].roles if source or role != "source"}


def train(method, name, plan=PLAN, dealt=None, **others):
    told = {"fabric": Fabric(accelerator="cpu", devices=1), "seed": 3, "phase": "test", **others}
    return fit(method, dealt or roles(name), plan, **told)


def moved(method, before):
    return {name for name, value in method.named_parameters() if not torch.equal(value, before[name])}


def parameters(method):
    return {name: value.detach().clone() for name, value in method.named_parameters()}


# ---- all of them -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DEEP)
def test_learns_the_few_and_leaves_the_batch_statistics(name):
    method = make(name)
    before = {key: value.clone() for key, value in method.classifier.named_buffers()}
    log = train(method, name, Plan(steps=80, batch=8, lr=1e-2, backbone_lr=1.0, warmup=1))
    assert log[-1]["task"] < 0.9 * log[0]["task"]
    assert all(torch.equal(value, before[key]) for key, value in method.classifier.named_buffers())


@pytest.mark.parametrize("name", DEEP)
def test_cut_off_and_resumed_is_the_same(name, tmp_path):
    unbroken = make(name)
    log = train(unbroken, name)

    def cut(epoch, method):
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    file = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(make(name), name, checkpoint=file, after_epoch=cut)
    resumed = make(name)
    again = train(resumed, name, checkpoint=file)
    assert shifted.same(resumed, unbroken)
    assert again[-1]["task"] == log[-1]["task"]


# ---- layers ------------------------------------------------------------------------------------------------------
def test_layers_of_a_timm_model_from_the_stem_up():
    classifier = Classifier(create_backbone("test_efficientnet", pretrained=False, channels=1), 2, bottleneck=8)
    layers = layers_of(classifier)
    every = [name for layer in layers for name in layer]
    trains = [name for name, parameter in classifier.named_parameters() if parameter.requires_grad]
    assert sorted(every) == sorted(trains) and "shortcut.weight" not in every
    assert layers[0] == ["backbone.conv_stem.weight", "backbone.bn1.weight", "backbone.bn1.bias"]
    assert set(layers[-1]) == {name for name in trains if not name.startswith("backbone.")}
    order = [
        next(i for i, layer in enumerate(layers) if f"backbone.blocks.{k}.0.bn1.weight" in layer) for k in range(4)
    ]
    assert order == sorted(set(order))
    assert len(layers_of(classifier, coarse=True)) <= len(layers)


def test_layers_of_a_network_that_does_not_tell_and_of_one_read_at_several_depths():
    small = layers_of(make("full").classifier)
    assert small[:2] == [["backbone.layers.0.weight"], ["backbone.layers.1.weight", "backbone.layers.1.bias"]]
    plain = Classifier(create_backbone("test_efficientnet", pretrained=False, channels=1), 2, bottleneck=8)
    expected = layers_of(plain)
    deep = layers_of(layered(plain, create_backbone("test_efficientnet", pretrained=False, channels=1)))
    assert [[name.replace("backbone.backbone.", "backbone.") for name in layer] for layer in deep] == expected


def test_the_optimiser_has_a_rate_for_each_layer():
    method = make("layer-decay", decay=0.5)
    optimiser = loop._optimiser(method, method.groups()["all"], PLAN)
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in optimiser.param_groups for p in group["params"]}
    named = {name: rate[id(p)] for name, p in method.classifier.named_parameters() if p.requires_grad}
    assert named["head.weight"] == named["bottleneck.1.weight"] == (0.01, 0.5)
    assert named["head.bias"] == (0.01, 0.0)
    assert named["backbone.layers.1.weight"] == (0.005, 0.0)
    assert named["backbone.layers.0.weight"] == (0.0025, 0.5)
    assert len(rate) == len([p for p in method.parameters() if p.requires_grad])


def test_gradual_thaws_from_the_head_down():
    method = make("gradual")
    layers = [{f"classifier.{name}" for name in layer} for layer in method.layers]
    assert len(layers) == 3
    thawed = [method.steps(progress)[0].moves for progress in (0.0, 0.16, 0.17, 0.33, 0.34, 0.5, 0.99)]
    assert thawed == ["top 1", "top 1", "top 2", "top 2", "top 3", "top 3", "top 3"]
    for steps, expected in ((1, layers[2]), (2, layers[1] | layers[2]), (3, set().union(*layers))):
        method = make("gradual")
        before = parameters(method)
        method.steps = lambda progress, steps=steps: (Step(moves=f"top {steps}"),)  # type: ignore[method-assign]
        train(method, "gradual", Plan(steps=1, batch=8, weight_decay=0.0))
        assert moved(method, before) <= expected and moved(method, before) & layers[3 - steps]


# ---- which parameters move ---------------------------------------------------------------------------------------
def test_bitfit_moves_biases_and_the_last_layer():
    method = make("bitfit")
    before = parameters(method)
    train(method, "bitfit")
    names = moved(method, before)
    assert {"classifier.head.weight", "classifier.head.bias", "classifier.backbone.layers.1.bias"} <= names
    assert all(name.endswith("bias") or name == "classifier.head.weight" for name in names)


def test_norm_only_moves_norms_and_the_last_layer():
    method = make("norm-only")
    before = parameters(method)
    train(method, "norm-only")
    assert moved(method, before) == {
        *(
            f"classifier.{module}.{kind}"
            for module in ("backbone.layers.1", "bottleneck.2", "head")
            for kind in ("weight", "bias")
        )
    }


# ---- equations ---------------------------------------------------------------------------------------------------
def test_the_gradient_of_l2_sp():
    method = make("l2-sp", alpha=0.3)
    start = parameters(method)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    train_way = 0.5 * method.alpha * method.way()
    train_way.backward()
    total = 0.0
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, 0.3 * (parameter - start[name]), atol=1e-6), name
            total += float((parameter - start[name]).detach().square().sum())
    assert train_way.item() == pytest.approx(0.15 * total, rel=1e-4)


def test_l2_sp_stays_nearer_to_the_start():
    def way(alpha):
        method = make("l2-sp", alpha=alpha)
        train(method, "l2-sp", Plan(steps=30, batch=8, lr=1e-2, backbone_lr=1.0, weight_decay=0.0))
        return float(method.way())

    assert way(1.0) < 0.5 * way(0.0)


def batch_of(pictures, label=True):
    pixels = torch.from_numpy(pictures.stack[:8])
    every = torch.arange(8)
    return Batch(pixels, every, torch.from_numpy(pictures.label[:8]) if label else None, torch.zeros(8), every)


def test_mme_the_head_raises_the_entropy_and_the_features_lower_it():
    method = make("mme", weight=0.2).train()
    for module in method.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    here = batch_of(shifted.pictures(1), label=False)
    dealt = {"labelled": batch_of(shifted.pictures(1)), "unlabelled": here}
    losses = method.losses(dealt, 0.5)
    assert losses.keys() == {"task", "sureness"}
    losses["sureness"].backward()
    reversed_ = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    entropy(method.forward(here).logits, multilabel=False).backward()
    for name, parameter in method.named_parameters():
        if parameter.grad is not None:
            sign = -1 if name.startswith("classifier.head") else 1
            assert torch.allclose(reversed_[name], sign * 0.2 * parameter.grad, atol=1e-7), name
    assert not torch.allclose(reversed_["classifier.backbone.layers.0.weight"], torch.zeros(1))


def test_mme_with_the_sources_labels():
    method = make("mme")
    dealt = {
        "labelled": batch_of(shifted.pictures(1)),
        "unlabelled": batch_of(shifted.pictures(1), label=False),
        "source": batch_of(shifted.pictures(0)),
    }
    method.eval()
    both = method.losses(dealt, 0.0)["task"]
    each = [F.cross_entropy(method.forward(dealt[role]).logits, dealt[role].label) for role in ("labelled", "source")]
    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)
    assert "source" not in roles("mme", source=False)
    train(make("mme"), "mme", dealt=roles("mme", source=False))


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, np.log(3)]])
    p = torch.tensor([0.25, 0.75])
    assert entropy(logits, multilabel=False).item() == pytest.approx(-(p * p.log()).sum().item(), rel=1e-5)
    each = [np.log(2), -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))]
    assert entropy(logits, multilabel=True).item() == pytest.approx(np.mean(each), rel=1e-5)
