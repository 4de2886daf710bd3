"""A few labels of the new hospital: each strategy beside what a user would try first, patients held apart.

    python benchmarks/hospital_shift.py train      the networks to start from; needs hours
    python benchmarks/few_shot.py heads            everything that is fitted on cached features: minutes
    python benchmarks/few_shot.py train [--strategies full,...] [--shots 10] [--start source-only]   hours
    python benchmarks/few_shot.py table

The target's patients are halved as in hospital_shift.py: labels are drawn from one half, whose other scans are there
without labels; all numbers are of the other half, which no choice has looked at. Draw number s starts from the
networks of seed s. What a user would try first: logistic regression on frozen ImageNet features, of pictures as large
as the network's input and of 224 x 224 (C = 1, standardised by the labelled scans, as scikit-learn's users do), and
fine-tuning the source model whole.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import cached, network, there
from _rows import Rows, machine, markdown
from hospital_shift import CONFIG, PAIRS, RESULTS, Pair, log_odds

from medtl.data import Cohort
from medtl.finetuning import DEFAULT, STRATEGIES
from medtl.finetuning.heads import Few
from medtl.intensity import RECIPES
from medtl.measures import auroc, brier, excess_ece, nll
from medtl.models import Classifier, create_backbone
from medtl.models.batch_statistics import with_statistics_of
from medtl.models.layers import Layered, layered
from medtl.runs.predict import outputs
from medtl.training.config import Config
from medtl.training.few_labels import draw_shots, finetune_classifier

REPORTED = [pair for pair in PAIRS if pair.name != "egypt-brazil"]
SHOTS = (5, 10, 20, 50)
SEEDS = range(5)
STARTS = ("source-only", "dann", "imagenet")
FIRST = ("frozen features, logistic regression", "frozen features at 224, logistic regression")
#: Steps and scans of each, the same for every strategy that trains the network; 40 epochs of 10 labels a class.
TRAINING = {"steps": 50, "batch": 16}
FOLDER = RESULTS.parent / "few_shot"


def start_of(pair: Pair, start: str, seed: int, cohorts: dict[str, Cohort]) -> Classifier:
    """A network as `finetune_classifier` takes it: it expects the classes alike."""
    name = start if start == "imagenet" else f"{pair.name}-{seed}-{start}"
    return network(name, channels=cohorts["target"].recipe.channels)


def seen(pair: Pair, start: str, seed: int, cohorts: dict[str, Cohort]) -> dict[str, np.ndarray]:
    """Logits and the features of all layers, of the target's halves."""

    def work() -> dict[str, np.ndarray]:
        classifier = with_statistics_of(start_of(pair, start, seed, cohorts), cohorts["target"])
        channels = cohorts["target"].recipe.channels
        layered(classifier, None if start == "imagenet" else create_backbone(CONFIG.backbone, channels=channels))
        found = {}
        for part in ("target", "test"):
            found[f"{part}_logits"], found[f"{part}_features"] = outputs(classifier.eval(), cohorts[part])
        return found

    return cached(FOLDER / f"{pair.name}-{start}-{seed if start != 'imagenet' else 0}.npz", work)


def frozen(pair: Pair, size: int) -> dict[str, np.ndarray]:
    """ImageNet features of the target's halves, pictures of `size` x `size`."""

    def work() -> dict[str, np.ndarray]:
        cohorts = pair.cohorts(dataclasses.replace(RECIPES[pair.recipe], size=size))
        classifier = network("imagenet", channels=cohorts["target"].recipe.channels)
        return {part: outputs(classifier, cohorts[part])[1] for part in ("target", "test")}

    return cached(FOLDER / f"{pair.name}-frozen-{size}.npz", work)


def few_of(found: dict[str, np.ndarray], target: Cohort, rows: np.ndarray, layers: Layered | None) -> Few:
    """What a head learns from: as `finetune_classifier` gives it, of the last features alone without `layers`."""
    features = found["target_features"].astype(float)
    features = features if layers is not None else features[:, :LAST]
    logits = found["target_logits"].astype(float)
    return Few(
        logits=logits[rows],
        features=features[rows],
        label=target.label[rows],
        patient=np.asarray(target.patient)[rows],
        all_logits=logits,
        all_features=features,
        views=layers.views if layers is not None else (),
        early=layers.early if layers is not None else (),
    )


