"""Whether 0.8 still means eight in ten at the next hospital: calibrators with no label from there, and with 50.

    python benchmarks/calibration.py look [--pairs brazil-egypt,...] [--seeds 0,1,2,3,4]
    python benchmarks/calibration.py table [--half target]

`look` shows the scans to the networks that `hospital_shift.py train` has kept, and keeps what they say under
benchmarks/results/calibration/; `table` fits and measures from that, in seconds, and prints the tables.

Fitted are: with no label from the target, on held-out source scans with labels and the target's half to adapt to
without; with 50 labels, on so many of the latter. Measured is on the target's other half, which no choice has looked
at; with --half target on the half that the choices were made on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import cached, network, there
from _rows import RESULTS, Rows, machine, markdown
from hospital_shift import CONFIG, PAIRS, Pair, expect_prior_of

from medtl.data import Cohort
from medtl.measures import brier, ece, excess_ece, nll
from medtl.models.batch_statistics import for_site
from medtl.runs.predict import outputs
from medtl.trust import CALIBRATORS, Map, Scaling
from medtl.trust.shift import UNLABELLED, Seen
from medtl.trust.shift.witness import LEAST, PICTURES

FOLDER = RESULTS / "calibration"
MODELS = ("source-only", "dann")
PARTS = ("held_out", "target", "test")
MEASURES = ("excess", "nll", "brier")
#: Labelled scans of the target.
LABELS = 50


def look(pair: Pair, seed: int, model: str, cohorts: dict[str, Cohort]) -> dict[str, np.ndarray]:
    """What a network says: logits (N, 2), features (N, F), label, patient of each part.

    As `medtl adapt` judges it: DANN with its running statistics at home and the target's own at the target.
    """

    def work() -> dict[str, np.ndarray]:
        at_home = network(f"{pair.name}-{seed}-{model}", channels=cohorts["source"].recipe.channels)
        expect_prior_of(at_home, cohorts["source"])
        here = at_home if model == "source-only" else for_site(at_home, cohorts["target"], at_home.fixed)
        found: dict[str, np.ndarray] = {}
        for part in PARTS:
            cohort = cohorts[part]
            logits, features = outputs(at_home if part == "held_out" else here, cohort)
            found |= {f"{part} logits": logits, f"{part} features": features.astype(np.float16)}
            found |= {f"{part} label": cohort.label, f"{part} patient": np.asarray(cohort.patient, str)}
        return found

    return cached(FOLDER / f"{pair.name}-{seed}-{model}.npz", work)


def measured(said: dict[str, np.ndarray], other: dict[str, np.ndarray], half: str, seed: int) -> dict[str, dict]:
    """Every calibrator on one network's scans."""
    source = seen(said, other, "held_out")
    target = seen(said, other, "target")
    label = said["held_out label"]
    maps: dict[str, Map] = {"none": Scaling()}
    maps |= {f"source: {name}": fit(source.logits, label, "binary") for name, fit in CALIBRATORS.items()}
    with_labels = replace(source, label=label)
    maps |= {f"no label: {name}": fit(with_labels, target, "binary") for name, fit in UNLABELLED.items()}
    alone = replace(with_labels, witness=None), replace(target, witness=None)
    maps["no label: witness, none at hand"] = UNLABELLED["witness"](*alone, "binary")
    some = np.random.default_rng(seed).permutation(len(target.logits))[:LABELS]
    known = target.logits[some], said["target label"][some], "binary"
    maps |= {f"{LABELS} labels: {name}": fit(*known) for name, fit in CALIBRATORS.items()}
    logits, truth = said[f"{half} logits"].astype(float), said[f"{half} label"]
    return {name: errors(truth, fitted(logits, "binary")) for name, fitted in maps.items()}


def elsewhere(said: dict[str, np.ndarray], other: dict[str, np.ndarray], half: str, rarer: int) -> dict[str, dict]:
    """Temperature and witness where one class is e times as rare at the target as it is, in both halves."""
    rows = {part: thinned(said[f"{part} label"], rarer) for part in ("target", half)}
    label = said["held_out label"]
    source, target = replace(seen(said, other, "held_out"), label=label), seen(said, other, "target", rows["target"])
    maps = {
        "source: temperature": CALIBRATORS["temperature"](source.logits, label, "binary"),
        "no label: witness": UNLABELLED["witness"](source, target, "binary"),
    }
    logits, truth = said[f"{half} logits"][rows[half]].astype(float), said[f"{half} label"][rows[half]]
    return {name: errors(truth, fitted(logits, "binary")) for name, fitted in maps.items()}


