"""What it saves that training keeps the memory which a step frees, and what it costs in memory.

    python benchmarks/kept_memory.py [--repeats 2]

DANN on the default classifier at 112 x 112 by `medtl.training.fit`, as it is and without `kept_memory`, in turns, each
a process of its own with one thread: twelve steps of 32 pictures a site, and eight of 6 volumes of 1 to 59 slices.
Processor time of the training, and the most memory that the process held. The pixels are noise: the time does not
depend on what is seen. That both end at the same weights is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from _rows import RESULTS, Rows, machine, markdown
from lightning_fabric import Fabric
from reading import peak_memory

from medtl import progress
from medtl.data.samplers import Deal
from medtl.methods import DANN
from medtl.models import Classifier, create_backbone
from medtl.training import Plan, Role, fit, loop

SIZE = 112
#: kind -> scans of a site, slices of a scan (at least, below), scans a batch, steps.
KINDS = {"pictures": (200, (1, 2), 32, 12), "volumes": (40, (1, 60), 6, 8)}
WAYS = ("kept", "handed back")


class Noise:
    """Scans of noise, half of either class."""

    def __init__(self, scans: int, slices: tuple[int, int], seed: int) -> None:
        random = np.random.default_rng(seed)
        self.bag_sizes = random.integers(*slices, scans)
        self.bags = [random.normal(size=(size, 1, SIZE, SIZE)).astype(np.float32) for size in self.bag_sizes]
        self.label, self.site = np.arange(scans) % 2, np.zeros(scans, int)

    def __len__(self) -> int:
        return len(self.bags)

    def pixels(self, row: int) -> np.ndarray:
        """(slices, 1, H, W)."""
        return self.bags[row]


def child(kind: str, way: str) -> dict[str, Any]:
    """Train once, in this process."""
    progress.set_mode("quiet")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if way == "handed back":
        loop.kept_memory = contextlib.nullcontext  # type: ignore[assignment]
    scans, slices, batch, steps = KINDS[kind]
    torch.manual_seed(0)
    method = DANN(Classifier(create_backbone(channels=1), 2)).to(memory_format=torch.channels_last)
    strata = np.zeros(scans, int)
    roles: Any = {
        "source": Role(Noise(scans, slices, 0), Deal(strata, batch, 0)),  # type: ignore[arg-type]
        "target": Role(Noise(scans, slices, 1), Deal(strata, batch, 1), labelled=False),  # type: ignore[arg-type]
    }
    began = time.process_time()
    fit(method, roles, Plan(steps, batch), fabric=Fabric(accelerator="cpu", devices=1), seed=0, phase=kind)
    seconds = time.process_time() - began
    weights = b"".join(value.detach().numpy().tobytes() for value in method.state_dict().values())
    return {"seconds": seconds, "peak": peak_memory(), "weights": hashlib.sha256(weights).hexdigest()}


def in_a_child(kind: str, way: str) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, way]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def table(rows: Rows, repeats: int) -> str:
    """Of what is measured, measured where it is not."""
    lines = []
    for kind in KINDS:
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for repeat in range(repeats):
            for way in WAYS[:: 1 if repeat % 2 else -1]:
                row = rows.row({"kind": kind, "way": way, "repeat": repeat}, lambda: in_a_child(kind, way))  # noqa: B023
                found[way].append(row["result"])
        if len({each["weights"] for way in WAYS for each in found[way]}) > 1:
            raise SystemExit(f"{kind}: the ways do not end at the same weights")
        kept, back = (found[way] for way in WAYS)
        seconds = [" ".join(f"{each['seconds']:.1f}" for each in way) for way in (kept, back)]
        ratios = " ".join(f"{a['seconds'] / b['seconds']:.2f}" for a, b in zip(kept, back, strict=True))
        peaks = [f"{max(each['peak'] for each in way):.0f} MiB" for way in (kept, back)]
        lines.append([kind, *seconds, ratios, *peaks])
    header = ["", "kept, s", "handed back, s", "ratio", "peak, kept", "peak, handed back"]
    return markdown(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(*given.child)))
        return
    print(table(Rows(RESULTS / "kept_memory.jsonl"), given.repeats))
    print(f"\nprocessor time of each repeat, one thread; {machine()}")


if __name__ == "__main__":
    main()
