"""The way from a file to a batch: how long training waits for data, and how fast it is beside MONAI's.

    python benchmarks/data_path.py [--only wait|iterate|prepare|memory|gpu] [--repeats 5] [--quick] [--again]

Scans are the radiographs of `../shared/data/cxr`; the recipe is medtl's `radiograph` at 112 x 112, and for MONAI the
transforms of the same names (`LoadImage` made grey, `ScaleIntensityRangePercentiles`, `Resize` with its aspect kept,
`ResizeWithPadOrCrop`), whose pixels are compared with medtl's: only the filter of the resize differs.

wait: `medtl.training.fit`, source-only, the default backbone, with a warm cache. The share of time in which the loop
waited for a batch, as it logs it; and the time of a step beside that of a step on a batch that lies ready in memory,
which also sees what the background thread takes from the model.

iterate: batches of 32 tensors, once through all scans, no model, no random views. medtl from a warm cache (files on
disk, in the system's page cache), MONAI's `Dataset` from the files, its `PersistentDataset` with a warm folder and its
`CacheDataset` with all scans in memory, through MONAI's `DataLoader` with no worker and with two: the better counts.

prepare: all scans from their files, nothing cached, medtl on all cores (imports not counted, processes that it starts
are) and MONAI's `Dataset` in a `DataLoader` with a worker a core. medtl also hashes, checks and writes its cache.

memory: the largest unique set size (USS) of a process that trains from a warm cache, 1,000 and 10,000 scans (copies of
real files, each with some bytes more, so that each is a scan of its own). Batches are copied out of the cache's files,
none of which is mapped while training, so there are no pages of it to leave out; the number of maps is printed.

gpu: scans a second of ResNet-50 at 224 x 224 in bf16 from the cache through the loader, beside the same loop on a batch
that lies on the GPU.

All that is compared runs in turns, in one call; times are medians with the quickest and slowest in brackets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _radiographs import BATCH, SIZE, cohort_of, far_apart, files, in_turns, monai_transforms, seconds, spread, watched
from _rows import RESULTS, Rows, machine, markdown

if TYPE_CHECKING:
    from medtl.data import Cohort

PARTS = ("wait", "iterate", "prepare", "memory", "gpu")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    scans: int | None  # of wait, iterate and prepare; None: all
    iterated: int
    steps: int
    few: int
    many: int
    repeats: int


FULL = Scale(scans=None, iterated=1000, steps=100, few=1000, many=10_000, repeats=5)
QUICK = Scale(scans=48, iterated=48, steps=3, few=40, many=80, repeats=1)


# --- the parts --------------------------------------------------------------------------------------------------------
def a_method(backbone: Any) -> Any:
    import torch

    from medtl.methods import METHODS
    from medtl.models import Classifier

    torch.manual_seed(0)
    return METHODS["source-only"](Classifier(backbone, 2).to(memory_format=torch.channels_last))


def a_role(cohort: Cohort, batch: int = BATCH, ready: bool = False) -> Any:
    """Scans as they are dealt in training, or one batch of them that lies ready."""
    import torch

    from medtl.data.samplers import Deal
    from medtl.training import Role

    class Ready(Role):
        def batch(self, step: int, seed: int, device: torch.device, rank: int = 0, world: int = 1) -> Any:
            if not held:
                held.append(super().batch(0, seed, device, rank, world))
            return held[0]

    held: list[Any] = []
    return (Ready if ready else Role)(cohort, Deal(cohort.label, batch, 0))


def trained(method: Any, role: Any, steps: int, **fabric: Any) -> tuple[float, float]:
    """Seconds a step, and the share of them spent waiting."""
    from lightning_fabric import Fabric

    from medtl.training import Plan, fit

    plan = Plan(steps=steps, batch=role.deal.batch)
    began = time.perf_counter()
    log = fit(method, {"source": role}, plan, fabric=Fabric(devices=1, **fabric), seed=0, phase="train")
    took = time.perf_counter() - began
    return took / steps, float(np.mean([row["data_wait"] for row in log]))


def measure_wait(scale: Scale, folder: Path) -> dict[str, Any]:
    from medtl.models import create_backbone

    cohort = cohort_of(files(scale.scans), folder / "cache")
    method = a_method(create_backbone(channels=1))
    waits: list[float] = []

    def with_data() -> float:
        step, wait = trained(method, a_role(cohort), scale.steps, accelerator="cpu")
        waits.append(wait)
        return step

    trained(method, a_role(cohort), 2, accelerator="cpu")
    ready = a_role(cohort, ready=True)
    times = in_turns(
        {"data": with_data, "ready": lambda: trained(method, ready, scale.steps, accelerator="cpu")[0]}, scale.repeats
    )
    return {"waits": waits, **times}


def measure_iterate(scale: Scale, folder: Path) -> dict[str, Any]:
    import torch
    from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset

    from medtl.data.loader import Loader
    from medtl.data.samplers import Deal
    from medtl.training import Role

    paths = files(scale.iterated)
    cohort = cohort_of(paths, folder / "cache")
    apart = far_apart(cohort, paths)
    names, apply = [str(path) for path in paths], monai_transforms()
    role = Role(cohort, Deal(np.zeros(len(paths)), BATCH, 0), augmentation=None)

    def medtl() -> None:
        steps = -(-len(paths) // BATCH)
        with Loader(lambda step: role.batch(step, 0, torch.device("cpu")), range(steps), torch.device("cpu")) as loader:
            for batch in loader:
                assert batch.pixels.shape == (BATCH, 1, SIZE, SIZE)

    def monai(dataset: Any, workers: int) -> Callable[[], None]:
        def once() -> None:
            for batch in DataLoader(dataset, batch_size=BATCH, num_workers=workers):
                assert batch.shape[1:] == (1, SIZE, SIZE)

        return once

    sets = {
        "MONAI Dataset": Dataset(names, apply),
        "MONAI PersistentDataset": PersistentDataset(names, apply, cache_dir=folder / "monai"),
        "MONAI CacheDataset": CacheDataset(names, apply, progress=False),
    }
    ways = {"medtl": medtl}
    ways |= {f"{name}, {n or 'no'} workers": monai(each, n) for name, each in sets.items() for n in (0, 2)}
    for way in ways.values():  # warm: the folder, the page cache
        way()
    times = in_turns({name: lambda way=way: seconds(way) for name, way in ways.items()}, scale.repeats)  # type: ignore[misc]
    return {"apart": apart, "scans": len(paths), "times": times}


def measure_prepare(scale: Scale, folder: Path) -> dict[str, Any]:
    from joblib.externals.loky import get_reusable_executor
    from monai.data import DataLoader, Dataset

    paths = files(scale.scans)
    names, apply, workers = [str(path) for path in paths], monai_transforms(), os.cpu_count() or 1

    def medtl() -> float:
        get_reusable_executor().shutdown(wait=True)  # the processes of the turn before
        shutil.rmtree(folder / "cache", ignore_errors=True)
        return seconds(lambda: cohort_of(paths, folder / "cache"))

    def monai() -> float:
        return seconds(lambda: [0 for _ in DataLoader(Dataset(names, apply), batch_size=BATCH, num_workers=workers)])

    apply(names[0])
    times = in_turns({"medtl": medtl, "MONAI": monai}, scale.repeats)
    return {"apart": far_apart(cohort_of(paths, folder / "cache"), paths), "scans": len(paths), "times": times}


def measure_memory(scale: Scale, folder: Path) -> dict[str, Any]:
    """Each training is a process of its own, after another has filled the cache."""
    copies(folder / "scans", scale.many)
    for n in (scale.few, scale.many):
        in_a_process("fill", n, scale, folder)
    found: dict[str, list[dict[str, float]]] = {"few": [], "many": []}
    for _ in range(scale.repeats):
        for name, n in (("few", scale.few), ("many", scale.many)):
            found[name].append(in_a_process("train", n, scale, folder))
    return {"few": scale.few, "many": scale.many, "found": found}


def copies(folder: Path, n: int) -> None:
    """So many scans: real files, each with a number after its picture, where no reader looks."""
    folder.mkdir(exist_ok=True)
    some = files(min(n, 500))
    for number in range(n):
        content = some[number % len(some)].read_bytes()
        (folder / f"{number:06}").write_bytes(content + b"%06d" % number)


def in_a_process(doing: str, n: int, scale: Scale, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", doing, "--scans", n, "--steps", scale.steps, "--folder", folder]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{doing} {n}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def child(doing: str, n: int, steps: int, folder: Path) -> None:
    """Prepare, or train on what is prepared, and print the largest USS, in MB, and the maps of the cache then."""
    cohort = cohort_of(sorted((folder / "scans").iterdir())[:n], folder / "cache")
    if doing == "fill":
        print(json.dumps({"scans": len(cohort)}))
        return
    from medtl.models import create_backbone

    with watched(folder / "cache") as largest:
        trained(a_method(create_backbone(channels=1)), a_role(cohort), steps, accelerator="cpu")
    print(json.dumps(largest))


def measure_gpu(scale: Scale, folder: Path) -> dict[str, Any]:
    import timm
    import torch

    cohort = cohort_of(files(scale.scans if scale is QUICK else 2000), folder / "cache", size=224)
    batch = 32 if scale is QUICK else 128
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    method = a_method(timm.create_model("resnet50", pretrained=False, num_classes=0, in_chans=1))
    told = {"accelerator": "cuda", "precision": "bf16-mixed"}
    roles = {"loader": a_role(cohort, batch), "on the GPU": a_role(cohort, batch, ready=True)}

    def scans_a_second(role: Any) -> float:
        step, _ = trained(method, role, scale.steps, **told)
        return batch / step

    for role in roles.values():
        trained(method, role, 5, **told)
    times = in_turns({name: lambda role=role: scans_a_second(role) for name, role in roles.items()}, scale.repeats)  # type: ignore[misc]
    return {"gpu": torch.cuda.get_device_name(), "batch": batch, **times}


# --- what is printed --------------------------------------------------------------------------------------------------
def say_wait(found: dict[str, Any]) -> Iterator[str]:
    data, ready = ([1000 * step for step in found[name]] for name in ("data", "ready"))
    wait = [100 * share for share in found["waits"]]
    yield markdown(
        ["training", "ms a step", "waits for data, % of the time"],
        [["from the cache", spread(data), spread(wait, ".2f")], ["on one batch in memory", spread(ready), "0"]],
    )
    yield f"Aim: less than 3 %. A step takes {statistics.median(data) / statistics.median(ready) - 1:+.1%} longer."


def say_speed(found: dict[str, Any]) -> Iterator[str]:
    medtl = found["times"]["medtl"]
    lines = []
    for name, times in found["times"].items():
        ratios = [other / mine for other, mine in zip(times, medtl, strict=True)]
        lines.append([name, spread([found["scans"] / each for each in times]), spread(ratios, ".2f")])
    yield markdown(["", "scans a second", "times of its time that medtl is quicker"], lines)
    yield f"{found['scans']:,} scans; pixels differ by {found['apart']:.4f} of 2 in the mean (the resize's filter)."


def say_memory(found: dict[str, Any]) -> Iterator[str]:
    few, many = ([each["uss"] for each in found["found"][name]] for name in ("few", "many"))
    maps = max(each["maps"] for name in ("few", "many") for each in found["found"][name])
    lines = [[f"{found[name]:,}", spread(uss)] for name, uss in (("few", few), ("many", many))]
    yield markdown(["scans", "largest USS while training, MB"], lines)
    growth = statistics.median(many) / statistics.median(few) - 1
    yield f"Growth {growth:+.1%}; aim: within 5 %. Maps of the cache's files at once: {maps:.0f}."


def say_gpu(found: dict[str, Any]) -> Iterator[str]:
    share = statistics.median(found["loader"]) / statistics.median(found["on the GPU"])
    lines = [[name, spread(found[name])] for name in ("loader", "on the GPU")]
    yield markdown([f"ResNet-50, 224 x 224, bf16, batch {found['batch']}", "scans a second"], lines)
    yield f"{found['gpu']}: {share:.1%}; aim: 95 %."


MEASURED: dict[str, tuple[Callable[[Scale, Path], dict[str, Any]], Callable[[dict[str, Any]], Iterator[str]]]] = {
    "wait": (measure_wait, say_wait),
    "iterate": (measure_iterate, say_speed),
    "prepare": (measure_prepare, say_speed),
    "memory": (measure_memory, say_memory),
    "gpu": (measure_gpu, say_gpu),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--quick", action="store_true", help="a smoke test: the numbers say nothing")
    parser.add_argument("--again", action="store_true", help="measure once more what was measured")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--scans", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    from medtl import progress

    progress.set_mode("quiet")
    warnings.simplefilter("ignore")
    if given.child:
        child(given.child, given.scans, given.steps, given.folder)
        return
    scale = QUICK if given.quick else FULL
    scale = replace(scale, repeats=given.repeats or scale.repeats)
    nowhere = tempfile.TemporaryDirectory()
    rows = Rows((Path(nowhere.name) if given.quick else RESULTS) / "data_path.jsonl")
    for part in [given.only] if given.only else PARTS:
        print(f"\n## {part}\n", flush=True)
        if part == "gpu" and not has_gpu():
            print("no GPU")
            continue
        measure, said = MEASURED[part]
        key = {"part": part, **vars(scale), "again": time.time() if given.again else 0}
        with tempfile.TemporaryDirectory() as folder:
            row = rows.row(key, lambda: measure(scale, Path(folder)))  # noqa: B023
        print("\n\n".join(said(row["result"])))
        print(f"\n{row['date']}, {row['machine']}, {scale.repeats} repeats, {row['seconds']:.0f} s in all")
    print(f"\n{machine()}")


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
