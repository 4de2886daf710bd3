"""Every deep method on every pair of hospitals, source-only below and all target labels above.

    python benchmarks/hospital_shift_methods.py pack      prepare the scans once, a small file a site
    python benchmarks/hospital_shift_methods.py train     --device cuda --jobs 14 --pairs ... --methods ... --seeds 0
    python benchmarks/hospital_shift_methods.py table

`train` fine-tunes the whole network for each row: source-only (150 steps), then the method from there on (75 steps),
by the defaults of `medtl adapt`, and keeps what the model says of each scan; a run that was cut goes on. The target's
patients are halved once, by a fixed draw: one half is adapted to, unlabelled, and the epoch is chosen on it; the
figures are of the other half. Source patients: four fifths to train on, a fifth held out, on which forgetting is seen.
The rows feed benchmarks/selection.py too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _packed import Packed
from _pairs import FULL, OTHERS_ON, SHIFTS, SITES, coded, site_of
from _rows import RESULTS, Rows, machine
from hospital_shift import unlabelled

from medtl import progress
from medtl.measures import rank_agreement
from medtl.measures.validation import Candidate, ranked_by, signals_of
from medtl.methods import METHODS
from medtl.models import Classifier, look
from medtl.models.averaging import averaged
from medtl.models.batch_statistics import for_site
from medtl.training.adaptation import adapt_classifier, new_classifier, train_source_only
from medtl.training.choice import fault_of
from medtl.training.config import Config

PACKS = RESULTS / "packs"
NETWORKS = RESULTS / "hospital_shift_methods"
ROWS = RESULTS / "hospital_shift_methods.jsonl"
BASES = ("source-only", "all-labels")
#: The mean of the full methods' networks.
SOUP = "soup"


@cache
def cohorts_of(name: str, packs: Path) -> dict[str, Packed]:
    """Of a pair, once a process."""
    return SHIFTS[name].cohorts(packs)


def base(name: str, seed: int, what: str, told: Told) -> Classifier:
    """The network trained on the source's labels, or on those of the target's half; kept in a file."""
    cohorts, config = cohorts_of(name, told.packs), config_of(told, seed)
    trained_on = cohorts["target" if what == "all-labels" else "source"]
    file = network_file(name, seed, what, told)
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            place = {"fabric": fabric_of(told.device), "folder": Path(folder)}
            classifier, _ = train_source_only(trained_on, cohorts["held_out"], config, seed=seed, **place)
        keep(classifier, file)
    classifier = new_classifier(config, len(trained_on.classes), trained_on.recipe.channels, 0)
    classifier.load_state_dict(load_file(file))
    return classifier.to(told.device).eval()


def network_file(name: str, seed: int, method: str, told: Told) -> Path:
    return told.networks / f"{name}-{seed}-{method}.safetensors"


def keep(classifier: Classifier, file: Path) -> None:
    """Write it whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{multiprocessing.current_process().pid}")
    save_file({key: value.contiguous() for key, value in classifier.state_dict().items()}, part)
    part.rename(file)


def soup(name: str, seed: int, cohorts: dict[str, Packed], told: Told) -> tuple[Classifier, Classifier]:
    """The mean of the networks of the full methods that may be handed over, with each site's batch statistics."""
    rows = Rows(told.rows)
    found = {method: rows.get(key_of((name, seed, method), told)) for method in ("source-only", *FULL)}
    told_of = {method: row["result"]["signals"] for method, row in found.items() if row}
    sound = [method for method in told_of if method in FULL and not fault_of(told_of[method], told_of["source-only"])]
    models = []
    for method in sound:
        classifier = base(name, seed, "source-only", told).cpu()
        classifier.load_state_dict(load_file(network_file(name, seed, method, told)))
        models.append(classifier)
    if not models:
        models = [base(name, seed, "source-only", told).cpu()]
    mean = averaged(models).to(told.device).eval()
    return for_site(mean, cohorts["source"], mean.fixed), for_site(mean, unlabelled(cohorts["target"]), mean.fixed)


