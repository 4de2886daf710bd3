"""How often prediction sets hold the truth, at home and at the next hospital; and what referring the doubtful gains.

    python benchmarks/conformal.py [--pairs brazil-egypt,...] [--seeds 0,1,2,3,4]

The networks are those that `hospital_shift.py train` kept; what they say is kept by `calibration.py look`. All splits
are by patient. At home: two thirds of the held-out patients calibrate, a third is measured, 20 random splits. At the
new site everything is measured on the test half, which nothing has looked at; the other half gives the unlabelled scans
and the 50 labels.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _networks import there
from _rows import RESULTS, Rows, machine, markdown
from calibration import FOLDER, PARTS, look
from hospital_shift import PAIRS, Pair

from medtl.measures import accuracy_without
from medtl.trust import Trust, apply_trust, fit_trust
from medtl.trust.conformal import fit_sets, too_few

SPLITS = 20
LABELS = 50
SHARE = 0.2
MODELS = {"source-only": "source-only", "dann": "adapted"}
REPORTED = ("brazil-egypt", "new-delhi-yakutia", "guangzhou-nih")


@dataclass(frozen=True)
class Seen:
    """What a network gives for N scans: logits (N, 2), features (N, F), label (N,), patient (N,)."""

    logits: np.ndarray
    features: np.ndarray
    label: np.ndarray
    patient: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Seen:
        return Seen(self.logits[rows], self.features[rows], self.label[rows], self.patient[rows])

    def __add__(self, other: Seen) -> Seen:
        names = ("logits", "features", "label", "patient")
        return Seen(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def seen(pair: Pair, seed: int, model: str) -> dict[str, Seen]:
    """The held-out scans of the source, and both halves of the target, through one network."""
    known = (FOLDER / f"{pair.name}-{seed}-{model}.npz").exists()
    arrays = look(pair, seed, model, {} if known else pair.cohorts())
    names = ("logits", "features", "label", "patient")
    return {part: Seen(*(arrays[f"{part} {name}"] for name in names)) for part in PARTS}


def splits(scans: Seen, share: float, seed: int) -> Iterator[tuple[Seen, Seen]]:
    """`share` of the patients to calibrate on and the others to measure, 20 times, others for each seed."""
    names = np.unique(scans.patient)
    for draw in range(SPLITS):
        chosen = np.random.default_rng([seed, draw]).permutation(names)[: round(share * len(names))]
        calibrates = np.isin(scans.patient, chosen)
        yield scans[calibrates], scans[~calibrates]


def fifty(scans: Seen, seed: int) -> Iterator[Seen]:
    """50 scans of the new site, 20 times, others for each seed."""
    for draw in range(SPLITS):
        yield scans[np.random.default_rng([seed, draw]).permutation(len(scans.label))[:LABELS]]


def fitted(scans: Seen, kind: str = "marginal", unlabelled: Seen | None = None) -> Trust:
    """As `medtl calibrate --refer 0.2 --sets KIND` fits it on these scans."""
    return fit_trust(
        scans.logits,
        scans.label,
        scans.patient,
        scans.features,
        None,
        "binary",
        sets=kind,
        unlabelled_features=None if unlabelled is None else unlabelled.features,
        refer=SHARE,
    )


def measured(trust: Trust, scans: Seen) -> dict[str, float]:
    """What the sets are worth on these scans."""
    judged = apply_trust(trust, scans.logits, scans.features)
    holds = np.array([k in held for k, held in zip(scans.label, judged.prediction_set, strict=True)])
    size = np.array([len(held) for held in judged.prediction_set])
    right = judged.prediction == scans.label
    kept = ~judged.refer
    assert trust.sets is not None
    return {
        "coverage": holds.mean(),
        "coverage of class 0": holds[scans.label == 0].mean(),
        "coverage of class 1": holds[scans.label == 1].mean(),
        "size": size.mean(),
        "decided": (size == 1).mean(),
        "right where decided": holds[size == 1].mean() if (size == 1).any() else np.nan,
        "patients": min(trust.sets.patients),
        "promised": min(trust.sets.promised),
        "accuracy": right.mean(),
        "accuracy, least sure fifth of these left out": accuracy_without(
            scans.label, judged.probabilities, SHARE, judged.prediction
        ),
        "referred": judged.refer.mean(),
        "accuracy of what is not referred": right[kept].mean() if kept.any() else np.nan,
    }


def judged(pair: Pair, seed: int, model: str) -> dict[str, dict[str, float]]:
    """All that is measured of one network: means over the 20 splits or draws."""
    parts = seen(pair, seed, model)
    home, here, test = parts["held_out"], parts["target"], parts["test"]
    rows: dict[str, Callable[[], list[dict[str, float]]]] = {
        "home": lambda: [measured(fitted(one), other) for one, other in splits(home, 2 / 3, seed)],
        "home, class": lambda: [measured(fitted(one, "class"), other) for one, other in splits(home, 2 / 3, seed)],
        "new site calibrated": lambda: [measured(fitted(one), other) for one, other in splits(here + test, 0.5, seed)],
        "source-calibrated": lambda: [measured(fitted(home), test)],
        "source-calibrated, class": lambda: [measured(fitted(home, "class"), test)],
        "weighted": lambda: [measured(fitted(home, "weighted", here), test)],
        "50 labels": lambda: [measured(fitted(few), test) for few in fifty(here, seed)],
        "50 labels, class": lambda: [measured(fitted(few, "class"), test) for few in fifty(here, seed)],
    }
    return {name: mean(work()) for name, work in rows.items()}


def mean(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each number, those that are not defined left out."""
    defined = {key: [one[key] for one in found if not np.isnan(one[key])] for key in found[0]}
    return {key: float(np.mean(values)) if values else float("nan") for key, values in defined.items()}


