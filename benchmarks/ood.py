"""Which scans a model should not judge: detectors on the features of real networks, other body parts, machines, things.

    python benchmarks/ood.py features [--networks FOLDER] [--seeds 0,1,2,3,4]
    python benchmarks/ood.py table

`features` computes what each network gives for each set (kept under benchmarks/results/ood/, so that a run that was
cut goes on, and seeds are added as `hospital_shift.py train` makes them); `table` compares the detectors. All pictures
are prepared by the recipe of the model that is asked, as `medtl predict` does. Each set is halved, by patient where
patients are known: detectors were chosen on the one half ("choose"), the figures are of the other ("report").
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import cached, network, there
from _rows import Rows, machine, markdown
from hospital_shift import DATA, PAIRS, RESULTS, Pair

from medtl.data import Cohort
from medtl.intensity import RECIPES
from medtl.measures import auroc
from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.runs.predict import outputs
from medtl.scans import Manifest
from medtl.scans.manifest import COLUMNS
from medtl.trust import fit_familiarity, half_the_patients
from medtl.trust.out_of_distribution import SHARE

CACHE = Path(__file__).resolve().parent / "results" / "ood"
#: Pictures of a set; scans of the model's own hospitals, to learn what is familiar and to cut.
MOST, LEARNT = 120, {"source": 400, "held_out": 240, "target": 240, "test": 240}
PARTS, KINDS = ("source", "held_out", "target", "test"), ("source-only", "dann")
#: Name -> folder, site and pictures; the site "" stands for all of the folder.
SETS = {
    "ultrasound brazil": ("ultrasound", "brazil", MOST),
    "ultrasound egypt": ("ultrasound", "egypt", MOST),
    "ultrasound poland": ("ultrasound", "poland", MOST),
    "radiographs guangzhou": ("cxr", "guangzhou", MOST),
    "radiographs nih": ("cxr", "nih", MOST),
    "radiographs new-delhi": ("tb", "new-delhi", MOST),
    "radiographs yakutia": ("tb", "yakutia", MOST),
    "MR volumes": ("brain-mr", "hammersmith", 24),
    "MR slices": ("brain-mr", "hammersmith", 24),
    "blood cells": ("cells", "", MOST),
    "photographs": ("objects/office-caltech10", "", MOST),
    "art and sketches": ("objects/pacs", "", MOST),
}


def table_of(folder: str, site: str, most: int) -> pd.DataFrame:
    """site, file and patient of at most so many pictures, drawn once for all."""
    if folder.startswith("objects"):
        files = sorted(str(file.relative_to(DATA / folder)) for file in (DATA / folder).rglob("*.jpg"))
        frame = pd.DataFrame({"site": folder, "file": files})
    else:
        frame = pd.read_csv(DATA / folder / "labels.csv", dtype=str)
    frame = frame[frame.site == site] if site else frame
    if "patient" not in frame:
        frame = frame.assign(patient=[f"{folder}-{number}" for number in range(len(frame))])
    return frame.sample(min(most, len(frame)), random_state=0).sort_index()


def manifest_of(name: str) -> Manifest:
    folder, site, most = SETS[name]
    frame = table_of(folder, site, most)
    table = pd.DataFrame({column: [""] * len(frame) for column in COLUMNS})
    table["scan_id"] = [f"{name}-{number}" for number in frame.index]
    table["patient"], table["status"] = frame.patient.to_numpy(), "ok"
    table["path"] = [str(DATA / folder / file) for file in frame.file]
    return Manifest(table)


class Slices:
    """Each slice of a cohort's volumes as a scan of its own, as a picture of it would be."""

    def __init__(self, cohort: Cohort, most: int) -> None:
        every = [(scan, k) for scan in range(len(cohort)) for k in range(cohort.bag_sizes[scan])]
        drawn = np.sort(np.random.default_rng(0).permutation(len(every))[:most])
        self.places, self.cohort = [every[number] for number in drawn], cohort
        self.bag_sizes = np.ones(len(drawn), int)
        self.patient = cohort.patient[[scan for scan, _ in self.places]]

    def pixels(self, i: int) -> np.ndarray:
        """(1, C, H, W)."""
        scan, k = self.places[i]
        return self.cohort.pixels(scan)[k][None]