def row_of(name: str, seed: int, method: str, told: Told) -> dict[str, Any]:
    """One model: what it says of each scan, how that looks without labels, and how right it is."""
    cohorts = cohorts_of(name, told.packs)
    test = cohorts["test"]
    seconds = time.perf_counter()
    if method in BASES:
        at_source = here = base(name, seed, method, told)
    elif method == SOUP:
        at_source, here = soup(name, seed, cohorts, told)
    else:
        at_source, here = adapted(name, seed, method, cohorts, told)
    seconds = time.perf_counter() - seconds
    candidate = candidate_of(at_source, here, cohorts)
    apart = look(here, test).logits.cpu().numpy()
    said = {"held_out": candidate.source_logits, "target": candidate.target_logits, "test": apart}
    found = signals_of(candidate, source_only(name, seed, told))
    if method == "source-only":
        found |= witnessed(name, seed, candidate, told)
    return {
        "signals": found,
        **right("here", cohorts["target"], candidate.target_logits),
        **right("test", test, apart),
        "logits": {part: coded(logits) for part, logits in said.items()},
        "train_seconds": round(seconds, 1),
    }


def candidate_of(at_source: Classifier, here: Classifier, cohorts: dict[str, Packed]) -> Candidate:
    """The model as far as choosing may see it."""
    held_out = cohorts["held_out"]
    home, there = look(at_source, held_out), look(here, unlabelled(cohorts["target"]))
    arrays = [each.cpu().numpy() for each in (home.logits, home.features, there.logits, there.features)]
    return Candidate(*arrays[:2], held_out.label, held_out.patient, *arrays[2:])


@lru_cache(maxsize=4)
def source_only(name: str, seed: int, told: Told) -> Candidate:
    """What every method began from."""
    warm = base(name, seed, "source-only", told)
    return candidate_of(warm, warm, cohorts_of(name, told.packs))


def witnessed(name: str, seed: int, candidate: Candidate, told: Told) -> dict[str, float]:
    """How alike a second source-only model ranks scans at home and at the target."""
    other = source_only(name, (seed + 1) % max(len(told.seeds), 2), told)
    pairs = {
        "witness_held_out": (candidate.source_logits, other.source_logits),
        "witness_target": (candidate.target_logits, other.target_logits),
    }
    return {part: rank_agreement(*map(ranked_by, logits)) for part, logits in pairs.items()}


def adapted(name: str, seed: int, method: str, cohorts: dict[str, Packed], told: Told) -> tuple[Classifier, Classifier]:
    """The model as it judges source scans, and as it works at the target."""
    config = config_of(told, seed).model_copy(update={"method": method})
    target, warm = unlabelled(cohorts["target"]), base(name, seed, "source-only", told).cpu()
    with tempfile.TemporaryDirectory() as folder:
        trained, _ = adapt_classifier(
            warm, cohorts["source"], cohorts["held_out"], target, config, fabric=fabric_of(told.device),
            folder=Path(folder), options={}, phase=method,
        )  # fmt: skip
    keep(trained.classifier, network_file(name, seed, method, told))
    at_source = trained.classifier.to(told.device)
    here = for_site(at_source, target, at_source.fixed)
    return (
        for_site(at_source, cohorts["source"], at_source.fixed) if METHODS[method].own_statistics else at_source
    ), here


def right(part: str, cohort: Packed, logits: np.ndarray) -> dict[str, float]:
    """AUROC (the mean over classes against the rest) and balanced accuracy, over the classes that are there."""
    from sklearn.metrics import recall_score, roc_auc_score

    label, seen = cohort.label, np.unique(cohort.label)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    areas = [roc_auc_score(label == c, p[:, c]) for c in (seen if logits.shape[1] > 2 else [1])]
    recall = recall_score(label, logits.argmax(axis=1), labels=seen, average="macro", zero_division=0)
    return {f"auroc_{part}": float(np.mean(areas)), f"balanced_{part}": float(recall)}


def config_of(told: Told, seed: int) -> Config:
    config = Config(seed=seed, weights=told.weights)
    if told.steps:
        halved = {part: getattr(config, part).model_copy(update={"steps": told.steps}) for part in ("source", "adapt")}
        config = config.model_copy(update=halved)
    return config