def tables(found: dict[tuple[str, int, str], dict[str, Any]]) -> None:
    """Print every table of docs/conformal.md."""
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    groups = sorted({(pair, model) for pair, _, model in found}, key=lambda group: REPORTED.index(group[0]))

    def mine(pair: str, model: str, row: str) -> dict[str, float]:
        return mean([each[row] for (name, _, kind), each in found.items() if (name, kind) == (pair, model)])

    def said(numbers: dict[str, float], keys: tuple[str, ...]) -> list[str]:
        return [f"{numbers[key]:.3f}" for key in keys]

    def by_arithmetic(n: float) -> str:
        """What a split of n patients with a scan each covers on average: more than 0.9 where 0.9 n is not whole."""
        return f"{np.ceil((round(n) + 1) * 0.9 - 1e-9) / (round(n) + 1):.3f}"

    sizes = ("coverage", "coverage of class 0", "coverage of class 1", "size", "decided", "right where decided")
    lines = []
    for pair, model in groups:
        for row in ("home", "home, class", "new site calibrated"):
            numbers = mine(pair, model, row)
            patients = numbers["patients"]
            counted = [f"{patients:.0f}", by_arithmetic(patients)]
            lines.append([pair, MODELS[model], row, *counted, *said(numbers, sizes)])
    head = ["pair", "model", "sets", "patients", "by arithmetic", *sizes]
    print("Calibrated where it is measured, 90 % asked for\n\n" + markdown(head, lines) + "\n")

    lines = []
    for pair, model in groups:
        for row in ("source-calibrated", "source-calibrated, class", "weighted", "50 labels", "50 labels, class"):
            numbers = mine(pair, model, row)
            counted = [f"{numbers['patients']:.0f}", f"{numbers['promised']:.2f}"]
            lines.append([pair, MODELS[model], row, *counted, *said(numbers, sizes)])
    head = ["pair", "model", "sets", "patients", "promised", *sizes]
    print("Measured at the new site's test half, 90 % asked for\n\n" + markdown(head, lines) + "\n")

    keys = (
        "accuracy", "accuracy, least sure fifth of these left out", "referred", "accuracy of what is not referred"
    )  # fmt: skip
    lines = []
    for pair, model in groups:
        for row in ("home", "source-calibrated", "50 labels"):
            lines.append([pair, MODELS[model], row, *said(mine(pair, model, row), keys)])
    print("The least sure fifth left to a reader\n\n" + markdown(["pair", "model", "calibrated", *keys], lines) + "\n")


def refusal() -> str:
    """What is said to somebody who asks 18 scans for 95 %."""
    generator = np.random.default_rng(0)
    label = np.arange(18) % 2
    sets = fit_sets(label, generator.dirichlet(np.ones(2), 18), None, "binary", coverage=0.95)
    return too_few(sets, ["no", "yes"], 18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default=",".join(REPORTED))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    told = parser.parse_args()
    rows, found = Rows(RESULTS / "conformal.jsonl"), {}
    for pair in PAIRS:
        if pair.name not in told.pairs.split(","):
            continue
        for seed in map(int, told.seeds.split(",")):
            for model in MODELS:
                if (FOLDER / f"{pair.name}-{seed}-{model}.npz").exists() or there(f"{pair.name}-{seed}-{model}"):
                    key = {
                        "pair": pair.name,
                        "seed": seed,
                        "model": model,
                        "splits": SPLITS,
                        "labels": LABELS,
                        "drawn": "by seed",
                    }
                    work = lambda pair=pair, seed=seed, model=model: judged(pair, seed, model)  # noqa: E731
                    found[pair.name, seed, model] = rows.row(key, work)["result"]
    tables(found)
    print("18 scans asked for 95 %:", refusal())


if __name__ == "__main__":
    main()
