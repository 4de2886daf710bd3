"""The published tables of the field's own data sets, one command each, for whoever has the data.

    python benchmarks/published.py office-31 FOLDER [--methods dann,cdan] [--device cuda] [--tasks amazon:webcam]
    python benchmarks/published.py office-home FOLDER
    python benchmarks/published.py visda-2017 FOLDER
    python benchmarks/published.py pacs FOLDER
    python benchmarks/published.py camelyon17 FOLDER
    python benchmarks/published.py medmnist breastmnist.npz

The folders are as their authors publish them (`_layouts.py`), the settings stand in `configs/benchmarks/NAME.yaml`.
Training begins with the backbone's ImageNet weights, then each method goes on from the source-only network. All of the
source is dealt with its labels, all of the target without; the network after the last step is asked about all of the
target, as the published runs are (which report the epoch that is best on the target's labels: tllib's "best_acc1").
Pictures are squeezed to a square; pixels have ImageNet's mean and deviation, or the backbone's own.

Differs from the published runs: AdamW with a cosine for SGD; views are zoomed, shifted and mirrored for cropped ones;
where each number is from: `_published.py`. MedMNIST is trained on its training part, its last network asked
about its test part.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from _layouts import LAYOUTS, PACS, manifests
from _published import MEDMNIST, mean, published
from _rows import RESULTS, Rows, markdown
from _transfer import Job, deep_methods, file_of, fitted, measure, probabilities, source_only
from PIL import Image
from torch import Tensor, nn

from medtl.data.augmentation import Augmentation
from medtl.measures import auroc
from medtl.models import Classifier, create_backbone
from medtl.scans import Manifest
from medtl.scans.arrays import picture_of
from medtl.training.config import Config, load_config

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "benchmarks"
Task = tuple[tuple[str, ...], str]  # the sources' domains, the target's
DOMAINS = {
    "office-31": ("amazon", "dslr", "webcam"),
    "office-home": ("Art", "Clipart", "Product", "Real World"),
}
TASKS: dict[str, list[Task]] = {
    **{
        name: [((source,), target) for source in domains for target in domains if source != target]
        for name, domains in DOMAINS.items()
    },
    "visda-2017": [(("train",), "validation")],
    "pacs": [(tuple(name for name in PACS if name != target), target) for target in PACS],
    "camelyon17": [(("train",), "test")],
    "medmnist": [(("all",), "all")],
}
THREADS = 8  # that decode a batch


class Photographs:
    """What a Role needs of a cohort, each picture decoded when it is dealt.

    Attributes:
        label: int64 (N,); float32 (N, K) for several labels a picture.
        site: int64 (N,), a place in `site_names`.
        classes: the classes' names.
        size: rows and columns.
    """

    def __init__(self, parts: Sequence[Manifest], size: int, classes: Sequence[str]) -> None:
        rows = [row for part in parts for row in part]
        self.size, self.classes = size, tuple(classes)
        self.multilabel = any(";" in row.label for row in rows)
        self.site_names = tuple(dict.fromkeys(row.site for row in rows))
        self.site = np.array([self.site_names.index(row.site) for row in rows])
        self.patient = np.array([row.patient or row.scan_id for row in rows])
        self.bag_sizes = np.ones(len(rows), np.int64)
        self._places = [(row.path, row.extra.get("volume", "")) for row in rows]
        if self.multilabel:
            names = [set(row.label.split(";")) for row in rows]
            self.label = np.array([[name in each for name in self.classes] for each in names], np.float32)
        else:
            self.label = np.array([self.classes.index(row.label) for row in rows])

    def __len__(self) -> int:
        return len(self._places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return 3, self.size, self.size

    def pixels(self, i: int) -> np.ndarray:
        """Float32 (1, 3, size, size) in [-1, 1]."""
        return self.gather(np.array([i]))

    def gather(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Float32 (n, 3, size, size) of some rows, into `out` where that is given."""
        out = np.empty((len(rows), *self.shape), np.float32) if out is None else out

        def put(number: int) -> None:
            out[number] = self._decoded(int(rows[number])).transpose(2, 0, 1)

        list(_pool().map(put, range(len(rows))))
        out /= 127.5
        out -= 1
        return out

    def _decoded(self, row: int) -> np.ndarray:
        path, volume = self._places[row]
        image = Image.fromarray(picture_of(path, int(volume))) if volume else Image.open(path)
        return np.asarray(image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


class AsTrained(nn.Module):
    """A backbone that takes pixels in [-1, 1] and gives its own mean and deviation to what it passes on."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.num_features = backbone, backbone.num_features
        told = getattr(backbone, "pretrained_cfg", {})
        for name, usual in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(told.get(name, usual))[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, F)."""
        return self.backbone(((pixels + 1) / 2 - self.mean) / self.std)


@dataclass(frozen=True)
class Place:
    """Where the data and the source-only networks lie, what is trained how, and what computes."""

    name: str
    data: Path
    networks: Path
    config: Config
    device: str


@functools.cache
def domains(name: str, data: Path) -> dict[str, Manifest]:
    """A manifest for each domain."""
    return manifests(name, data)


def classes_of(place: Place) -> list[str]:
    """Of all domains alike; "none" is the absence of several labels and no class."""
    found = next(iter(domains(place.name, place.data).values())).classes
    several = [name for name in found if name != "none"]
    return sorted(several, key=lambda name: (len(name), name)) if place.name == "medmnist" else found


def part(place: Place, names: Sequence[str], split: str = "") -> Photographs:
    """The pictures of some domains, or those of one split."""
    found = [domains(place.name, place.data)[name] for name in names]
    found = [manifest.split(split) if split else manifest for manifest in found]
    return Photographs(found, place.config.size, classes_of(place))


def sides(place: Place, task: Task) -> tuple[Photographs, Photographs]:
    """The source's pictures and the target's."""
    split = "train" if place.name in ("pacs", "medmnist") else ""
    return part(place, task[0], split), part(place, [task[1]], "test" if place.name == "medmnist" else "")


def setting_of(config: Config, phase: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Steps and rates of "source" or "adapt"."""
    told = getattr(config, phase)
    known = {name: getattr(told, name) for name in ("steps", "batch", "lr", "backbone_lr")}
    return {**known, "balance": list(config.balance), "options": dict(options)}


def started(task: Task, source: Photographs, seed: int, place: Place) -> Classifier:
    """The source-only network."""
    config = place.config

    def made() -> Classifier:
        return Classifier(AsTrained(create_backbone(config.backbone, config.weights)), len(source.classes))

    setting = setting_of(config, "source", {})
    file = file_of(place.networks, {"set": _signature(place), "sources": task[0], "seed": seed, **setting})
    return source_only(made, source, setting, seed, place.device, views_of(config), file)


def views_of(config: Config) -> Augmentation:
    """Random views by the config; a photograph is mirrored where that says nothing."""
    return config.augmentation.augmentation(SimpleNamespace(flip=True, flip_vertical=False))


def row(method: str, task: Task, seed: int, place: Place, options: Mapping[str, Any]) -> dict[str, float]:
    """What is counted on the target: accuracy, the mean of the classes' own, and AUC for MedMNIST."""
    source, target = sides(place, task)
    model = started(task, source, seed, place)
    if method != "source-only":
        setting = setting_of(place.config, "adapt", options)
        model, _ = fitted(method, model, source, target, setting, seed, place.device, views_of(place.config))
    return counted(probabilities(model, target, place.device), target.label)


def counted(p: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Accuracy, by classes, and AUC, of probabilities (N, K) and labels (N,) or (N, K).

    As MedMNIST's evaluator: of several labels each is right or wrong at 0.5, and the AUC is the mean over them.
    """
    if label.ndim == 2:
        areas = [auroc(column, share) for column, share in zip(label.T, p.T, strict=True)]
        right = float(((p > 0.5) == (label > 0.5)).mean())
        return {"accuracy": right, "by_class": right, "auc": float(np.nanmean(areas))}
    right = p.argmax(1) == label
    known = np.unique(label)
    areas = [auroc(label == each, p[:, each]) for each in known]
    by_class = float(np.mean([right[label == each].mean() for each in known]))
    return {"accuracy": float(right.mean()), "by_class": by_class, "auc": float(np.mean(areas))}


def _signature(place: Place) -> dict[str, Any]:
    """What of the config decides a result; the file's name for a MedMNIST set."""
    told = place.config.model_dump(mode="json", exclude={"method", "options", "device", "devices", "adapt", "weights"})
    return {"name": place.name, "of": place.data.stem if place.name == "medmnist" else "", **told}


def key(method: str, task: Task, seed: int, place: Place, options: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a row but the pictures, which are the user's."""
    told = {"method": method, "sources": list(task[0]), "target": task[1], "seed": seed, "config": _signature(place)}
    return told if method == "source-only" else {**told, "setting": setting_of(place.config, "adapt", options)}


def options_of(method: str, config: Config) -> Mapping[str, Any]:
    """Those of the config where it names the method; else the method's own defaults."""
    return config.options if method == config.method else {}


def table(rows: Rows, methods: Sequence[str], tasks: Sequence[Task], seeds: Sequence[int], place: Place) -> str:
    """A line a method with the published one below, a column a task."""
    lines = []
    for method in methods:
        options = options_of(method, place.config)
        found = [[rows.get(key(method, task, seed, place, options)) for seed in seeds] for task in tasks]
        shares = [[100 * score(each["result"], place.name) for each in task if each is not None] for task in found]
        if any(shares):
            each = [float(np.mean(share)) if share else np.nan for share in shares]
            lines.append([method, *map(_cell, [*each, float(np.mean(each))])])
        theirs = [published(place.name, method, (*task[0], task[1])) for task in tasks]
        whole = mean(place.name, method) if len(tasks) == len(TASKS[place.name]) else None
        if whole is not None or any(one is not None for one in theirs):
            lines.append([f"{method}, published", *map(_cell, theirs), _cell(whole)])
    header = [place.name, *(f"{', '.join(task[0])} to {task[1]}" for task in tasks), "mean"]
    return markdown(header, lines)


def score(result: Mapping[str, float], name: str) -> float:
    """What a set's published table has."""
    return result["by_class" if name == "visda-2017" else "accuracy"]


def _cell(share: float | None) -> str:
    return "" if share is None or np.isnan(share) else f"{share:.1f}"


def table_of_medmnist(rows: Rows, seeds: Sequence[int], place: Place) -> str:
    """AUC and accuracy on the test part."""
    task = TASKS["medmnist"][0]
    found = [each for seed in seeds if (each := rows.get(key("source-only", task, seed, place, {}))) is not None]
    lines = [["medtl", *(f"{np.mean([each['result'][name] for each in found]):.3f}" for name in ("auc", "accuracy"))]]
    name = place.data.stem.partition("_")[0]
    if name in MEDMNIST:
        lines.append(["ResNet-18 (224), published", *(f"{number:.3f}" for number in MEDMNIST[name])])
    return markdown([name, "test AUC", "test accuracy"], lines)


def chosen_tasks(name: str, asked: str) -> list[Task]:
    """All tasks, or some: "amazon:webcam,dslr:amazon"; for one left out ":photo".

    Raises:
        SystemExit: there is no such task.
    """
    if not asked:
        return TASKS[name]
    spelt = {f"{task[0][0] if len(task[0]) == 1 else ''}:{task[1]}": task for task in TASKS[name]}
    names = asked.split(",")
    if strangers := [each for each in names if each not in spelt]:
        raise SystemExit(f"{', '.join(strangers)}: no such task; there is {', '.join(spelt)}")
    return [spelt[each] for each in names]


def main(told: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(LAYOUTS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default="dann", help="names of `medtl methods`, joined by commas, or all")
    parser.add_argument("--tasks", default="", help="such as amazon:webcam,dslr:amazon; all by default")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--config", type=Path, help="instead of configs/benchmarks/NAME.yaml")
    parser.add_argument("--weights", type=Path, help="the backbone's, where there is no network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a process each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the rows")
    parser.add_argument("--networks", type=Path, default=RESULTS / "published", help="of source-only networks")
    parser.add_argument("--table", action="store_true", help="print what is measured, measure nothing")
    given = parser.parse_args(told)
    config = load_config(given.config or CONFIGS / f"{given.name}.yaml", weights=given.weights)
    place = Place(given.name, given.folder.expanduser().absolute(), given.networks, config, given.device)
    methods = list(dict.fromkeys(["source-only", *deep_methods(given.methods)]))
    methods = ["source-only"] if given.name == "medmnist" else methods
    tasks, seeds = chosen_tasks(given.name, given.tasks), list(map(int, given.seeds.split(",")))
    rows, said = Rows(given.out / "published.jsonl"), []
    if not given.table:
        told_ = [(method, task, seed, place, options_of(method, config)) for seed in seeds for method in methods
                 for task in tasks]  # fmt: skip
        jobs = [Job(key(*each), row, each) for each in told_]
        plain = [job for job in jobs if job.told[0] == "source-only"]
        said = measure(plain, rows, given.jobs, given.device)
        said += measure([job for job in jobs if job.told[0] != "source-only"], rows, given.jobs, given.device)
    if given.name == "medmnist":
        print(table_of_medmnist(rows, seeds, place))
    else:
        print(table(rows, methods, tasks, seeds, place))
    print("".join(f"\nnot measured: {each}" for each in said))


if __name__ == "__main__":
    main()