def fabric_of(device: str) -> Fabric:
    return Fabric(accelerator="cuda" if device == "cuda" else "cpu", devices=1)


def key_of(task: tuple[str, int, str], told: Told) -> dict[str, Any]:
    name, seed, method = task
    return {"pair": name, "seed": seed, "method": method, **({"steps": told.steps} if told.steps else {})}


class Told(argparse.Namespace):
    """What was asked for; the same for all rows of a process."""

    def __hash__(self) -> int:
        return 0


def work(job: tuple[tuple[str, int, str], argparse.Namespace]) -> tuple[tuple[str, int, str], Any, float]:
    """A row in a process of its own; a network alone where the seed is a witness's."""
    task, told = job
    name, seed, method = task
    progress.set_mode("quiet")
    torch.set_num_threads(told.threads)
    torch.set_flush_denormal(True)
    began = time.perf_counter()
    try:
        found: Any = base(name, seed, method, told) and None if told.only_bases else row_of(name, seed, method, told)
    except Exception:
        found = traceback.format_exc()
    return task, found, time.perf_counter() - began


Task = tuple[str, int, str]


def phases(told: Told) -> Iterator[tuple[bool, list[Task]]]:
    """What is trained one after the other, the weightiest first: whether networks alone, and which."""
    bases = [(name, seed, what) for seed in told.seeds for what in BASES for name in told.pairs]
    yield True, bases
    full = [method for method in FULL if method in told.methods]
    others = [method for method in told.methods if method not in (*FULL, SOUP)]
    left = [(name, told.seeds[0], method) for name in told.pairs if name in OTHERS_ON for method in others]
    yield False, bases
    for seed in told.seeds:
        yield False, [*((name, seed, method) for name in told.pairs for method in full)]
        left = [*((name, seed, SOUP) for name in told.pairs), *left]
        if seed == told.seeds[0]:
            yield False, left
            left = []
    yield False, left


def train(told: Told) -> None:
    """Train what is missing, several at a time, until time is up."""
    rows = Rows(told.rows)
    ends = time.monotonic() + told.until
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hospital_shift_methods", "sklearn.linear_model", "timm"])
    with context.Pool(told.jobs) as pool:
        for alone, jobs in phases(told):
            jobs = [task for task in jobs if rows.get(key_of(task, told)) is None]
            asked = Told(**{**vars(told), "only_bases": alone})
            dealt = pool.imap_unordered(work, [(task, asked) for task in jobs])
            for number in range(len(jobs)):
                try:
                    task, found, seconds = dealt.next(timeout=max(0.1, ends - time.monotonic()))
                except multiprocessing.TimeoutError:
                    pool.terminate()
                    print(f"time is up: {number} of {len(jobs)} done", flush=True)
                    return
                left = f"{seconds:.1f} s, {ends - time.monotonic():.0f} left"
                if isinstance(found, str):
                    print(*task, found, flush=True)
                elif found is None:
                    print(*task, left, flush=True)
                else:
                    rows.row(key_of(task, told), lambda found=found: found)
                    print(*task, f"{found['auroc_test']:.3f} {found['balanced_test']:.3f}", left, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "train", "table"))
    parser.add_argument("--pairs", type=lambda text: text.split(","), default=list(SHIFTS))
    parser.add_argument("--methods", type=lambda text: text.split(","), default=[m for m in METHODS if m not in BASES])
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="of each phase, for a rehearsal; by default the config's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--until", type=float, default=1e6, help="seconds")
    parser.add_argument("--packs", type=Path, default=PACKS)
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--weights", type=Path, default=None, help="of the backbone, where its package is not")
    told = parser.parse_args(namespace=Told())
    told.only_bases = False
    if told.what == "pack":
        for folder, sites in SITES.items():
            for site in sites:
                print(folder, site, len(site_of(folder, site, told.packs)), flush=True)
    elif told.what == "train":
        print(machine(), flush=True)
        train(told)
    else:
        from _method_tables import tables

        tables(Rows(told.rows), told.packs)


if __name__ == "__main__":
    main()
