"""Known answers in photographs: PACS with one style left out, and Office-Caltech10's twelve tasks.

    python benchmarks/objects.py pacs [--methods dann,mcc] [--jobs 2] [--device cuda]
    python benchmarks/objects.py office-caltech10

    python benchmarks/objects.py pack pacs -o FOLDER           one file for a machine without the folders,
    python benchmarks/objects.py pack office-caltech10 ...     then: --data FOLDER
    python benchmarks/objects.py pack weights -o FOLDER        the backbone's, then: --weights FOLDER/lite0.safetensors

The default backbone at 112 x 112, medtl's default views and each method's own defaults, from a source-only network on;
nothing is chosen, the last step counts. The target's pictures are all dealt without their labels, and all of them are
asked about. The published rows have another backbone and larger input: ResNet-18 at 224 without any method for PACS
(no target picture is seen there either), AlexNet at 227 for Office-Caltech10 (Long et al., ICML 2015, table 2, which
has the six tasks with Caltech). Pictures are read with Pillow and held as bytes.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _pictures import Pictures
from _rows import Rows, markdown
from _transfer import Job, accuracy, add_options, deep_methods, file_of, fitted, measure, source_only
from PIL import Image

from medtl.data.augmentation import Augmentation
from medtl.models import Classifier, create_backbone
from medtl.models.backbones import DEFAULT, imagenet_weights

OBJECTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "objects"
SIZE = 112
NOT_HERE = ("distill",)  # not among "all": the student's weights would have to be fetched
RESNET18 = "ResNet-18, 224, without any method"
ALEXNET = "AlexNet, 227 (Long et al., ICML 2015)"


@dataclass(frozen=True)
class Set:
    """A set of pictures, and how long is trained on it.

    Attributes:
        domains: names of its folders.
        one_source: whether a task has one source; else all domains but the target's.
        source_steps: of source-only.
        steps: of each method, after that.
        most: pictures of a class and domain, drawn once; 0 for all.
        published: (method, target), or (method, source, target) -> accuracy.
        where: what the published rows are of.
    """

    domains: tuple[str, ...]
    one_source: bool
    source_steps: int
    steps: int
    most: int
    published: Mapping[tuple[str, ...], float]
    where: str

    @property
    def tasks(self) -> list[tuple[tuple[str, ...], str]]:
        """(sources, target)."""
        if self.one_source:
            return [((source,), target) for source in self.domains for target in self.domains if source != target]
        return [(tuple(name for name in self.domains if name != target), target) for target in self.domains]


_CALTECH = (("amazon", "caltech"), ("webcam", "caltech"), ("dslr", "caltech"))
_CALTECH += tuple(("caltech", target) for target in ("amazon", "webcam", "dslr"))
SETS = {
    "pacs": Set(
        domains=("art_painting", "cartoon", "photo", "sketch"),
        one_source=False,
        source_steps=300,
        steps=150,
        most=150,
        published={
            ("source-only", target): share
            for target, share in {"art_painting": 0.779, "cartoon": 0.749, "photo": 0.957, "sketch": 0.677}.items()
        },
        where=RESNET18,
    ),
    "office-caltech10": Set(
        domains=("amazon", "caltech", "dslr", "webcam"),
        one_source=True,
        source_steps=150,
        steps=75,
        most=0,
        published={
            (method, *task): share
            for method, shares in {
                "source-only": (0.838, 0.761, 0.808, 0.911, 0.831, 0.890),
                "dan": (0.860, 0.815, 0.820, 0.920, 0.920, 0.905),
            }.items()
            for task, share in zip(_CALTECH, shares, strict=True)
        },
        where=ALEXNET,
    ),
}


# --- pictures -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoded:
    """Pictures as their files hold them.

    Attributes:
        files: N of them, JPEG or the like.
        label: int64 (N,), a place in `classes`.
        domain: int64 (N,), a place in `domains`.
        classes: names.
        domains: names.
        most: of a class and domain; 0 for all there are.
    """

    files: tuple[bytes, ...]
    label: np.ndarray
    domain: np.ndarray
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    most: int = 0

    def save(self, path: Path) -> None:
        """In one .npz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        ends = np.cumsum([len(file) for file in self.files])
        packed = np.frombuffer(b"".join(self.files), np.uint8)
        names = {"classes": np.array(self.classes), "domains": np.array(self.domains)}
        np.savez(path, files=packed, ends=ends, label=self.label, domain=self.domain, most=self.most, **names)

    @classmethod
    def load(cls, path: Path) -> Encoded:
        """What `save` wrote."""
        with np.load(path) as kept:
            packed, ends = kept["files"].tobytes(), [0, *kept["ends"].tolist()]
            files = tuple(packed[start:stop] for start, stop in itertools.pairwise(ends))
            names = [tuple(kept[name].tolist()) for name in ("classes", "domains")]
            return cls(files, kept["label"], kept["domain"], *names, int(kept["most"]))

    @classmethod
    def read(cls, folder: Path, domains: Sequence[str], most: int) -> Encoded:
        """Of FOLDER/DOMAIN/CLASS/*, at most so many of each, the same ones each time; 0 for all."""
        classes = sorted(path.name for path in (folder / domains[0]).iterdir() if path.is_dir())
        files, label, domain = [], [], []
        for place, name in enumerate(domains):
            for number, word in enumerate(classes):
                found = sorted(path for path in (folder / name / word).iterdir() if path.is_file())
                if most and len(found) > most:
                    drawn = np.random.default_rng((place, number)).permutation(len(found))[:most]
                    found = [found[each] for each in sorted(drawn)]
                files += [path.read_bytes() for path in found]
                label += [number] * len(found)
                domain += [place] * len(found)
        return cls(tuple(files), np.array(label), np.array(domain), tuple(classes), tuple(domains), most)

    @property
    def digest(self) -> str:
        """16 hex digits of what is shown and what it is called."""
        told = hashlib.sha256(b"".join(self.files))
        told.update(json.dumps([self.label.tolist(), self.domain.tolist(), self.classes, self.domains]).encode())
        return told.hexdigest()[:16]


