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
import datetime
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _rows import Rows, machine, markdown

from medtl.data import Cohort
from medtl.intensity import RECIPES, Recipe
from medtl.measures import auroc, brier, ece, excess_ece, nll
from medtl.models import Classifier
from medtl.models.batch_statistics import with_statistics_of
from medtl.runs.predict import outputs
from medtl.scans import Manifest
from medtl.training.adaptation import adapt_classifier, decide, new_classifier, train_source_only
from medtl.training.config import Config
from medtl.training.few_labels import draw_shots, finetune_classifier
from medtl.training.roles import expect_prior_of
from medtl.trust import CALIBRATORS, probabilities_of, verdict
from medtl.trust.verdict import USEFUL

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
RESULTS = Path(__file__).resolve().parent / "results" / "hospital_shift"
CONFIG = Config()
#: Seeds of the upper bound, which needs no more.
ALL_LABELS = 3


@dataclass(frozen=True)
class Pair:
    """A source hospital and a target hospital."""

    folder: str
    source: str
    target: str
    recipe: str

    @property
    def name(self) -> str:
        """Such as "brazil-egypt"."""
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

    def manifest(self, site: str, patients: set[str]) -> Manifest:
        """The site's scans of these patients."""
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
        return Manifest(table, files)

    def cohort(self, site: str, patients: set[str], recipe: Recipe | None = None) -> Cohort:
        """The site's scans of these patients, prepared: by the pair's recipe unless by another."""
        return Cohort(self.manifest(site, patients), recipe or RECIPES[self.recipe])

    def cohorts(self, recipe: Recipe | None = None) -> dict[str, Cohort]:
        """Source to train on, source held out, target to adapt to, target to test on."""
        train, held_out = self.parts(self.source, 0.8, 0.2)
        here, test = self.parts(self.target, 0.5, 0.5)
        return {
            "source": self.cohort(self.source, train, recipe),
            "held_out": self.cohort(self.source, held_out, recipe),
            "target": self.cohort(self.target, here, recipe),
            "test": self.cohort(self.target, test, recipe),
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


def judged(pair: Pair, seed: int, cohorts: dict[str, Cohort]) -> dict:
    """Everything cheap about one seed: what each model says of the test half, the decision, the few labels."""
    source, held_out, target, test = (cohorts[name] for name in ("source", "held_out", "target", "test"))
    warm, witness = (train(pair, seed + ahead, "source-only", cohorts) for ahead in (0, 1))
    dann = train(pair, seed, "dann", cohorts)
    models = {"source-only": warm, "adapted": with_statistics_of(dann, target)}
    at_source = {"source-only": warm, "adapted": dann}
    for model in (*models.values(), dann):
        expect_prior_of(model, source)
    decision = decide(models, at_source, witness, held_out, target)
    handed_over = models[decision.handed_over]
    config = CONFIG.model_copy(update={"seed": seed})
    few = target.select(draw_shots(target, 10, seed))
    tuned = finetune_classifier(
        handed_over,
        few,
        target,
        config,
        fabric=Fabric(accelerator="cpu"),
        folder=RESULTS / "checkpoints" / f"{pair.name}-{seed}",
    )
    rows = {
        "source-only": models["source-only"],
        "source-only, target statistics": with_statistics_of(warm, target),
        "DANN, running statistics": dann,
        "DANN": models["adapted"],
        "handed over": handed_over,
        "10 labels a class": tuned.classifier,
    }
    if seed < ALL_LABELS:
        rows["all labels"] = train(pair, seed, "all-labels", cohorts)
    said = {name: log_odds(model, test) for name, model in rows.items()}
    said["frozen ImageNet, 10 labels a class"] = frozen_probe(few, test)
    here = log_odds(handed_over, target)
    return {
        "test": {name: score.tolist() for name, score in said.items()},
        "target": here.tolist(),
        "decision": decision.handed_over,
        "warn": decision.warn,
        "signals": decision.signals,
        "shares": tuned.shares,
        "calibration": calibration(target, here, test, said["handed over"], seed),
    }


def log_odds(classifier: Classifier, cohort: Cohort) -> np.ndarray:
    """(N,) of the second class."""
    logits = outputs(classifier, cohort)[0].astype(float)
    return logits[:, 1] - logits[:, 0]


def frozen_probe(few: Cohort, test: Cohort) -> np.ndarray:
    """What a user would try first: logistic regression on frozen ImageNet features."""
    backbone = new_classifier(CONFIG, 2, few.recipe.channels, 0).eval()
    seen, unseen = outputs(backbone, few)[1], outputs(backbone, test)[1]
    return (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        .fit(seen, few.label)
        .decision_function(unseen)
    )


def calibration(target: Cohort, here: np.ndarray, test: Cohort, there: np.ndarray, seed: int) -> dict:
    """Before, and after each calibrator fitted on 50 labelled scans of the target: measured on the test half."""
    chosen = np.random.default_rng(seed).permutation(len(target))[:50]
    found = {}
    for name in ("before", "temperature", "platt"):
        known = two(here[chosen]), target.label[chosen], "binary"
        p = (probabilities_of if name == "before" else CALIBRATORS[name](*known))(two(there), "binary")
        found[name] = {
            "nll": nll(test.label, p),
            "brier": brier(test.label, p),
            "ece": ece(test.label, p),
            "excess": excess_ece(test.label, p),
        }
    return found


def two(score: np.ndarray) -> np.ndarray:
    """Log odds (N,) as logits (N, 2)."""
    return np.stack([-score / 2, score / 2], axis=1)


def verdicts(cohorts: dict[str, Cohort], row: dict, draws: int = 50) -> dict:
    """The verdict on 50 scans a class, drawn from all of the target's scans, against the AUROC of all of them."""
    label = np.concatenate([cohorts["target"].label, cohorts["test"].label])
    patient = np.concatenate([cohorts["target"].patient, cohorts["test"].patient])
    score = np.concatenate([row["target"], row["test"]["handed over"]])
    truth = auroc(label, score)
    kinds = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        chosen = np.concatenate([rng.permutation(np.flatnonzero(label == k))[:50] for k in (0, 1)])
        kinds.append(verdict(label[chosen], score[chosen], patient[chosen]).kind)
    wrong = sum(
        (kind == "better than chance" and truth <= 0.5) or (kind == "not" and truth >= USEFUL) for kind in kinds
    )
    strictly = sum((kind == "better than chance" and truth <= 0.5) or (kind == "not" and truth > 0.5) for kind in kinds)
    counts = {kind: kinds.count(kind) / draws for kind in ("better than chance", "not", "cannot tell yet")}
    return {"truth": truth, **counts, "wrong": wrong / draws, "wrong, read strictly": strictly / draws}


def paired_gain(label: np.ndarray, patient: np.ndarray, better: list, base: list, draws: int = 1000) -> np.ndarray:
    """Draws of the mean gain in AUROC over the seeds: seeds and patients are resampled, the same for both models."""
    rng = np.random.default_rng(0)
    names, index = np.unique(patient, return_inverse=True)
    members = [np.flatnonzero(index == number) for number in range(len(names))]
    gains = []
    for _ in range(draws):
        rows = np.concatenate([members[number] for number in rng.integers(len(names), size=len(names))])
        seeds = rng.integers(len(better), size=len(better))
        gains.append(np.mean([auroc(label[rows], better[s][rows]) - auroc(label[rows], base[s][rows]) for s in seeds]))
    return np.array(gains)


def tables(pairs: list[Pair], seeds: list[int]) -> None:
    """Print every table of docs/benchmarks.md that comes from here."""
    rows = Rows(RESULTS.parent / "hospital_shift.jsonl")
    found, everything, cohorts = {}, {}, {}
    for pair in pairs:
        cohorts[pair.name] = pair.cohorts()
        for seed in seeds:
            if (RESULTS / f"{pair.name}-{seed}-dann.safetensors").exists():
                key = {"pair": pair.name, "seed": seed, "config": CONFIG.model_dump(mode="json")}
                found[pair.name, seed] = rows.row(
                    key, lambda pair=pair, seed=seed: judged(pair, seed, cohorts[pair.name])
                )["result"]
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    lines, gains = [], {}
    for pair in pairs:
        test = cohorts[pair.name]["test"]
        mine = [found[pair.name, seed] for seed in seeds if (pair.name, seed) in found]
        if not mine:
            continue
        scores = {
            name: [np.array(row["test"][name]) for row in mine if name in row["test"]] for name in mine[0]["test"]
        }
        everything[pair.name] = {name: [auroc(test.label, each) for each in these] for name, these in scores.items()}
        for name, values in everything[pair.name].items():
            each = " ".join(f"{value:.3f}" for value in values)
            lines.append([pair.name, name, f"{np.mean(values):.3f} ± {np.std(values):.3f}", each])
        gains[pair.name] = paired_gain(test.label, test.patient, scores["handed over"], scores["source-only"])
    print(markdown(["pair", "model", "AUROC on the target's test half", "each seed"], lines), "\n")

    lines = [[name, *interval(draws)] for name, draws in gains.items()]
    honest = [draws for name, draws in gains.items() if name != "guangzhou-nih"]
    lines.append(["mean of the three honest pairs", *interval(np.mean(honest, axis=0))])
    print(
        markdown(["pair", "gain of what is handed over on source-only", "95 % interval (seeds and patients)"], lines),
        "\n",
    )

    lines = []
    for (name, seed), row in found.items():
        signals = row["signals"]
        here = auroc(cohorts[name]["test"].label, row["test"]["source-only"])
        fall = signals["source_auroc"] - here
        agreement = f"{signals['agreement_source']:.2f} to {signals['agreement_target']:.2f}"
        warned, fell = ("yes" if true else "no" for true in (row["warn"], fall > 0.1))
        area = f"{signals['source_auroc']:.2f} to {here:.2f}"
        lines.append([name, str(seed), agreement, area, warned, fell, row["decision"]])
    hits = np.mean([line[4] == line[5] for line in lines])
    print(
        markdown(
            [
                "pair",
                "seed",
                "rank agreement",
                "AUROC of source-only",
                "warned",
                "fell by more than 0.1",
                "handed over",
            ],
            lines,
        )
    )
    print(f"\nWarned when and only when it fell: {hits:.0%} of {len(lines)}\n")

    lines = []
    for (name, seed), row in found.items():
        v = verdicts(cohorts[name], row)
        lines.append([name, str(seed), *(f"{value:.2f}" for value in v.values())])
    print(
        markdown(
            ["pair", "seed", "true AUROC", "better", "not", "cannot tell", "wrong", "wrong, read strictly"], lines
        ),
        "\n",
    )

    lines = []
    for pair in everything:
        mine = [row["calibration"] for (name, _), row in found.items() if name == pair]
        for name in mine[0]:
            means = {key: np.mean([each[name][key] for each in mine]) for key in mine[0][name]}
            lines.append([pair, name, *(f"{value:.3f}" for value in means.values())])
    print(
        markdown(
            ["pair", "50 labelled scans", "NLL", "Brier", "calibration error", "less what a perfect model shows"], lines
        ),
        "\n",
    )

    lines = []
    for name, values in everything.items():
        source, few, every = (
            np.mean(values[key][:ALL_LABELS]) for key in ("source-only", "10 labels a class", "all labels")
        )
        lines.append([name, f"{source:.3f}", f"{few:.3f}", f"{every:.3f}", f"{(few - source) / (every - source):.2f}"])
    print(markdown(["pair", "source-only", "10 labels a class", "all labels", "share of the gap closed"], lines))


def interval(draws: np.ndarray) -> list[str]:
    """Mean and 95 % interval."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return [f"{draws.mean():+.3f}", f"{low:+.3f} to {high:+.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["train", "table"])
    parser.add_argument("--pairs", default=",".join(pair.name for pair in PAIRS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    told = parser.parse_args()
    torch.set_flush_denormal(True)
    chosen = [pair for pair in PAIRS if pair.name in told.pairs.split(",")]
    seeds = [int(seed) for seed in told.seeds.split(",")]
    if told.step == "table":
        tables(chosen, seeds)
        return
    for pair in chosen:
        cohorts = pair.cohorts()
        print(pair.name, {name: len(cohort) for name, cohort in cohorts.items()}, flush=True)
        for seed in seeds:
            for what in ("source-only", "dann", *(["all-labels"] if seed < ALL_LABELS else [])):
                train(pair, seed, what, cohorts)
        train(pair, max(seeds) + 1, "source-only", cohorts)  # the last seed's witness


if __name__ == "__main__":
    main()