class Network:
    """One network on everything: what it has learnt from, other scans of the same hospitals, and all of SETS.

    "imagenet" stands for the untrained backbone, whose hospital is the pair's source, and is asked as source-only is.
    """

    def __init__(self, pair: Pair, name: str, folder: Path = RESULTS) -> None:
        self.pair, self.name, self.folder = pair, name, folder

    @cached_property
    def cohorts(self) -> dict[str, Cohort]:
        """Of the network's own two hospitals."""
        parts = self.pair.cohorts()
        return {name: _some(cohort, LEARNT[name]) for name, cohort in parts.items()}

    @cached_property
    def classifiers(self) -> dict[str, Classifier]:
        """As it judges scans of its source, and of any other place (`write_adapted`)."""
        trained = network(self.name, self.folder)
        elsewhere = with_statistics_of(trained, self.pair.cohorts()["target"]) if self.adapted else trained
        return {"home": trained, "elsewhere": elsewhere}

    @property
    def adapted(self) -> bool:
        """Whether it knows both hospitals."""
        return self.name.endswith("dann")

    def __call__(self, part: str) -> dict[str, np.ndarray]:
        """Logits, features and patient of "source", "held_out", "target", "test" or one of SETS."""
        known = self.name if self.name != "imagenet" else f"imagenet-{self.pair.recipe}"
        if self.name == "imagenet" and part not in SETS:
            known = f"imagenet-{self.pair.name}"
        return cached(CACHE / f"{known}-{part.replace(' ', '-')}.npz", lambda: self._work(part))

    def _work(self, part: str) -> dict[str, np.ndarray]:
        if part in SETS:
            cohort = Cohort(manifest_of(part), RECIPES[self.pair.recipe])
            cohort = Slices(cohort, MOST) if part == "MR slices" else cohort
        else:
            cohort = self.cohorts[part]
        classifier = self.classifiers["home" if part in ("source", "held_out") else "elsewhere"]
        logits, features = outputs(classifier, cohort)
        return {"logits": logits, "features": features, "patient": np.asarray(cohort.patient, str)}


def _some(cohort: Cohort, most: int) -> Cohort:
    return cohort.select(np.random.default_rng(0).permutation(len(cohort))[:most])


def networks(folder: Path, seeds: Sequence[int]) -> list[Network]:
    """Those that are trained by now, and the untrained backbone."""
    pairs = [pair for pair in PAIRS if pair.name != "egypt-brazil"]
    names = [(pair, f"{pair.name}-{seed}-{what}") for seed in seeds for pair in pairs for what in KINDS]
    return [Network(pair, name, folder) for pair, name in names if there(name, folder)] + [
        Network(pair, "imagenet") for pair in pairs
    ]


#: What the sets of a pair's folder are called.
KIND = {"ultrasound": "ultrasound", "tb": "radiographs", "cxr": "radiographs"}
#: How strange scans are, (N,), from features (N, F) and logits (N, K).
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


def detectors(learnt: np.ndarray) -> dict[str, Scorer]:
    """Each is fitted on the features of what the network has learnt from, (M, F)."""
    bank = _unit(learnt)
    found: dict[str, Scorer] = {"energy of the logits": lambda features, logits: -np.logaddexp.reduce(logits, axis=1)}
    for k in (1, 5, 20):
        found[f"neighbour {k}, length one"] = lambda features, logits, k=k: _neighbour(bank, k, features)
    for axes in (16, 32, 64):
        raw, pointing = _in_deviations(learnt, axes, np.asarray), _in_deviations(learnt, axes, _unit)
        for name, scorer in {
            "axes or residual": lambda f, raw=raw: np.maximum(raw(f)[0], np.abs(raw(f)[1])),
            "axes or residual, length one": lambda f, at=pointing: np.maximum(at(f)[0], np.abs(at(f)[1])),
            "axes, residual and length": lambda f, at=pointing: _root(at(f)),
        }.items():
            found[f"{axes} {name}"] = lambda features, logits, scorer=scorer: scorer(features)
    familiar = fit_familiarity(learnt)
    return found | {"as medtl does": lambda features, logits: familiar.distance(features)}


