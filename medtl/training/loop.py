"""The loop: deals a batch for each role, sums the method's losses, steps. It knows no method by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from medtl.data.augmentation import Augmentation
from medtl.data.cohort import Cohort
from medtl.data.loader import Loader
from medtl.data.samplers import Deal
from medtl.errors import InputError
from medtl.methods.base import Batch, Method
from medtl.models import Classifier
from medtl.models.chunks import is_cut
from medtl.progress import track
from medtl.training.checkpoint import load_checkpoint, save_checkpoint
from medtl.training.memory import kept_memory

#: Steps between two looks at the model: one "epoch" of the log, of the checkpoints and of the choice.
EPOCH = 50

#: What is done to the dealt batches before the method sees them, such as pixels of one site in the style of another:
#: (the method, a batch for each role, a generator of this step and process alone) -> a batch for each role.
Mix = Callable[[Method, dict[str, Batch], torch.Generator], dict[str, Batch]]


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: scans a role and step.
        lr: AdamW's learning rate of the new layers (bottleneck, head, discriminator).
        backbone_lr: the backbone's, as a fraction of `lr`.
        weight_decay: AdamW's.
        warmup: steps of a rising learning rate, before its cosine fall to 0.
        clip: the largest gradient norm.
    """

    steps: int
    batch: int = 32
    lr: float = 1e-3
    backbone_lr: float = 0.2
    weight_decay: float = 1e-2
    warmup: int = 10
    clip: float = 5.0

    def rate(self, step: int) -> float:
        """The factor on the learning rates at `step`: a linear rise, then half a cosine."""
        rise = min(1.0, (step + 1) / max(self.warmup, 1))
        return rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True)
class Role:
    """The scans that one of a method's roles is dealt from.

    Attributes:
        cohort: the scans.
        deal: which rows at which step.
        labelled: whether their labels are dealt; a method never sees those of an unlabelled role.
        augmentation: random views, or None for the scans as they are.
    """

    cohort: Cohort
    deal: Deal
    labelled: bool = True
    augmentation: Augmentation | None = field(default_factory=Augmentation)

    def batch(self, step: int, seed: int, device: torch.device, rank: int = 0, world: int = 1, views: int = 1) -> Batch:
        """Batch number `step`: the same for the same seed, each of `world` processes having its share.

        With two `views`, scans that are dealt without a label come in a stronger view too.
        """
        rows = self.deal.rows(step)[rank::world]
        pixels, sizes = _gathered(self.cohort, rows, device)
        pixels = pixels.to(memory_format=torch.channels_last)
        bag = torch.from_numpy(np.repeat(np.arange(len(rows)), sizes))
        strong = None
        if views > 1 and not self.labelled:
            generator = torch.Generator().manual_seed(hash((seed, step, rank, 1)) % 2**63)
            stronger = (self.augmentation or Augmentation()).stronger()
            strong = stronger(pixels, generator, bag).contiguous(memory_format=torch.channels_last)
        if self.augmentation is not None:
            generator = torch.Generator().manual_seed(hash((seed, step, rank)) % 2**63)
            pixels = self.augmentation(pixels, generator, bag).contiguous(memory_format=torch.channels_last)
        label = torch.from_numpy(self.cohort.label[rows]).to(device) if self.labelled else None
        return Batch(
            pixels=pixels,
            bag=bag.to(device),
            label=label,
            site=torch.from_numpy(self.cohort.site[rows]).to(device),
            row=torch.from_numpy(rows).to(device),
            strong=strong,
        )


def _gathered(cohort: Cohort, rows: np.ndarray, device: torch.device) -> tuple[Tensor, np.ndarray]:
    """Pixels (instances, C, H, W) on the device, all of the batch's at once: 50 kB a slice of 112 x 112. Bag sizes."""
    if not hasattr(cohort, "gather"):  # a stand-in, held in memory
        bags = [cohort.pixels(row) for row in rows]
        return torch.from_numpy(np.concatenate(bags)).to(device), np.array([len(each) for each in bags])
    sizes = cohort.bag_sizes[rows]
    pinned = device.type == "cuda"  # a GPU fetches from such memory by itself
    pixels = torch.empty((int(sizes.sum()), *cohort.shape), pin_memory=pinned)
    cohort.gather(rows, pixels.numpy())
    return pixels.to(device, non_blocking=pinned), sizes


