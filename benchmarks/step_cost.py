"""What a training step of a method costs over the two passes that it contains.

    python benchmarks/step_cost.py
    python benchmarks/step_cost.py --device cuda

A step is the method's losses on a batch of each site, their gradient and AdamW's step. The two passes are those of the
same classifier: forward and backward on the source with cross-entropy, forward and backward on the target, and the same
AdamW's step; what a method does beside them (a discriminator, kernels, a transport plan) is what it costs. The default
classifier at 112 x 112, on batches that lie on the device, in memory that is kept from step to step as the loop keeps
it; what the loop adds is measured by loop_overhead.py.

Both take turns, a block each, in one process, after one that is not counted; the figure is the median over the blocks
of the ratio of their times, by the clock and by processor time. The second is the one to trust where other work runs on
the same cores; on a GPU, whose work it does not see, the clock is.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from _rows import RESULTS, Rows, machine, markdown
from torch.nn import functional as F

from medtl.methods import METHODS, Batch, Method
from medtl.models import Classifier, create_backbone
from medtl.training.memory import kept_memory

SIZE, BATCH = 112, 32
NAMES = ("dann", "cdan", "dan", "deep-coral", "jan", "deep-jdot", "afn", "mcc", "mdd")
ALLOWED = 1.1


def batch(labelled: bool, seed: int, device: torch.device) -> Batch:
    """Noise: the time does not depend on what is seen."""
    pixels = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    rows = torch.arange(BATCH, device=device)
    label = rows % 2 if labelled else None
    return Batch(
        pixels.to(device, memory_format=torch.channels_last), rows, label, torch.zeros_like(rows), rows, strong=None
    )


def make(name: str, device: torch.device) -> Method:
    torch.manual_seed(0)
    classifier = Classifier(create_backbone(channels=1), 2)
    return METHODS[name](classifier).to(device, memory_format=torch.channels_last).train()


def of_method(method: Method, dealt: dict[str, Batch]) -> Callable[[], None]:
    """A step as the loop takes it."""
    optimisers = {name: torch.optim.AdamW(parameters, lr=1e-4) for name, parameters in method.groups().items()}

    def step() -> None:
        for each in method.steps(0.5):
            sum(getattr(method, each.losses)(dealt, 0.5).values()).backward()
            optimisers[each.moves].step()
            method.zero_grad(set_to_none=True)
        method.after_step(0.5)

    return step


def of_passes(classifier: Classifier, dealt: dict[str, Batch]) -> Callable[[], None]:
    """The two passes, one after the other."""
    optimiser = torch.optim.AdamW([p for p in classifier.parameters() if p.requires_grad], lr=1e-4)
    source, target = dealt["source"], dealt["target"]

    def step() -> None:
        F.cross_entropy(classifier(source.pixels, source.bag, BATCH).logits, source.label).backward()
        classifier(target.pixels, target.bag, BATCH).logits.square().mean().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def measure(name: str, blocks: int, steps: int, device: torch.device, kept: bool = True) -> dict[str, Any]:
    """One row: the ratio of times, block by block."""
    method = make(name, device)
    dealt = {"source": batch(True, 0, device), "target": batch(False, 1, device)}
    taken = {"passes": of_passes(copy.deepcopy(method.classifier), dealt), "method": of_method(method, dealt)}
    seconds: dict[str, list[float]] = {"method": [], "passes": []}
    busy: dict[str, list[float]] = {"method": [], "passes": []}
    for block in range(-1, blocks):
        for which in ("method", "passes")[:: 1 if block % 2 else -1]:
            with kept_memory() if kept else nullcontext():
                taken[which]()  # what another's blocks left behind
                _wait(device)
                began, began_busy = time.perf_counter(), time.process_time()
                for _ in range(steps):
                    taken[which]()
                _wait(device)
                if block >= 0:
                    seconds[which].append(time.perf_counter() - began)
                    busy[which].append(time.process_time() - began_busy)
    ratios, busy_ratios = (
        [one / other for one, other in zip(times["method"], times["passes"], strict=True)] for times in (seconds, busy)
    )
    trusted = seconds if device.type == "cuda" else busy
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "processor_ratio": statistics.median(busy_ratios),
        "processor_ratios": [round(ratio, 4) for ratio in busy_ratios],
        "ms_a_step": 1000 * statistics.median(trusted["method"]) / steps,
        "ms_two_passes": 1000 * statistics.median(trusted["passes"]) / steps,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(name for name in NAMES if name in METHODS))
    parser.add_argument("--blocks", type=int, default=15, help="of each")
    parser.add_argument("--steps", type=int, default=5, help="a block")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--handed-back", action="store_true", help="with freed memory handed back to the system")
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    device = torch.device(given.device)
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else "one core"
    rows = Rows(RESULTS / "step_cost.jsonl")
    lines = []
    for name in given.methods.split(","):
        key = {"method": name, "blocks": given.blocks, "steps": given.steps, "batch": BATCH, "size": SIZE}
        key |= {"device": place, "kept": not given.handed_back}
        told = name, given.blocks, given.steps, device, key["kept"]
        row = rows.row(key, lambda: measure(*told))  # noqa: B023
        found = row["result"]
        times = [f"{found[which]:.1f} ms" for which in ("ms_a_step", "ms_two_passes")]
        ratios = [
            f"{found[kind]:.3f} ({min(found[f'{kind}s']):.3f} to {max(found[f'{kind}s']):.3f})"
            for kind in ("ratio", "processor_ratio")
        ]
        trusted = found["ratio" if device.type == "cuda" else "processor_ratio"]
        lines.append([name, *times, *ratios, "yes" if trusted <= ALLOWED else "no", row["date"]])
    asked = f"at most {ALLOWED}"
    header = ["method", "a step", "two passes", "ratio by the clock", "by processor time", asked, "measured"]
    print(markdown(header, lines))
    where = f"{place}, {machine()}"
    print(f"\n{given.blocks} blocks of {given.steps} steps each, batch {BATCH} a site, {SIZE} x {SIZE}; {where}")


if __name__ == "__main__":
    main()
