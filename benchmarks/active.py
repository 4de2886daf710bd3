"""Whether it helps to choose which scans to label: each way of choosing beside drawing at random.

    python benchmarks/_frozen.py                          features, once
    python benchmarks/active.py measure [--others] [--networks imagenet,0-source-only] [--seeds 5]
    python benchmarks/active.py table [--others]

Labels are asked for in four rounds, 10, 20, 40 and 100 in all; in each the head is fitted anew to all labels that there
are, and what it says chooses the next. The head knows no label that was not asked for, so that the shares of the
classes among the labels are what the choice made of them. The target's patients are halved as in hospital_shift.py:
asked for is in the first half, AUROC is of the other. `--others`: other questions, on which the default was chosen.
"""

from __future__ import annotations

import argparse
import datetime
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from _frozen import FOLDER, Frozen, halves, others, reported
from _rows import Rows, machine, markdown
from learning_curve import learner, parts
from scipy.special import softmax

from medtl.measures import auroc
from medtl.measures.selection import SELECTIONS

ROUNDS = (10, 20, 40, 100)
#: With two classes `margin` is `entropy`.
CHOICES = [name for name in SELECTIONS if name != "margin"]
#: Of the others, one of each kind; more would be more of the same pictures.
OTHERS = ("brazil: malignant", "brazil: BI-RADS 4 and 5", "guangzhou: pneumonia", "guangzhou: bacteria or virus")


def asked(scans: Frozen, pool: np.ndarray, apart: np.ndarray, name: str, seed: int) -> dict[str, list[float]]:
    """AUROC on the scans held apart, and the share of positives among the labels, after each round."""
    learn = learner(scans, pool)
    features = scans.features[pool]
    features = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-6)
    labelled = np.zeros(0, int)
    probabilities = np.full((len(pool), 2), 0.5)
    areas, shares = [], []
    for wanted in ROUNDS:
        more = SELECTIONS[name](features, probabilities, labelled, wanted - len(labelled), seed, scans.patient[pool])
        labelled = np.concatenate([labelled, more])
        logits = learn(pool[labelled])
        probabilities = softmax(logits[pool], axis=1)
        areas.append(auroc(scans.label[apart], logits[apart, 1] - logits[apart, 0]))
        shares.append(float(scans.label[pool[labelled]].mean()))
    return {"auroc": areas, "share": shares}


def cases(told: argparse.Namespace) -> Iterator[tuple[str, str, Frozen, np.ndarray, np.ndarray]]:
    """Question, network, scans, rows to ask for, rows held apart."""
    for name in told.networks.split(","):
        if told.others:
            for question in others():
                if question.name in OTHERS:
                    scans = question.frozen(name)
                    order, apart = parts(scans, 0)
                    yield question.name, name, scans, np.sort(np.concatenate(order)), apart
            continue
        for pair, question in reported():
            network = name if name == "imagenet" else f"{pair.name}-{name}"
            yield pair.name, network, question.frozen(network), *halves(pair)


def table(rows: Rows, names: list[str]) -> None:
    """AUROC after each round, less what random draws reach with the same seeds."""
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    found: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        key = row["key"]
        if key["question"] in names:
            found[key["question"], key["network"]][key["select"]][key["seed"]] = row["result"]["auroc"]
    lines, whole = [], defaultdict(list)
    for (question, network), by_name in found.items():
        base = by_name["random"]
        for name in CHOICES:
            seeds = sorted(set(by_name[name]) & set(base))
            if not seeds:
                continue
            values, gains = np.array([(by_name[name][s], base[s]) for s in seeds]).transpose(1, 0, 2)
            lines.append([question, network, name, *_with_spread(values, values - gains, name)])
            whole[name].append(values - gains)
    for name, parts_ in whole.items():
        means = np.array([part.mean(axis=0) for part in parts_])
        spread = np.sqrt(sum(part.var(axis=0, ddof=1) / len(part) for part in parts_)) / len(parts_)
        cells = [f"{mean:+.3f} ± {error:.3f}" for mean, error in zip(means.mean(axis=0), spread, strict=True)]
        lines.append(["mean of all", "", name, *cells, f"{means.mean():+.3f}"])
    header = ["pair", "features", "choice", *(f"{n} labels" for n in ROUNDS), "mean gain on random"]
    print(markdown(header, lines))


def _with_spread(values: np.ndarray, gains: np.ndarray, name: str) -> list[str]:
    cells = []
    for number in range(len(ROUNDS)):
        cell = f"{values[:, number].mean():.3f} ± {values[:, number].std():.3f}"
        if name != "random":
            cell += f" ({gains[:, number].mean():+.3f})"
        cells.append(cell)
    return [*cells, f"{gains.mean():+.3f} ± {gains.mean(axis=1).std(ddof=1) / np.sqrt(len(gains)):.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["measure", "table"])
    parser.add_argument("--networks", default="imagenet")
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    told = parser.parse_args()
    rows = Rows(FOLDER.parent / "active.jsonl")
    if told.step == "table":
        table(rows, list(OTHERS) if told.others else [pair.name for pair, _ in reported()])
        return
    every = list(cases(told))
    for seed in range(told.seeds):
        for question, network, scans, pool, apart in every:
            for name in CHOICES:
                key = {"question": question, "network": network, "select": name, "seed": seed}
                rows.row(key, lambda told=(scans, pool, apart, name, seed): asked(*told))
        print(seed, datetime.datetime.now().strftime("%H:%M:%S"), flush=True)


if __name__ == "__main__":
    main()