def ever_cut(role: Role, steps: int, world: int = 1) -> bool:
    """Whether any of the batches is too large for one pass through the backbone, in any of `world` processes."""
    sizes, share = role.cohort.bag_sizes, -(-role.deal.batch // world)
    if not is_cut(share * int(sizes.max()), share):
        return False
    shares = (role.deal.rows(step)[rank::world] for step in range(steps) for rank in range(world))
    return any(is_cut(int(sizes[rows].sum()), len(rows)) for rows in shares)


def fit(
    method: Method,
    roles: Mapping[str, Role],
    plan: Plan,
    *,
    fabric: Fabric,
    seed: int,
    phase: str,
    checkpoint: Path | None = None,
    signature: str = "",
    after_epoch: Callable[[int, Method], dict[str, float]] | None = None,
    keep: dict[str, Any] | None = None,
    mixes: Sequence[Mix] = (),
) -> list[dict[str, Any]]:
    """Train `method` in place.

    Where any batch goes through the backbone in chunks, the batch statistics are fixed for all of them
    (`Classifier.fixed`).

    Args:
        method: its losses are minimised.
        roles: what to deal for each of `method.roles`; others are dealt too and seen by `mixes` alone.
        plan: how long and how fast.
        fabric: the devices and the precision.
        seed: of the dealing, the views and the dropout.
        phase: a name for the log and the progress bar.
        checkpoint: a file to go on from where it exists, rewritten after every epoch.
        signature: what is trained on and how; a checkpoint of something else is refused.
        after_epoch: looks at the method after each epoch (0 is before the first step) and gives numbers for the log.
        keep: a dictionary of tensors and plain values that `after_epoch` fills; it stands in the checkpoint too.
        mixes: change the dealt batches, one after the other, before the method's steps.

    Returns:
        The log, a row an epoch: phase, epoch, step, progress, lr, the mean of each loss, the method's measures, and
        `data_wait`, the share of the epoch's time in which the model waited for data.

    Raises:
        InputError: the method cannot do with these scans, a device would have fewer than two of them a step (no batch
            statistics), the checkpoint is of another run, the disk is full, or a loss is not finite.
    """
    method.expect({name: role.cohort for name, role in roles.items()}, phase)
    if plan.batch < 2 * fabric.world_size and fabric.world_size > 1:
        raise InputError(
            f"batch is {plan.batch} and devices {fabric.world_size}: each device needs two scans a step, so set batch "
            f"of {phase} to {2 * fabric.world_size} or more, or use fewer devices"
        )
    keep = {} if keep is None else keep
    fixed = any(ever_cut(roles[name], plan.steps, fabric.world_size) for name in roles if name in method.roles)
    for module in method.modules():
        if isinstance(module, Classifier):
            module.fixed = fixed
    trained = _Trained(method, plan, fabric)
    dealer = _Dealer(method, roles, mixes, seed, fabric)
    log: list[dict[str, Any]] = []
    first = 0
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, signature)
        first, log = state["step"], state["log"]
        keep.update(state["keep"])
        trained.load_state_dict(state)
    elif after_epoch is not None:
        log.append({"phase": phase, "epoch": 0, "step": 0, "progress": 0.0, **after_epoch(0, method)})

    with kept_memory(), Loader(dealer.deal, range(first, plan.steps), fabric.device) as loader:
        dealt = iter(loader)
        starts = range(first, plan.steps, EPOCH)
        for start in track(starts, phase, total=len(starts)):
            stop = min(start + EPOCH, plan.steps)
            torch.manual_seed(hash((seed, start, fabric.global_rank)) % 2**63)  # dropout; exact after a resume
            method.prepare(dealer.seen(roles), start / plan.steps)
            method.train()
            means = _Means()
            began, waited = time.perf_counter(), loader.waited
            for step in range(start, stop):
                trained.step(step, dealer.mixed(step, next(dealt)), means)
            _share_buffers(method, fabric.world_size)
            epoch = math.ceil(stop / EPOCH)
            row = {"phase": phase, "epoch": epoch, "step": stop, "progress": stop / plan.steps}
            row |= {"lr": plan.lr * plan.rate(stop - 1), **means.read(phase)}
            row["data_wait"] = round((loader.waited - waited) / (time.perf_counter() - began), 4)
            if after_epoch is not None:
                row |= after_epoch(epoch, method)
            log.append(row)
            if checkpoint is not None and fabric.is_global_zero:
                state = {"signature": signature, "step": stop, "log": log, "keep": keep, **trained.state_dict()}
                save_checkpoint(checkpoint, state)
    return log


