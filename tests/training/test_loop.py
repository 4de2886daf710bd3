"""The loop against a bare PyTorch loop, its schedule, log, resuming, and what it refuses."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from medtl import progress
from medtl.data.samplers import Deal
from medtl.errors import InputError
from medtl.methods import DANN, Method, SourceOnly, Step
from medtl.training import Plan, Role, fit
from medtl.training.loop import EPOCH, ever_cut

_spec = importlib.util.spec_from_file_location("shifted", Path(__file__).parent.parent / "methods" / "shifted.py")
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)

PLAN = Plan(steps=2 * EPOCH + 5, batch=16, lr=3e-3, backbone_lr=0.5, warmup=4)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quiet():
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")


def run(method: Method, plan: Plan = PLAN, **others):
    others = {"fabric": Fabric(accelerator="cpu", devices=1), "seed": 3, "phase": "test", **others}
    return fit(method, others.pop("roles", None) or shifted.roles(type(method), batch=plan.batch), plan, **others)


def told(log):
    """The log without what took how long."""
    return [{name: value for name, value in row.items() if name != "data_wait"} for row in log]


# ---- the arithmetic ----------------------------------------------------------------------------------------------
def test_trains_as_a_bare_pytorch_loop_does():
    method, bare = shifted.make("source-only"), shifted.make("source-only").classifier
    run(method)

    role = shifted.roles(SourceOnly, batch=16)["source"]
    slow = list(bare.backbone.parameters())
    fast = [p for p in bare.parameters() if not any(p is other for other in slow)]
    groups = [
        {"params": [p for p in some if (p.ndim > 1) == decays], "lr": lr, "weight_decay": 0.01 * decays}
        for some, lr in ((slow, 1.5e-3), (fast, 3e-3))
        for decays in (True, False)
    ]
    optimiser = torch.optim.AdamW(groups)
    rates = [group["lr"] for group in optimiser.param_groups]
    bare.train()
    for step in range(PLAN.steps):
        if step % EPOCH == 0:
            torch.manual_seed(hash((3, step, 0)) % 2**63)
        factor = min(1, (step + 1) / 4) * (1 + math.cos(math.pi * step / PLAN.steps)) / 2
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        batch = role.batch(step, 3, CPU)
        optimiser.zero_grad()
        F.cross_entropy(bare(batch.pixels).logits, batch.label).backward()
        nn.utils.clip_grad_norm_(bare.parameters(), 5.0)
        optimiser.step()
    trained, expected = method.classifier.state_dict(), bare.state_dict()
    assert all(torch.allclose(trained[name], expected[name], atol=1e-6) for name in expected)


def test_rate_rises_then_falls_to_nothing():
    plan = Plan(steps=100, warmup=10)
    rates = [plan.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[4] == pytest.approx(0.5 * 0.5 * (1 + math.cos(0.04 * math.pi)))
    assert rates[50] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert np.argmax(rates) in (9, 10)


class TwoSteps(Method):
    """As in MCD: one loss moves everything, another moves the head alone."""

    roles = ("source",)

    def groups(self):
        head = list(self.classifier.head.parameters())
        return {"all": list(self.parameters()), "head": head}

    def steps(self, progress):
        return (Step("losses", "all"), Step("sharpen", "head"))

    def losses(self, batch, progress):
        return {"nothing": 0.0 * self.forward(batch["source"]).logits.sum()}

    def sharpen(self, batch, progress):
        return {"task": F.cross_entropy(self.forward(batch["source"]).logits, batch["source"].label)}


def test_a_step_moves_its_own_group_only():
    method = TwoSteps(shifted.make("source-only").classifier)
    before = {name: value.clone() for name, value in method.named_parameters()}
    run(method, Plan(steps=3, batch=8, weight_decay=0.0))
    moved = {name for name, value in method.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"classifier.head.weight", "classifier.head.bias"}


def test_neither_norms_nor_biases_decay_and_the_backbone_is_slower():
    from medtl.training.loop import _optimiser

    method = shifted.make("dann")
    optimiser = _optimiser(method, method.groups()["all"], Plan(steps=1, lr=1.0, backbone_lr=0.25, weight_decay=0.5))
    found = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    for name, parameter in method.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in found, name
            continue
        assert found[id(parameter)]["lr"] == (0.25 if ".backbone." in name else 1.0), name
        assert found[id(parameter)]["weight_decay"] == (0.5 if parameter.ndim > 1 else 0.0), name


# ---- what is dealt -----------------------------------------------------------------------------------------------
def test_labels_of_an_unlabelled_role_are_not_dealt():
    roles = shifted.roles(DANN)
    assert roles["source"].batch(0, 0, CPU).label is not None
    assert roles["target"].batch(0, 0, CPU).label is None


def test_bags_are_laid_one_after_the_other():
    class Volumes(shifted.Pictures):
        def pixels(self, i):
            return np.full((1 + i % 3, 1, 8, 8), i / 10, np.float32)

    cohort = Volumes(np.zeros((6, 1, 8, 8), np.float32), np.arange(6) % 2, np.zeros(6, np.int64))
    batch = Role(cohort, Deal(np.zeros(6), 4, seed=0), augmentation=None).batch(0, 0, CPU)
    rows = batch.row.tolist()
    assert batch.bag.tolist() == [place for place, row in enumerate(rows) for _ in range(1 + row % 3)]
    assert torch.allclose(batch.pixels[:, 0, 0, 0], torch.tensor(rows)[batch.bag] / 10)
    assert batch.label.tolist() == [row % 2 for row in rows]


def test_processes_get_their_shares():
    role = shifted.roles(SourceOnly, batch=16)["source"]
    whole = role.batch(2, 0, CPU).row.tolist()
    shares = [role.batch(2, 0, CPU, rank, world=2).row.tolist() for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == sorted(whole)


@pytest.mark.parametrize(("batch", "devices"), [(2, 2), (5, 3), (2, 3)])
def test_each_process_needs_two_scans_a_step(batch: int, devices: int) -> None:
    several = SimpleNamespace(world_size=devices)
    with pytest.raises(InputError, match=f"batch is {batch} and devices {devices}: .* to {2 * devices} or more"):
        run(shifted.make("source-only"), dataclasses.replace(PLAN, batch=batch), fabric=several)


# ---- mixes -------------------------------------------------------------------------------------------------------
def test_a_mix_changes_what_the_method_sees_and_has_other_roles_to_look_at():
    seen, drawn = [], []

    class Watches(SourceOnly):
        def prepare(self, data, progress):
            assert set(data) == {"source"}

        def losses(self, batch, progress):
            assert set(batch) == {"source"}
            seen.append(float(batch["source"].pixels.mean()))
            return super().losses(batch, progress)

    def brighter(method, batch, generator):
        assert isinstance(method, Watches) and set(batch) == {"source", "target"}
        drawn.append(float(torch.rand((), generator=generator)))
        return {**batch, "source": batch["source"]._replace(pixels=torch.full_like(batch["source"].pixels, 2.0))}

    def twice(method, batch, generator):
        drawn.append(float(torch.rand((), generator=generator)))
        return {**batch, "source": batch["source"]._replace(pixels=batch["source"].pixels * 2)}

    def trained(**others):
        seen.clear()
        drawn.clear()
        torch.manual_seed(0)
        method = Watches(shifted.make("source-only").classifier)
        run(method, roles=shifted.roles(DANN, batch=16), mixes=(brighter, twice), **others)
        return method, list(drawn)

    _, first = trained()
    assert seen == [4.0] * PLAN.steps
    assert len(set(first)) == 2 * PLAN.steps  # each mix and step draws its own numbers ...
    assert trained()[1] == first  # ... always the same ones
    assert trained(seed=4)[1] != first


def test_roles_that_only_mixes_see_change_nothing_else():
    plain, wider = shifted.make("source-only"), shifted.make("source-only")
    run(plain)
    run(wider, roles=shifted.roles(DANN, batch=PLAN.batch))
    assert shifted.same(plain, wider)


# ---- the log, and looking ----------------------------------------------------------------------------------------
def test_log_has_a_row_an_epoch_and_what_was_looked_at():
    looks = []

    def look(epoch, method):
        looks.append((epoch, method.classifier.head.weight.detach().clone()))
        method.eval()  # a look may leave the method as it likes
        return {"score": float(epoch)}

    log = run(shifted.make("dann"), after_epoch=look)
    assert [row["epoch"] for row in log] == [row["score"] for row in log] == [0, 1, 2, 3]
    assert [row["step"] for row in log] == [0, EPOCH, 2 * EPOCH, 2 * EPOCH + 5]
    assert log[-1]["progress"] == 1.0
    assert {"phase", "lr", "task", "domain", "domain_accuracy"} <= log[-1].keys()
    assert log[-1]["task"] < log[1]["task"]
    assert all(0 <= row["data_wait"] <= 1 for row in log[1:])
    assert not torch.equal(looks[0][1], looks[1][1])


def test_looking_changes_nothing():
    def look(epoch, method):
        method.eval()
        torch.rand(7)
        return {}

    seen, unseen = shifted.make("source-only"), shifted.make("source-only")
    run(seen, after_epoch=look)
    run(unseen)
    assert shifted.same(seen, unseen)


# ---- going on ----------------------------------------------------------------------------------------------------
def test_resumed_run_has_the_unbroken_ones_weights_log_and_keepsakes(tmp_path):
    def looks(keep, stop_at=None):
        def look(epoch, method):
            keep[f"head {epoch}"] = method.classifier.head.weight.detach().clone()
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"score": epoch / 7}

        return look

    unbroken, whole = shifted.make("dann"), {}
    expected = run(unbroken, after_epoch=looks(whole), keep=whole)
    file = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        run(shifted.make("dann"), checkpoint=file, after_epoch=looks(lost := {}, stop_at=2), keep=lost)
    resumed, kept = shifted.make("dann", seed=8), {}  # what it begins with is not what counts
    log = run(resumed, checkpoint=file, after_epoch=looks(kept), keep=kept)
    assert shifted.same(resumed, unbroken)
    assert told(log) == told(expected)
    assert kept.keys() == whole.keys() and all(torch.equal(kept[name], whole[name]) for name in whole)

    again = shifted.make("dann", seed=8)
    assert run(again, checkpoint=file) == log  # a finished one is not trained further
    assert shifted.same(again, unbroken)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    run(shifted.make("source-only"), Plan(steps=1, batch=4), checkpoint=tmp_path / "c.pt", signature="one")
    with pytest.raises(InputError, match="begun with other"):
        run(shifted.make("source-only"), Plan(steps=1, batch=4), checkpoint=tmp_path / "c.pt", signature="other")


def test_loss_that_is_not_finite_stops_the_run():
    method = shifted.make("source-only")
    method.classifier.head.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="task loss of test is nan: lower `lr`"):
        run(method, Plan(steps=2, batch=4))


def test_half_precision_trains_too():
    method = shifted.make("dann")
    log = run(method, Plan(steps=60, batch=32, lr=3e-3, backbone_lr=1.0), fabric=Fabric(precision="bf16-mixed"))
    assert log[-1]["task"] < log[0]["task"]
    assert all(parameter.dtype == torch.float32 for parameter in method.parameters())


# ---- batches in chunks --------------------------------------------------------------------------------------------
class Bags:
    """A cohort of which only the bags matter."""

    def __init__(self, sizes: list[int]) -> None:
        self.bag_sizes = np.array(sizes)


@pytest.mark.parametrize(
    ("sizes", "batch", "world", "cut"),
    [
        ([1] * 500, 200, 1, False),  # pictures, as many as asked for
        ([16] * 40, 8, 1, True),
        ([16] * 40, 4, 1, False),
        ([16] * 40, 8, 2, False),  # a share each
        ([1] * 90 + [40] * 10, 8, 1, True),  # some batches alone: the mean is 39
        ([1] * 63 + [3], 4, 1, False),
    ],
)
def test_whether_any_batch_of_a_training_is_cut(sizes: list[int], batch: int, world: int, cut: bool) -> None:
    role = Role(Bags(sizes), Deal(np.zeros(len(sizes), int), batch, 0))
    assert ever_cut(role, 50, world) == cut


def test_all_batches_of_a_training_have_their_statistics_fixed_or_none() -> None:
    method, whole = shifted.make("source-only"), shifted.make("source-only")
    source = shifted.roles(SourceOnly)["source"]
    bags = Volumes(shifted.pictures(0, n=16))
    told = {"plan": Plan(6, batch=4), "fabric": Fabric(accelerator="cpu", devices=1), "seed": 0, "phase": "cut"}
    before = method.classifier.backbone.layers[1].running_mean.clone()
    fit(method, {"source": Role(bags, Deal(bags.label, 4, 0), augmentation=None)}, **told)
    assert method.classifier.fixed and torch.equal(method.classifier.backbone.layers[1].running_mean, before)
    fit(whole, {"source": source}, **told)
    assert not whole.classifier.fixed and not torch.equal(whole.classifier.backbone.layers[1].running_mean, before)


class Volumes:
    """Pictures of which two are volumes of 70 slices."""

    def __init__(self, pictures) -> None:
        self.pictures, self.label, self.site = pictures, pictures.label, pictures.site
        self.bag_sizes = np.where(np.arange(len(pictures)) < 2, 70, 1)

    def pixels(self, i: int) -> np.ndarray:
        return np.repeat(self.pictures.pixels(i), self.bag_sizes[i], axis=0)
