"""One method trained from a source-only network on pictures in memory; many such trainings at once, each row kept."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import multiprocessing
import os
import sys
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _rows import RESULTS, Rows, machine
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import nn

from medtl import progress
from medtl.data.augmentation import Augmentation
from medtl.data.samplers import Deal
from medtl.errors import InputError
from medtl.methods import METHODS
from medtl.models import Classifier
from medtl.training import Plan, Role, fit

#: Pictures in one forward pass of a measurement.
TOGETHER = 256
_BEGAN = time.monotonic()


@dataclass(frozen=True)
class Job:
    """A row to measure.

    Attributes:
        key: all that decides its result.
        work: a function of a module, so that another process finds it, called with `told`.
        told: its arguments.
    """

    key: Mapping[str, Any]
    work: Callable[..., Mapping[str, Any]]
    told: tuple[Any, ...]


def deep_methods(asked: str = "all", but: Collection[str] = ()) -> list[str]:
    """The methods of the registry that learn from a labelled source and an unlabelled target, or some of them by name.

    Args:
        asked: "all", or names joined by commas.
        but: are not among "all".

    Raises:
        SystemExit: a name is not among them.
    """
    found = [name for name, method in METHODS.items() if set(method.roles) <= {"source", "target"}]
    if asked == "all":
        return [name for name in found if name not in but]
    names = asked.split(",")
    if strangers := [name for name in names if name not in found]:
        raise SystemExit(f"{', '.join(strangers)}: no such method; there is {', '.join(found)}")
    return names


def strata_of(cohort: Any, balance: Sequence[str]) -> np.ndarray:
    """(N,) what is dealt as often as each other: the sites, the classes, or those of each site."""
    strata = cohort.site if "site" in balance else np.zeros(len(cohort), int)
    if "class" not in balance or cohort.label.ndim == 2:
        return strata
    return strata * (int(cohort.label.max()) + 1) + cohort.label


def fitted(
    name: str,
    classifier: Classifier,
    source: Any,
    target: Any,
    setting: Mapping[str, Any],
    seed: int,
    device: str,
    views: Augmentation | None = None,
) -> tuple[Classifier, list[dict[str, Any]]]:
    """The predictor of a method that was trained from `classifier` on, and the log.

    Args:
        name: of the method.
        classifier: stays as it is.
        source: labelled; None where the method has no such role.
        target: its labels are not dealt; None likewise.
        setting: steps, batch, lr, backbone_lr, `balance` of the source, and the method's own `options`.
        seed: of the method's layers, the dealing and the views.
        device: cpu or cuda.
        views: random views; None for the pictures as they are.
    """
    chosen = METHODS[name]
    cohorts = {"source": source, "target": target}
    options = {**chosen.known({role: cohorts[role] for role in chosen.roles}), **setting.get("options", {})}
    torch.manual_seed(seed)
    method = chosen(copy.deepcopy(classifier), **options)
    batch = setting["batch"]
    deals = {
        "source": lambda: Deal(strata_of(source, setting.get("balance", ("class", "site"))), batch, seed),
        "target": lambda: Deal(np.zeros(len(target), int), batch, seed + 1),
    }
    roles = {role: Role(cohorts[role], deals[role](), role == "source", augmentation=views) for role in chosen.roles}
    plan = Plan(setting["steps"], batch, lr=setting["lr"], backbone_lr=setting["backbone_lr"])
    fabric = Fabric(accelerator="cuda" if device == "cuda" else "cpu", devices=1)
    log = fit(method, roles, plan, fabric=fabric, seed=seed, phase=name)
    return method.predictor().eval(), log


def source_only(
    made: Callable[[], Classifier],
    source: Any,
    setting: Mapping[str, Any],
    seed: int,
    device: str,
    views: Augmentation | None,
    file: Path,
) -> Classifier:
    """The network that each method starts from, trained where `file` is not there yet."""
    torch.manual_seed(seed)
    classifier = made()
    if not file.exists():
        trained, _ = fitted("source-only", classifier, source, None, setting, seed, device, views)
        part = file.with_suffix(f".{os.getpid()}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.cpu().contiguous() for key, value in trained.state_dict().items()}, part)
        part.replace(file)
    classifier.load_state_dict(load_file(file))
    return classifier.eval()


def file_of(folder: Path, key: Mapping[str, Any]) -> Path:
    """Where the network of this key lies."""
    return folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.safetensors"


@torch.inference_mode()
def probabilities(model: nn.Module, pictures: Any, device: str) -> np.ndarray:
    """(N, K), float64: softmax, or a sigmoid for several labels a picture."""
    model.eval().to(device)
    rows = np.array_split(np.arange(len(pictures)), -(-len(pictures) // TOGETHER))
    logits = torch.cat([model(torch.from_numpy(pictures.gather(part)).to(device)).logits.cpu() for part in rows])
    return (torch.sigmoid(logits.double()) if pictures.multilabel else torch.softmax(logits.double(), 1)).numpy()


def accuracy(model: nn.Module, pictures: Any, device: str) -> float:
    """The share of pictures that the model names right."""
    return float((probabilities(model, pictures, device).argmax(1) == pictures.label).mean())


# --- many at once ---------------------------------------------------------------------------------------------------


def add_options(parser: ArgumentParser, data: Path, folder: str) -> None:
    """What every such benchmark is told."""
    parser.add_argument("--methods", default="all", help="names of `medtl methods`, joined by commas")
    parser.add_argument("--data", type=Path, default=data, help="the folder that the pictures lie in")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a process each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the rows")
    parser.add_argument("--networks", type=Path, default=RESULTS / folder, help="the folder of source-only networks")
    parser.add_argument("--until", type=float, default=float("inf"), help="seconds after which no training begins")
    parser.add_argument("--table", action="store_true", help="print what is measured, measure nothing")
    parser.add_argument("--again", action="store_true", help="measure anew what was measured")


def measure(
    jobs: Sequence[Job],
    rows: Rows,
    workers: int = 1,
    device: str = "cpu",
    again: bool = False,
    until: float = float("inf"),
) -> list[str]:
    """Measure what is not measured yet; a row is kept as soon as it is there.

    Args:
        jobs: in this order.
        rows: where they are kept.
        workers: so many at once.
        device: cpu or cuda.
        again: what is measured too.
        until: seconds of this process's life after which none begins.

    Returns:
        What a method refused, or stumbled over, a sentence each.
    """
    left = [job for job in jobs if again or rows.get(job.key) is None]
    left = list({json.dumps(job.key, sort_keys=True): job for job in left}.values())
    where = f"{torch.cuda.get_device_name()}, {machine()}" if device == "cuda" else machine()
    said = []

    def keep(number: int, job: Job, outcome: tuple[Mapping[str, Any] | None, str, float]) -> None:
        result, why, seconds = outcome
        about = " ".join(str(value) for value in job.key.values() if isinstance(value, str | int))
        if result is None:
            said.append(f"{about}: {why}")
        elif result:
            rows.put(job.key, result, seconds, where)
        print(f"{number}/{len(left)} {_passed():.0f} s  {about}  {result or why}", file=sys.stderr, flush=True)

    if workers == 1:
        _begin(1)
        for number, job in enumerate(left, start=1):
            if _passed() > until:
                return [*said, f"{len(left) - number + 1} more"]
            keep(number, job, _done(job))
        return said
    context = multiprocessing.get_context("spawn")
    waiting, running, number = list(reversed(left)), {}, 0
    with ProcessPoolExecutor(workers, context, initializer=functools.partial(_begin, workers)) as pool:
        while running or (waiting and _passed() <= until):
            while waiting and len(running) < workers and _passed() <= until:
                job = waiting.pop()
                running[pool.submit(_done, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number += 1
                keep(number, running.pop(future), future.result())
    return [*said, f"{len(waiting)} more"] if waiting else said


def _passed() -> float:
    """Seconds since this module was loaded."""
    return time.monotonic() - _BEGAN


def _begin(workers: int) -> None:
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", 0)) or (os.cpu_count() or 1) // workers))
    torch.set_flush_denormal(True)
    progress.set_mode("quiet")


def _done(job: Job) -> tuple[Mapping[str, Any] | None, str, float]:
    """The result, or why there is none; and the seconds."""
    began = time.perf_counter()
    try:
        return job.work(*job.told), "", time.perf_counter() - began
    except InputError as error:
        return None, f"refused: {error}", time.perf_counter() - began
    except Exception as error:  # one method's fault must not cost the other rows
        traceback.print_exc()
        return None, f"failed: {type(error).__name__}: {error}", time.perf_counter() - began