class _Dealer:
    """Batches for all roles, for one process."""

    def __init__(
        self, method: Method, roles: Mapping[str, Role], mixes: Sequence[Mix], seed: int, fabric: Fabric
    ) -> None:
        self.method, self.roles, self.mixes, self.seed, self.fabric = method, roles, mixes, seed, fabric

    def deal(self, step: int) -> dict[str, Batch]:
        """A batch for each role, a pure function of the step: it is called in other threads, some steps ahead."""
        place = (self.fabric.device, self.fabric.global_rank, self.fabric.world_size)
        roles = enumerate(self.roles.items())
        views = self.method.views
        return {name: role.batch(step, self.seed + number, *place, views) for number, (name, role) in roles}

    def mixed(self, step: int, batch: dict[str, Batch]) -> dict[str, Batch]:
        """What the method sees of them, after the mixes."""
        for number, mix in enumerate(self.mixes, start=1):
            generator = torch.Generator().manual_seed(hash((self.seed, step, self.fabric.global_rank, number)) % 2**63)
            batch = mix(self.method, batch, generator)
        return self.seen(batch)

    def seen(self, roles: Mapping[str, Any]) -> dict[str, Any]:
        """What is of the roles that the method names."""
        return {name: roles[name] for name in self.roles if name in self.method.roles}


class _Trained:
    """A method on its devices, with its optimisers."""

    def __init__(self, method: Method, plan: Plan, fabric: Fabric) -> None:
        self.method, self.plan, self.fabric = method, plan, fabric
        optimisers = {name: _optimiser(method, parameters, plan) for name, parameters in method.groups().items()}
        self.module, *wrapped = fabric.setup(method, *optimisers.values())
        self.optimisers = dict(zip(optimisers, wrapped, strict=True))
        for losses in {step.losses for step in method.steps(0.0)}:
            self.module.mark_forward_method(losses)

    def step(self, step: int, batch: dict[str, Batch], means: _Means) -> None:
        """The optimiser steps of step number `step`; what was measured goes into `means`."""
        progress = step / self.plan.steps
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * self.plan.rate(step)
        for each in self.method.steps(progress):
            named = getattr(self.module, each.losses)(batch, progress)
            self.fabric.backward(sum(named.values(), torch.zeros((), device=self.fabric.device)))
            optimiser = self.optimisers[each.moves]
            self.fabric.clip_gradients(self.module, optimiser, max_norm=self.plan.clip, error_if_nonfinite=False)
            optimiser.step()
            self.method.zero_grad(set_to_none=True)
            means.add(named)
        self.method.after_step(progress)
        means.add(self.method.measures())

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "method": self.method.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),  # of 16-mixed: how far losses are scaled
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.method.load_state_dict(state["method"])
        self.fabric.strategy.precision.load_state_dict(state.get("precision", {}))
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def _share_buffers(method: Method, world: int) -> None:
    """Give every process the first one's buffers: batch statistics are each process's own since the last forward."""
    if world > 1:
        for buffer in method.buffers():
            torch.distributed.broadcast(buffer, src=0)


class _Means:
    """Means of what each step measured, left on the device until they are read."""

    def __init__(self) -> None:
        self.total: dict[str, Any] = {}
        self.count: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self.total[name] = self.total.get(name, 0.0) + value
            self.count[name] = self.count.get(name, 0) + 1

    def read(self, phase: str) -> dict[str, float]:
        means = {name: float(total) / self.count[name] for name, total in self.total.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise InputError(f"the {name} loss of {phase} is {value}: lower `lr` in the config")
        return means


def _optimiser(method: Method, parameters: list[torch.nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    """AdamW; the pretrained backbone moves slower, or as the method says, and neither norms nor biases decay."""
    owners: list[Any] = [module for module in method.modules() if hasattr(module, "backbone")]
    backbone = {id(parameter) for owner in owners for parameter in owner.backbone.parameters()}
    own = method.rates()
    rates = {id(parameter): own[name] for name, parameter in method.named_parameters() if name in own}
    groups: dict[tuple[bool, float, bool], dict[str, Any]] = {}
    for parameter in parameters:
        slow, decays = id(parameter) in backbone, parameter.ndim > 1
        rate = plan.lr * rates.get(id(parameter), plan.backbone_lr if slow else 1.0)
        decay = plan.weight_decay if decays else 0.0
        group = {"params": [], "lr": rate, "initial_lr": rate, "weight_decay": decay}
        groups.setdefault((not slow, rate, not decays), group)["params"].append(parameter)
    return torch.optim.AdamW([groups[key] for key in sorted(groups)])
