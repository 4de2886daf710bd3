"""What the training loop costs over a bare PyTorch loop that does the same arithmetic.

    python benchmarks/loop_overhead.py

Both train the default classifier at 112 x 112, on the same batches of the same pictures in memory, with the same
views, the same AdamW in the same groups, the same clipping and schedule, and end at the same weights to the last bit
(checked), in memory that is kept from step to step. They take turns, a block each, in one process, after one that is
not counted; the figure is the median over the blocks of the ratio of their times, by the clock and by processor time.
The second is the one to trust where other work runs on the same cores. What the loop does once, such as setting up
Fabric, falls on every block of five steps, so a real run pays less. DANN is measured the same way.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import Any

import numpy as np
import torch
from _pictures import Pictures
from _rows import RESULTS, Rows, machine, markdown
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

from medtl import progress
from medtl.data.augmentation import Augmentation
from medtl.data.samplers import Deal
from medtl.methods import DANN, METHODS, Method
from medtl.methods.dann import ReverseGradient, ramp
from medtl.models import Classifier, create_backbone
from medtl.training import Plan, Role, fit
from medtl.training.loop import EPOCH
from medtl.training.memory import kept_memory

SIZE, BATCH = 112, 32


def pictures(n: int, seed: int) -> Pictures:
    """Noise: the time does not depend on what is seen."""
    random = np.random.default_rng(seed)
    stack = random.uniform(-1, 1, (n, 1, SIZE, SIZE)).astype(np.float32)
    return Pictures(stack, np.arange(n, dtype=np.int64) % 2)


def make(name: str) -> Method:
    torch.manual_seed(0)
    classifier = Classifier(create_backbone(channels=1), 2).to(memory_format=torch.channels_last)
    return METHODS[name](classifier).to(memory_format=torch.channels_last)


def ours(method: Method, roles: dict[str, Role], plan: Plan) -> None:
    """Medtl's loop."""
    fit(method, roles, plan, fabric=Fabric(accelerator="cpu", devices=1), seed=0, phase="overhead")


@kept_memory()
def bare(method: Method, roles: dict[str, Role], plan: Plan) -> None:
    """A loop as anyone would write it for this one purpose: no Fabric, no methods, no roles, no log."""
    classifier: Any = method.classifier
    backbone = {id(parameter) for parameter in classifier.backbone.parameters()}
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in trained if (id(p) in backbone) == slow and (p.ndim > 1) == decays],
            "lr": plan.lr * (plan.backbone_lr if slow else 1.0),
            "weight_decay": plan.weight_decay if decays else 0.0,
        }
        for slow in (True, False)
        for decays in (True, False)
    ]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]])
    rates = [group["lr"] for group in optimiser.param_groups]
    clipped = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    dealt = [(role.cohort.stack, role.cohort.label, role.deal, role.augmentation) for role in roles.values()]
    method.train()
    for step in range(plan.steps):
        if step % EPOCH == 0:
            torch.manual_seed(hash((0, step, 0)) % 2**63)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * plan.rate(step)
        views, labels = [], []
        for number, (stack, label, deal, augment) in enumerate(dealt):
            rows = deal.rows(step)
            generator = torch.Generator().manual_seed(hash((number, step, 0)) % 2**63)
            pixels = torch.from_numpy(stack[rows]).to(memory_format=torch.channels_last)
            views.append(augment(pixels, generator).contiguous(memory_format=torch.channels_last))
            labels.append(torch.from_numpy(label[rows]))
        source = classifier(views[0])
        loss = F.cross_entropy(source.logits, labels[0])
        if isinstance(method, DANN):
            target = classifier(views[1])
            embedding = torch.cat([source.embedding, target.embedding])
            domain = torch.cat([torch.ones(len(source.logits)), torch.zeros(len(target.logits))])
            guess = method.discriminator(ReverseGradient.apply(embedding, method.weight * ramp(step / plan.steps)))
            loss = loss + F.binary_cross_entropy_with_logits(guess.squeeze(1), domain)
        loss.backward()
        nn.utils.clip_grad_norm_(clipped, plan.clip)
        optimiser.step()
        optimiser.zero_grad()


def measure(name: str, blocks: int, steps: int) -> dict[str, Any]:
    """One row: the ratio of times, block by block."""
    plan = Plan(steps=steps, batch=BATCH)
    source, target = pictures(256, 0), pictures(256, 1)
    roles = {
        "source": Role(source, Deal(source.label, BATCH, 0), augmentation=Augmentation()),
        "target": Role(target, Deal(target.site, BATCH, 1), labelled=False, augmentation=Augmentation()),
    }
    roles = {role: roles[role] for role in METHODS[name].roles}
    start = make(name)
    seconds: dict[str, list[float]] = {"medtl": [], "bare": []}
    busy: dict[str, list[float]] = {"medtl": [], "bare": []}
    for block in range(-1, blocks):
        ended = {}
        for which, loop in (("medtl", ours), ("bare", bare))[:: 1 if block % 2 else -1]:
            method = copy.deepcopy(start)
            began, began_busy = time.perf_counter(), time.process_time()
            loop(method, roles, plan)
            if block >= 0:
                seconds[which].append(time.perf_counter() - began)
                busy[which].append(time.process_time() - began_busy)
            ended[which] = method.state_dict()
        for key, value in ended["bare"].items():
            if not torch.equal(value, ended["medtl"][key]):
                raise SystemExit(f"{name}: the two loops differ in {key}: they do not do the same arithmetic")
    ratios, busy_ratios = (
        [one / other for one, other in zip(times["medtl"], times["bare"], strict=True)] for times in (seconds, busy)
    )
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "processor_ratio": statistics.median(busy_ratios),
        "processor_ratios": [round(ratio, 4) for ratio in busy_ratios],
        "ms_a_step_medtl": 1000 * statistics.median(busy["medtl"]) / plan.steps,
        "ms_a_step_bare": 1000 * statistics.median(busy["bare"]) / plan.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15, help="of each loop")
    parser.add_argument("--steps", type=int, default=5, help="a block")
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    progress.set_mode("quiet")
    rows = Rows(RESULTS / "loop_overhead.jsonl")
    lines = []
    for name in ("source-only", "dann"):
        key = {"method": name, "blocks": given.blocks, "steps": given.steps, "batch": BATCH, "size": SIZE}
        row = rows.row({**key, "threads": torch.get_num_threads()}, lambda: measure(name, given.blocks, given.steps))  # noqa: B023
        found = row["result"]
        times = [f"{found[which]:.0f} ms" for which in ("ms_a_step_medtl", "ms_a_step_bare")]
        ratios = [
            f"{found[kind]:.3f} ({min(found[f'{kind}s']):.3f} to {max(found[f'{kind}s']):.3f})"
            for kind in ("ratio", "processor_ratio")
        ]
        lines.append([name, *times, *ratios, row["date"]])
    header = ["method", "processor time a step, medtl", "bare", "ratio by the clock", "by processor time", "measured"]
    print(markdown(header, lines))
    print(f"\n{given.blocks} blocks of {given.steps} steps each, batch {BATCH} a site, {SIZE} x {SIZE}; {machine()}")


if __name__ == "__main__":
    main()