def _in_deviations(learnt: np.ndarray, axes: int, seen_as: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Features -> in the plane of the principal axes, beside it, and the log of the length: standardised, (3, N)."""
    mean = seen_as(learnt).mean(axis=0)
    _, size, directions = np.linalg.svd(seen_as(learnt) - mean, full_matrices=False)
    kept = min(axes, len(learnt) // 4)
    scale = size[:kept] / np.sqrt(len(learnt) - 1)

    def measured(features: np.ndarray) -> np.ndarray:
        centred = seen_as(features) - mean
        along = centred @ directions[:kept].T
        beside = np.sqrt(np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0))
        length = np.log(np.maximum(np.linalg.norm(features, axis=1), 1e-12))
        return np.stack([np.linalg.norm(along / scale, axis=1), beside, length])

    usual = measured(learnt)
    return lambda features: (measured(features) - usual.mean(axis=1)[:, None]) / usual.std(axis=1)[:, None]


def _root(deviations: np.ndarray) -> np.ndarray:
    within, beside, length = deviations
    return np.sqrt(np.maximum(within, 0) ** 2 + beside**2 + length**2)


def _neighbour(bank: np.ndarray, k: int, features: np.ndarray) -> np.ndarray:
    """Distance to the k-th nearest of a bank of features (Sun et al., ICML 2022, arXiv:2204.06507), (N,)."""
    return 1 - np.sort(_unit(features) @ bank.T, axis=1)[:, -min(k, len(bank))]


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, float)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def halves(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Masks (N,) of the scans that a choice may look at and of those that are reported, by patient."""
    names = np.random.default_rng(0).permutation(np.unique(found["patient"]))
    chosen = np.isin(found["patient"], names[::2])
    return {"choose": chosen, "report": ~chosen}


def judged(asked: Network, half: str) -> dict[str, dict[str, dict[str, float]]]:
    """Detector -> set -> AUROC against new scans of the model's own hospitals, and the share flagged.

    The cut lets 97.5 % of scans through that nothing was learnt from. For a network that knows one hospital these are
    one half of the held-out scans, and the other half is "known". To an adapted one the target is known: one half of
    the scans that it adapted to is learnt from, the other half cuts, and the test half is "known" (`write_adapted`).
    """
    own = {part: asked(part) for part in PARTS}
    if asked.adapted:
        learn = half_the_patients(own["target"]["patient"])
        cut_on, new = (own["target"], ~learn), (own["test"], halves(own["test"])[half])
        features = own["target"]["features"][learn]
    else:
        apart = halves(own["held_out"])
        features = own["source"]["features"]
        cut_on, new = (own["held_out"], ~apart[half]), (own["held_out"], apart[half])
    others = {name: asked(name) for name in SETS if name != f"{KIND[asked.pair.folder]} {asked.pair.source}"}
    if asked.adapted:
        others.pop(f"{KIND[asked.pair.folder]} {asked.pair.target}", None)

    def scores(detector: Scorer, found: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        return detector(found["features"][rows].astype(float), found["logits"][rows].astype(float))

    told: dict[str, dict[str, dict[str, float]]] = {}
    for name, detector in detectors(features).items():
        known = scores(detector, *new)
        cut = np.quantile(scores(detector, *cut_on), SHARE, method="higher")
        told[name] = {"known": {"flagged": float(np.mean(known > cut))}}
        for other, found in others.items():
            strange = scores(detector, found, halves(found)[half])
            label = np.repeat([0, 1], [len(known), len(strange)])
            told[name][other] = {
                "auroc": auroc(label, np.concatenate([known, strange])),
                "flagged": float(np.mean(strange > cut)),
            }
    return told


def tables(folder: Path, seeds: Sequence[int], half: str) -> None:
    """For each pair and kind of network, the mean over the seeds of what each detector does with each set."""
    rows = Rows(CACHE.parent / "ood.jsonl")
    found: dict[tuple[str, str], list[dict]] = {}
    for each in networks(folder, seeds):
        kind = each.name.removeprefix(f"{each.pair.name}-").split("-", 1)[-1]
        key = {
            "pair": each.pair.name,
            "network": each.name,
            "half": half,
            "most": MOST,
            "learnt": LEARNT,
            "target": "alone",
        }
        result = rows.row(key, lambda each=each: judged(each, half))["result"]
        found.setdefault((each.pair.name, kind), []).append(result)
    print(f"\n{machine()}, {datetime.date.today().isoformat()}, the half to {half}\n")
    mean = {
        who: {
            name: {other: _means([result[name][other] for result in results]) for other in results[0][name]}
            for name in results[0]
        }
        for who, results in found.items()
    }
    lines = []
    for (pair, kind), told in mean.items():
        said = told["as medtl does"]
        cells = [_cell(said.get(other)) for other in SETS]
        lines.append([pair, f"{kind} ({len(found[pair, kind])})", f"{said['known']['flagged']:.0%}", *cells])
    print(markdown(["pair", "network (seeds)", "known", *SETS], lines), "\n")
    lines = []
    for name in next(iter(mean.values())):
        cells = []
        for (pair, _), told in mean.items():
            own = KIND[next(each.folder for each in PAIRS if each.name == pair)]
            areas = [told[name][o]["auroc"] for o in told[name] if o not in ("known", "MR volumes") and own not in o]
            cells.append(f"{np.mean(areas):.3f} ({min(areas):.3f})")
        lines.append([name, *cells])
    print(markdown(["detector", *(f"{pair}, {kind}" for pair, kind in mean)], lines), "\n")


def _means(found: list[dict[str, float]]) -> dict[str, float]:
    return {what: float(np.mean([each[what] for each in found])) for what in found[0]}


def _cell(found: dict[str, float] | None) -> str:
    return "" if found is None else f"{found['auroc']:.3f}, {found['flagged']:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["features", "table"])
    parser.add_argument("--networks", type=Path, default=RESULTS)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--half", choices=["choose", "report"], default="report")
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.what == "table":
        tables(told.networks, [int(seed) for seed in told.seeds.split(",")], told.half)
        return
    for each in networks(told.networks, [int(seed) for seed in told.seeds.split(",")]):
        for part in (*PARTS, *SETS):
            each(part)
        print(each.pair.name, each.name, flush=True)


if __name__ == "__main__":
    main()