def seen(said: dict, other: dict, part: str, rows: np.ndarray | slice = slice(None)) -> Seen:
    """What is known of a part without its labels, the other model its witness."""
    logits, features, witness = said[f"{part} logits"], said[f"{part} features"], other[f"{part} logits"]
    return Seen(logits[rows].astype(float), features[rows].astype(float), witness=witness[rows].astype(float))


def thinned(label: np.ndarray, rarer: int) -> np.ndarray:
    """Rows that are left where of one class only each e-th scan is, always the same ones."""
    these = np.random.default_rng(0).permutation(np.flatnonzero(label == rarer))
    return np.sort(np.r_[these[: round(len(these) / np.e)], np.flatnonzero(label != rarer)])


def errors(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The calibration error less what a perfect model shows at so many scans, with what else decides."""
    return {
        "excess": excess_ece(label, probabilities),
        "ece": ece(label, probabilities),
        "nll": nll(label, probabilities),
        "brier": brier(label, probabilities),
    }


def table(pairs: list[Pair], seeds: list[int], half: str) -> None:
    """Print every table of docs/calibration.md."""
    rows = Rows(RESULTS / "calibration.jsonl")
    found: dict[tuple[str, str], list[dict]] = {}
    for pair in pairs:
        for seed in seeds:
            files = {model: FOLDER / f"{pair.name}-{seed}-{model}.npz" for model in MODELS}
            if not all(file.exists() for file in files.values()):
                continue
            said = {model: cached(file, dict) for model, file in files.items()}
            for model, other in (MODELS, MODELS[::-1]):
                key = {"pair": pair.name, "seed": seed, "model": model, "half": half, "least": LEAST}
                key |= {"pictures": PICTURES, "config": CONFIG.model_dump(mode="json")}
                row = rows.row(
                    key,
                    lambda mine=said[model], theirs=said[other], seed=seed: {
                        "as it is": measured(mine, theirs, half, seed),
                        "fewer positive": elsewhere(mine, theirs, half, 1),
                        "fewer negative": elsewhere(mine, theirs, half, 0),
                    },
                )
                found.setdefault((pair.name, model), []).append(row["result"])
    print(f"\n{machine()}; half: {half}; seeds: {', '.join(f'{k[0]} {k[1]} {len(v)}' for k, v in found.items())}\n")
    for what in ("as it is", "fewer positive", "fewer negative"):
        print(f"\n{what}\n")
        print_tables({key: [each[what] for each in results] for key, results in found.items()})


def print_tables(found: dict[tuple[str, str], list[dict]]) -> None:
    """A table for each model: the excess on each pair, and the mean over pairs of all that decides."""
    for model in MODELS:
        pairs = [pair for pair, name in found if name == model]
        means = {
            name: np.array(
                [[np.mean([seed[name][m] for seed in found[pair, model]]) for m in MEASURES] for pair in pairs]
            )
            for name in found[pairs[0], model][0]
        }
        usual = means["source: temperature"][:, 0]
        lines = []
        for name, values in means.items():
            share = values[:, 0].mean() / usual.mean()
            each = [f"{value:.3f}" for value in values[:, 0]]
            overall = [f"{value:.3f}" for value in values.mean(axis=0)]
            lines.append([name, *each, *overall, f"{share:.2f}", f"{(values[:, 0] - usual).max():+.3f}"])
        header = [model, *pairs, "mean", "NLL", "Brier", "of source: temperature", "at worst beside it"]
        print(markdown(header, lines), "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["look", "table"])
    parser.add_argument("--pairs", default=",".join(pair.name for pair in PAIRS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--half", choices=["test", "target"], default="test")
    told = parser.parse_args()
    chosen = [pair for pair in PAIRS if pair.name in told.pairs.split(",")]
    seeds = [int(seed) for seed in told.seeds.split(",")]
    if told.step == "table":
        table(chosen, seeds, told.half)
    else:
        torch.set_flush_denormal(True)
        for pair in chosen:
            cohorts: dict[str, Cohort] = {}
            for seed in seeds:
                for model in MODELS:
                    name = f"{pair.name}-{seed}-{model}"
                    if there(name) and not (FOLDER / f"{name}.npz").exists():
                        cohorts = cohorts or pair.cohorts()
                        look(pair, seed, model, cohorts)
                        print(name, flush=True)


if __name__ == "__main__":
    main()