LAST = create_backbone(CONFIG.backbone, pretrained=False).num_features


def measured(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """AUROC, and what the log odds are worth as probabilities."""
    p = expit(score)
    return {
        "auroc": auroc(label, score),
        "nll": nll(label, p),
        "brier": brier(label, p),
        "excess": excess_ece(label, p),
    }


def by_head(found: dict[str, np.ndarray], name: str, few: Few, label: np.ndarray) -> dict[str, float]:
    """One head on cached features."""
    head = STRATEGIES[name].head(few)
    width = few.features.shape[1]
    logits = head(found["test_logits"].astype(float), found["test_features"].astype(float)[:, :width])
    return measured(label, logits[:, 1] - logits[:, 0])


def by_training(
    pair: Pair, cohorts: dict[str, Cohort], start: str, name: str, shots: int, seed: int
) -> dict[str, float]:
    """One strategy that trains the network."""
    target, test = cohorts["target"], cohorts["test"]
    plan = {**CONFIG.finetune.model_dump(), **TRAINING}
    told = {**CONFIG.model_dump(), "strategy": name, "seed": seed, "finetune": plan}
    tuned = finetune_classifier(
        start_of(pair, start, seed, cohorts),
        target.select(draw_shots(target, shots, seed)),
        target,
        Config.model_validate(told),
        fabric=Fabric(accelerator="cpu"),
        folder=FOLDER / "checkpoints" / f"{pair.name}-{start}-{name}-{shots}-{seed}",
    )
    return measured(test.label, log_odds(tuned.classifier, test))


def by_logistic(found: dict[str, np.ndarray], label: np.ndarray, rows: np.ndarray, truth: np.ndarray) -> dict:
    """What a user would try first."""
    first = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return measured(truth, first.fit(found["target"][rows], label[rows]).decision_function(found["test"]))


def heads(pairs: list[Pair], rows: Rows) -> None:
    """Everything that is fitted on cached features."""
    backbones = {start: _layers(start) for start in STARTS}
    names = [name for name, strategy in STRATEGIES.items() if strategy.reads and not strategy.trains]
    for pair in pairs:
        cohorts = pair.cohorts()
        target, truth = cohorts["target"], cohorts["test"].label
        for seed in SEEDS:
            drawn = {shots: draw_shots(target, shots, seed) for shots in SHOTS}
            for size, name in zip((CONFIG.size, 224), FIRST, strict=True):
                found = frozen(pair, size)
                for shots, chosen in drawn.items():
                    key = {"pair": pair.name, "strategy": name, "start": "", "shots": shots, "seed": seed}
                    rows.row(key, partial(by_logistic, found, target.label, chosen, truth))
            for start in STARTS:
                if not there(start if start == "imagenet" else f"{pair.name}-{seed}-{start}"):
                    continue
                found = seen(pair, start, seed, cohorts)
                before = found["test_logits"][:, 1] - found["test_logits"][:, 0]
                key = {"pair": pair.name, "strategy": "none", "start": start, "shots": 0, "seed": seed}
                rows.row(key, partial(measured, truth, before.astype(float)))
                for shots, chosen in drawn.items():
                    for name in names:
                        layers = backbones[start] if STRATEGIES[name].layered else None
                        few = few_of(found, target, chosen, layers)
                        key = {"pair": pair.name, "strategy": name, "start": start, "shots": shots, "seed": seed}
                        rows.row(key, partial(by_head, found, name, few, truth))
                print(pair.name, seed, start, flush=True)


def _layers(start: str) -> Layered:
    own, beside = (create_backbone(CONFIG.backbone, pretrained=False) for _ in range(2))
    return Layered(own, None if start == "imagenet" else beside)


def train(
    pairs: list[Pair], rows: Rows, strategies: list[str], shots: list[int], starts: list[str], seeds: list[int]
) -> None:
    """Strategies that train the network."""
    for seed in seeds:
        for pair in pairs:
            cohorts = pair.cohorts()
            for start in starts:
                if not there(start if start == "imagenet" else f"{pair.name}-{seed}-{start}"):
                    continue
                for name in strategies:
                    for k in shots:
                        key = {"pair": pair.name, "strategy": name, "start": start, "shots": k, "seed": seed} | TRAINING
                        row = rows.row(key, partial(by_training, pair, cohorts, start, name, k, seed))
                        print(key, row["result"]["auroc"], row["seconds"], flush=True)


def table(rows: Rows) -> None:
    """AUROC of every strategy: mean and spread over the draws, and the default against what a user would try first."""
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        key = row["key"]
        found.setdefault((key["strategy"], key["start"], key["pair"], key["shots"]), []).append(
            {**row["result"], "seed": key["seed"]}
        )
    pairs = [pair.name for pair in REPORTED]
    for pair in pairs:
        lines = []
        for strategy, start in dict.fromkeys((name, start) for name, start, _, _ in found):
            cells = [found.get((strategy, start, pair, 0 if strategy == "none" else k), []) for k in SHOTS]
            lines.append([strategy, start, *(_cell([each["auroc"] for each in cell]) for cell in cells)])
        print(f"**{pair}**\n\n" + markdown(["strategy", "from", *map(str, SHOTS)], lines), "\n")
    lines = []
    for k in SHOTS:
        gains = []
        for pair in pairs:
            mine = _by_seed(found.get((DEFAULT, "dann", pair, k), []))
            firsts = [_by_seed(found.get(key, [])) for key in _firsts(pair, k)]
            seeds = sorted(set(mine).intersection(*firsts)) if all(firsts) else []
            if not seeds:
                continue
            best = max(firsts, key=lambda each: np.mean([each[s] for s in seeds]))
            gain = [mine[s] - best[s] for s in seeds]
            gains.append(np.mean(gain))
            each = " ".join(f"{value:+.3f}" for value in gain)
            lines.append([str(k), pair, *(_cell([m[s] for s in seeds]) for m in (mine, *firsts)), each])
        if gains:
            lines.append([str(k), "mean", "", *[""] * 3, f"{np.mean(gains):+.3f}"])
    header = ["labels a class", "pair", f"{DEFAULT} from dann", *FIRST, "full from source-only", "gain on the best"]
    print(markdown(header, lines), "\n")
    lines = []
    for strategy, start in dict.fromkeys((name, start) for name, start, _, _ in found):
        mine = [each for pair in pairs for each in found.get((strategy, start, pair, 10), [])]
        if mine:
            means = (f"{np.mean([each[name] for each in mine]):.3f}" for name in ("nll", "brier", "excess"))
            lines.append([strategy, start, str(len(mine)), *means])
    header = ["strategy, 10 labels a class", "from", "runs", "NLL", "Brier", "calibration error beyond chance"]
    print(markdown(header, lines))


def _firsts(pair: str, shots: int) -> list[tuple]:
    return [*((name, "", pair, shots) for name in FIRST), ("full", "source-only", pair, shots)]


def _by_seed(cell: list[dict]) -> dict[int, float]:
    return {each["seed"]: each["auroc"] for each in cell}


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}" if values else ""


def main() -> None:
    """Measure what is not measured yet, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["heads", "train", "table"])
    parser.add_argument("--pairs", default=",".join(pair.name for pair in REPORTED))
    parser.add_argument("--strategies", default="full")
    parser.add_argument("--shots", default=",".join(map(str, SHOTS)))
    parser.add_argument("--start", default="source-only")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    told = parser.parse_args()
    torch.set_flush_denormal(True)
    rows = Rows(RESULTS.parent / "few_shot.jsonl")
    chosen = [pair for pair in REPORTED if pair.name in told.pairs.split(",")]
    if told.step == "heads":
        heads(chosen, rows)
    elif told.step == "train":
        shots, seeds = ([int(k) for k in each.split(",")] for each in (told.shots, told.seeds))
        train(chosen, rows, told.strategies.split(","), shots, told.start.split(","), seeds)
    else:
        table(rows)


if __name__ == "__main__":
    main()
