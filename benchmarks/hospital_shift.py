"""How well a model works at the next hospital: source-only, adapted, what `medtl adapt` hands over, few labels, all.

    python benchmarks/hospital_shift.py train [--pairs brazil-egypt,...] [--seeds 0,1,2,3,4]
    python benchmarks/hospital_shift.py table

`train` trains the networks (kept under benchmarks/results/, so that a run that was cut goes on; several may run at
once on different pairs); `table` computes the cheap rows from them and prints the tables. The target's patients are
halved once, by a fixed draw: one half is adapted to, unlabelled; all numbers are of the other half, which no choice
has looked at. Source patients: four fifths to train on, a fifth held out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from medtl.data import Cohort
from medtl.intensity import RECIPES
from medtl.models import Classifier
from medtl.scans import Manifest
from medtl.training.adaptation import adapt_classifier, new_classifier, train_source_only
from medtl.training.config import Config

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
RESULTS = Path(__file__).resolve().parent / "results" / "hospital_shift"
CONFIG = Config()


@dataclass(frozen=True)
class Pair:
    """A source hospital and a target hospital."""

    folder: str
    source: str
    target: str
    recipe: str

    @property
    def name(self) -> str:
        return f"{self.source}-{self.target}"

    def frame(self, site: str) -> pd.DataFrame:
        """labels.csv of one site."""
        frame = pd.read_csv(DATA / self.folder / "labels.csv", dtype=str)
        return frame[frame.site == site]

    def parts(self, site: str, *shares: float) -> list[set[str]]:
        """Its patients in parts, stratified by label: always the same ones."""
        frame = self.frame(site)
        ill = (~frame.label.isin(["benign", "normal"])).groupby(frame.patient).max()
        rng = np.random.default_rng(1000)
        names = pd.unique(frame.patient)
        parts: list[set[str]] = [set() for _ in shares]
        for group in (False, True):
            these = rng.permutation([name for name in names if ill[name] == group])
            ends = np.ceil(np.cumsum(shares)[:-1] * len(these)).astype(int)
            for part, chosen in zip(parts, np.split(these, ends), strict=True):
                part |= set(chosen.tolist())
        return parts

    def cohort(self, site: str, patients: set[str]) -> Cohort:
        """The site's scans of these patients, prepared."""
        frame = self.frame(site)
        frame = frame[frame.patient.isin(patients)]
        table = pd.DataFrame(
            {
                "scan_id": [f"{site}-{number}" for number in frame.index],
                "patient": frame.patient.to_numpy(),
                "study": "",
                "series": "",
                "site": site,
                "path": [str(DATA / self.folder / file) for file in frame.file],
                "label": frame.label.to_numpy(),
                "split": "train",
                "status": "ok",
                "reason": "",
            }
        )
        files = {row.scan_id: (Path(row.path),) for row in table.itertuples()}
        return Cohort(Manifest(table, files), RECIPES[self.recipe])

    def cohorts(self) -> dict[str, Cohort]:
        """Source to train on, source held out, target to adapt to, target to test on."""
        train, held_out = self.parts(self.source, 0.8, 0.2)
        here, test = self.parts(self.target, 0.5, 0.5)
        return {
            "source": self.cohort(self.source, train),
            "held_out": self.cohort(self.source, held_out),
            "target": self.cohort(self.target, here),
            "test": self.cohort(self.target, test),
        }


PAIRS = [
    Pair("ultrasound", "brazil", "egypt", "ultrasound"),
    Pair("ultrasound", "egypt", "brazil", "ultrasound"),
    Pair("tb", "new-delhi", "yakutia", "radiograph"),
    Pair("cxr", "guangzhou", "nih", "radiograph"),
]


def kept(name: str, n_classes: int, channels: int, work) -> Classifier:
    """The classifier of this name, trained by `work` where it is not there yet."""
    file = RESULTS / f"{name}.safetensors"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        state = {key: value.contiguous() for key, value in work().state_dict().items()}
        save_file(state, file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)
    classifier = new_classifier(CONFIG, n_classes, channels, 0)
    classifier.load_state_dict(load_file(file))
    return classifier.eval()


def unlabelled(cohort: Cohort) -> Cohort:
    """The same scans, their labels taken away."""
    bare = cohort.select(np.ones(len(cohort), bool))
    bare.label = np.full_like(bare.label, -1)
    return bare


def train(pair: Pair, seed: int, what: str, cohorts: dict[str, Cohort]) -> Classifier:
    """One network of the table."""
    config = CONFIG.model_copy(update={"seed": seed})
    options = {"fabric": Fabric(accelerator="cpu"), "folder": RESULTS / "checkpoints" / f"{pair.name}-{seed}-{what}"}
    source, held_out, target = cohorts["source"], cohorts["held_out"], cohorts["target"]

    def work() -> Classifier:
        if what == "source-only":
            return train_source_only(source, held_out, config, seed=seed, **options)[0]
        if what == "all-labels":
            return train_source_only(target, held_out, config, seed=seed, **options)[0]
        warm = train(pair, seed, "source-only", cohorts)
        return adapt_classifier(
            warm, source, held_out, unlabelled(target), config, options={}, phase="dann", **options
        )[0][0]

    return kept(f"{pair.name}-{seed}-{what}", len(source.classes), source.recipe.channels, work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "table"])
    parser.add_argument("--pairs", default=",".join(pair.name for pair in PAIRS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    told = parser.parse_args()
    torch.set_flush_denormal(True)
    seeds = [int(seed) for seed in told.seeds.split(",")]
    for pair in [pair for pair in PAIRS if pair.name in told.pairs.split(",")]:
        cohorts = pair.cohorts()
        print(pair.name, {name: len(cohort) for name, cohort in cohorts.items()}, flush=True)
        for seed in seeds:
            for what in ("source-only", "dann", *(["all-labels"] if seed < 3 else [])):
                train(pair, seed, what, cohorts)
        train(pair, max(seeds) + 1, "source-only", cohorts)  # the last seed's witness


if __name__ == "__main__":
    main()