def encoded(name: str, data: Path, most: int) -> Encoded:
    """The pictures of a set, from its packed file or from its folder."""
    packed = data / f"{name}.npz"
    if not packed.exists():
        return Encoded.read(data / name, SETS[name].domains, most)
    found = Encoded.load(packed)
    if found.most != most:
        raise SystemExit(
            f"{packed} holds at most {found.most} pictures of a class and domain: give --most {found.most}"
        )
    return found


def decoded(files: Sequence[bytes], size: int = SIZE) -> np.ndarray:
    """uint8 (N, 3, size, size), each squeezed to a square as tllib does it."""
    stack = np.empty((len(files), 3, size, size), np.uint8)
    for place, file in enumerate(files):
        with Image.open(io.BytesIO(file)) as image:
            square = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        stack[place] = np.asarray(square).transpose(2, 0, 1)
    return stack


def unpacked(pictures: Encoded, folder: Path) -> Path:
    """A .npy of the decoded pictures, which many processes map; made once."""
    path = folder / f"{pictures.digest}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, decoded(pictures.files))
        part.rename(path)
    told = path.with_suffix(".npz")
    names = {"classes": np.array(pictures.classes), "domains": np.array(pictures.domains)}
    np.savez(told, label=pictures.label, domain=pictures.domain, **names)
    return path


@functools.cache
def pictures_of(path: Path, domains: tuple[str, ...]) -> Pictures:
    """Those of some domains, each a site of its own in this order."""
    with np.load(path.with_suffix(".npz")) as told:
        label, domain, names = told["label"], told["domain"], told["domains"].tolist()
        classes = tuple(told["classes"].tolist())
    stack = np.load(path, mmap_mode="r")
    rows = np.concatenate([np.flatnonzero(domain == names.index(name)) for name in domains])
    sites = [domains.index(names[each]) for each in domain[rows]]
    return Pictures(stack[rows], label[rows], site=np.array(sites), classes=classes)


# --- rows -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where decoded pictures, networks and the backbone's weights lie, and what computes."""

    pictures: Path
    networks: Path
    weights: Path | None
    device: str


def started(sources: tuple[str, ...], seed: int, place: Place, setting: Mapping[str, Any]) -> Classifier:
    """The source-only network of some domains."""
    source = pictures_of(place.pictures, sources)

    def made() -> Classifier:
        return Classifier(create_backbone(DEFAULT, place.weights), len(source.classes))

    file = file_of(place.networks, {"sources": sources, "seed": seed, "of": place.pictures.stem, **setting})
    return source_only(made, source, setting, seed, place.device, Augmentation(), file)


def begin(sources: tuple[str, ...], seed: int, place: Place, setting: Mapping[str, Any]) -> dict[str, float]:
    """The source-only network, for all that start from it; what is kept of it is the file."""
    started(sources, seed, place, setting)
    return {}


def row(
    method: str,
    task: tuple[tuple[str, ...], str],
    seed: int,
    place: Place,
    start: Mapping[str, Any],
    setting: Mapping[str, Any],
) -> dict[str, float]:
    """Accuracy on the target's pictures."""
    model = started(task[0], seed, place, start)
    source, target = (pictures_of(place.pictures, names) for names in (task[0], (task[1],)))
    if method != "source-only":
        model, _ = fitted(method, model, source, target, setting, seed, place.device, Augmentation())
    right = accuracy(model, target, place.device)
    return {"target": right, "source": accuracy(model, source, place.device), "pictures": len(target)}


@dataclass(frozen=True)
class Benchmark:
    """What is measured.

    Attributes:
        name: of the set.
        methods: names, source-only first.
        seeds: of them.
        most: pictures of a class and domain; 0 for all.
        source_steps, steps: of source-only and of the methods.
        weights: "" for the package's, "carried" for a file, such as `pack weights` writes.
    """

    name: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    most: int
    source_steps: int
    steps: int
    weights: str

    @property
    def settings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of source-only, and of the methods: medtl's defaults but for the steps."""
        usual = {"batch": 32, "lr": 1e-3, "backbone_lr": 0.2}
        return {"steps": self.source_steps, **usual}, {"steps": self.steps, **usual}

    def key(self, method: str, task: tuple[tuple[str, ...], str], seed: int) -> dict[str, Any]:
        """All that decides a row."""
        start, setting = self.settings
        told = {"set": self.name, "sources": list(task[0]), "target": task[1], "method": method, "seed": seed}
        told |= {"most": self.most, "size": SIZE, "backbone": DEFAULT, "weights": self.weights, "from": start}
        return told if method == "source-only" else {**told, "setting": setting}

    def measure(self, rows: Rows, place: Place, workers: int, again: bool, until: float) -> list[str]:
        """What is missing: source-only networks first."""
        start, setting = self.settings
        tasks = SETS[self.name].tasks
        begun = [
            Job({"begin": list(sources), "seed": seed}, begin, (sources, seed, place, start))
            for seed in self.seeds
            for sources in dict.fromkeys(sources for sources, _ in tasks)
        ]
        jobs = [
            Job(self.key(method, task, seed), row, (method, task, seed, place, start, setting))
            for seed in self.seeds
            for method in self.methods
            for task in tasks
        ]
        if all(rows.get(job.key) is not None for job in jobs) and not again:
            return []
        said = measure(begun, rows, workers, place.device, until=until)
        return said + measure(jobs, rows, workers, place.device, again, until)

    def table(self, rows: Rows) -> str:
        """A line a method, a column a task, and the published lines below."""
        tasks = SETS[self.name].tasks
        lines, used = [], []
        for method in self.methods:
            found = [[rows.get(self.key(method, task, seed)) for seed in self.seeds] for task in tasks]
            used += [each for task in found for each in task if each is not None]
            shares = [[each["result"]["target"] for each in task if each is not None] for task in found]
            if any(shares):
                lines.append([method, *_means(shares)])
        for method in dict.fromkeys(key[0] for key in SETS[self.name].published):
            shares = [self._published(method, task) for task in tasks]
            lines.append([f"{method}, published", *_means(shares)])
        header = ["method", *(_named(task) for task in tasks), "mean"]
        dates = sorted({each["date"] for each in used}) or ["nothing"]
        drawn = f"at most {self.most} pictures of a class and domain" if self.most else "all pictures"
        said = f"published: {SETS[self.name].where}. Here: {DEFAULT}, {SIZE} x {SIZE}, {drawn}, {len(self.seeds)} seeds"
        machines = "; ".join(sorted({each["machine"] for each in used}))
        return f"{markdown(header, lines)}\n\n{said}; {self.settings[0]['steps']} steps of source-only, " + (
            f"{self.settings[1]['steps']} of each method; measured {dates[0]} to {dates[-1]} on {machines}"
        )

    def _published(self, method: str, task: tuple[tuple[str, ...], str]) -> list[float]:
        known = SETS[self.name].published
        key = (method, task[0][0], task[1]) if SETS[self.name].one_source else (method, task[1])
        return [known[key]] if key in known else []


def _named(task: tuple[tuple[str, ...], str]) -> str:
    return f"{task[0][0]} to {task[1]}" if len(task[0]) == 1 else f"to {task[1]}"


def _means(shares: list[list[float]]) -> list[str]:
    """Each task's mean over the seeds, and the mean over tasks where all are there."""
    each = [float(np.mean(share)) if share else np.nan for share in shares]
    return ["" if np.isnan(one) else f"{one:.3f}" for one in [*each, float(np.mean(each))]]


def pack(what: str, data: Path, most: int, folder: Path) -> Path:
    """One file to carry: the pictures of a set as their files hold them, or the backbone's weights in half precision.

    Means and variances of the norms stay as they are: a variance may be too small for half precision.
    """
    if what != "weights":
        path = folder / f"{what}.npz"
        Encoded.read(data / what, SETS[what].domains, most).save(path)
        return path
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lite0.safetensors"
    weights = imagenet_weights(DEFAULT)
    halved = {key: value.half() if value.ndim > 1 else value for key, value in weights.items()}
    save_file({key: value.contiguous() for key, value in halved.items()}, path)
    return path


def main(told: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*SETS, "pack"])
    parser.add_argument("packed", nargs="?", choices=[*SETS, "weights"], help="what to pack")
    parser.add_argument("-o", dest="folder", type=Path, default=Path("objects"), help="where to pack it")
    add_options(parser, OBJECTS, "objects")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--steps", type=int, help="of each method")
    parser.add_argument("--source-steps", type=int, help="of source-only")
    parser.add_argument("--most", type=int, help="pictures of a class and domain; 0 for all; 150 of PACS")
    parser.add_argument("--weights", type=Path, help="what `pack weights` wrote")
    given = parser.parse_args(told)
    if given.what == "pack":
        if given.packed is None:
            parser.error("pack what?")
        most = given.most if given.most is not None else getattr(SETS.get(given.packed), "most", 0)
        path = pack(given.packed, given.data, most, given.folder)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        return
    usual = SETS[given.what]
    methods = tuple(dict.fromkeys(["source-only", *deep_methods(given.methods, NOT_HERE)]))
    most = usual.most if given.most is None else given.most
    steps = (given.source_steps or usual.source_steps, given.steps or usual.steps)
    seeds = tuple(map(int, given.seeds.split(",")))
    benchmark = Benchmark(given.what, methods, seeds, most, *steps, "carried" if given.weights else "")
    rows = Rows(given.out / "objects.jsonl")
    said = []
    if not given.table:
        path = unpacked(encoded(given.what, given.data, most), given.networks)
        place = Place(path, given.networks, given.weights, given.device)
        said = benchmark.measure(rows, place, given.jobs, given.again, given.until)
    print(benchmark.table(rows))
    print("".join(f"\nnot measured: {each}" for each in said))


if __name__ == "__main__":
    main()
