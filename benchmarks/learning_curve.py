"""Whether the forecast of `medtl learning-curve` holds: from the first 20 labels to the AUROC with 100 a class.

    python benchmarks/_frozen.py --networks imagenet        features, once
    python benchmarks/learning_curve.py measure [--others] [--networks imagenet]
    python benchmarks/learning_curve.py prior               what the others say of curves: the defaults of Prior
    python benchmarks/learning_curve.py table

Each draw holds a third of the target's patients apart, and draws 100 a class of the others in one order. What the
forecast sees is the first 20 a class (or the first 10: 20 in all), and models trained on parts of them; measured on the
patients held apart (a), or by cross-validation in these 20 alone (b). It is to hold the AUROC on the patients held
apart of a model trained on all 100.
"""

from __future__ import annotations

import argparse
import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
from _frozen import FOLDER, Frozen, others, reported
from _rows import Rows, machine, markdown
from scipy.optimize import minimize
from scipy.special import ndtri

from medtl.finetuning import STRATEGIES
from medtl.finetuning.heads import Few
from medtl.search.curve import Curve, Point, Prior
from medtl.search.learning_curve import Learner, chain, cross_validated, first, measured

STRATEGY = "layers"
#: Where the search for the prior begins, and what it is held to as by one curve: level, slope; logs of the deviations
#: of both, of luck, own and forgets, and of the deviation of log scale.
START = np.array([0.8, 0.2, *np.log([0.45, 0.08, 0.15, 0.04, 0.15, 0.5])])
TO_LEARN = (10, 20, 50, 100)
#: Labels a class that are drawn from the first 20, or 10, five times, as the verb does; and the same in folds.
WITHIN = {20: (1, 2, 5, 10), 10: (1, 2, 5)}
DRAWS_WITHIN = 5
IN_FOLDS = {20: (5, 16), 10: (3, 8)}
DRAWS = 20
DRAWS_OF_OTHERS = 3


def learner(scans: Frozen, everyone: np.ndarray) -> Learner:
    """The head of `medtl learning-curve` on frozen features, which asks no more than `medtl finetune`."""

    def learn(rows: np.ndarray) -> np.ndarray:
        few = Few(
            scans.logits[rows],
            scans.features[rows],
            scans.label[rows],
            scans.patient[rows],
            scans.logits[everyone],
            scans.features[everyone],
            views=scans.views,
        )
        return STRATEGIES[STRATEGY].head(few)(scans.logits, scans.features)

    return learn


def parts(scans: Frozen, draw: int) -> tuple[list[np.ndarray], np.ndarray]:
    """An order of the patients to learn from, a class each, and the rows of a third held apart."""
    rng = np.random.default_rng(draw)
    names = np.unique(scans.patient)
    ill = np.array([scans.label[scans.patient == name].max() for name in names])
    apart = set()
    for group in (0, 1):
        these = names[ill == group]
        apart |= set(rng.permutation(these)[: len(these) // 3].tolist())
    away = np.isin(scans.patient, list(apart))
    return chain(scans.label, scans.patient, np.flatnonzero(~away), draw), np.flatnonzero(away)


def curve(scans: Frozen, draw: int, with_folds: bool) -> dict:
    """Points of one draw: all the way to 100 a class, and within the first 20 and 10 a class."""
    order, apart = parts(scans, draw)
    most = min(100, *map(len, order))
    everyone = np.setdiff1d(np.arange(len(scans.label)), apart)
    learn = learner(scans, everyone)
    whole = first(order, most)
    found = {"whole": [], "held apart": {}, "folds": {}}
    for level in (*TO_LEARN[:-1], most):
        rows = first(order, level)
        found["whole"] += _points(learn, scans, rows, apart, [level], 1)
    for pool in (10, 20):
        rows = first(order, pool)
        if pool == 20 or with_folds:
            found["held apart"][pool] = _points(learn, scans, rows, apart, WITHIN[pool], DRAWS_WITHIN)
        if with_folds:
            folded = cross_validated(learn, scans.label, scans.patient, rows, IN_FOLDS[pool], 1, draw)
            found["folds"][pool] = [asdict(point) for point in folded]
    found["positives"] = int((scans.label[apart] == 1).sum())
    found["patients"] = len(np.unique(scans.patient[whole]))
    return found


def _points(
    learn: Learner, scans: Frozen, pool: np.ndarray, apart: np.ndarray, levels: Sequence[int], draws: int
) -> list[dict]:
    """Only these levels."""
    return [asdict(point) for point in measured(learn, scans.label, scans.patient, pool, apart, levels, draws, 0)]


def cases(told: argparse.Namespace) -> Iterator[tuple[str, str, Frozen, int, bool]]:
    """What to measure: question, network, scans, draws, whether by folds too."""
    for name in told.networks.split(","):
        if told.others:
            for question in others():
                yield question.name, name, question.frozen(name), DRAWS_OF_OTHERS, False
        else:
            for pair, question in reported():
                network = name if name == "imagenet" else f"{pair.name}-{name}"
                yield pair.name, network, question.frozen(network), DRAWS, True


def measure(told: argparse.Namespace, rows: Rows) -> None:
    """Draw by draw, so that a run that was cut has as many of each."""
    every = list(cases(told))
    for draw in range(max(draws for _, _, _, draws, _ in every)):
        for question, name, scans, draws, folds in every:
            if draw < draws:
                key = {"question": question, "network": name, "draw": draw, "strategy": STRATEGY}
                rows.row(key, lambda scans=scans, draw=draw, folds=folds: curve(scans, draw, folds))
        print(draw, datetime.datetime.now().strftime("%H:%M:%S"), flush=True)


def prior_of(rows: Iterable[dict]) -> Prior:
    """The prior that makes these curves most likely (empirical Bayes)."""
    curves = []
    for row in rows:
        whole = [replace(point, draw=-1) for point in points(row["result"]["whole"]) if point.shots >= 20]
        curves.append((*points(row["result"]["held apart"]["20"]), *whole))

    def prior(x: np.ndarray) -> Prior:
        level_deviation, slope_deviation, luck, own, forgets, scale_deviation = np.exp(x[2:])
        shares = np.exp(-0.5 * (np.log(Prior.scales) / scale_deviation) ** 2) + 1e-4
        return Prior(
            level=x[0],
            level_deviation=level_deviation,
            slope=x[1],
            slope_deviation=slope_deviation,
            luck=luck,
            own=own,
            shares=tuple((shares / shares.sum()).tolist()),
            forgets=forgets,
            stretch=1.0,
        )

    def loss(x: np.ndarray) -> float:
        held = 0.5 * np.sum((x[2:-1] - START[2:-1]) ** 2) + 2 * (x[-1] - START[-1]) ** 2
        return held - sum(Curve(curve, 20, prior(x)).log_evidence for curve in curves)

    return prior(minimize(loss, START, method="L-BFGS-B", options={"maxiter": 40}).x)


def stretch(rows: list[dict]) -> float:
    """What the deviation of a forecast must be multiplied by so that 9 of 10 of questions left out are held."""
    needed = []
    for question in sorted({row["key"]["question"] for row in rows}):
        prior = prior_of(row for row in rows if row["key"]["question"] != question)
        for row in (row for row in rows if row["key"]["question"] == question):
            truth, middle, low, high = ndtri(np.clip(forecast(row, 20, "held apart", prior), 0.02, 0.995))
            needed.append((truth - middle) / (high - middle if truth > middle else low - middle))
    return float(np.quantile(needed, 0.9))


def points(found: list) -> list[Point]:
    return [Point(**each) for each in found]


def forecast(row: dict, pool: int, how: str, prior: Prior) -> tuple[float, float, float, float]:
    """(what was measured at 100, median, low, high) of a draw."""
    result = row["result"]
    whole = {point.shots: point for point in points(result["whole"])}
    target = whole[max(whole)]
    if how == "held apart":
        seen = [*points(result["held apart"][str(pool)]), replace(whole[pool], draw=-1)]
        return target.auroc, *Curve(tuple(seen), pool, prior).expect(target.shots)
    seen = points(result["folds"][str(pool)])
    told = {"measured": target.standard_error, "same_patients": False}
    return target.auroc, *Curve(tuple(seen), pool, prior).expect(target.shots, **told)


def forecasts(rows: list[dict], pool: int, how: str, prior: Prior) -> np.ndarray:
    """A row a draw, as `forecast` gives it."""
    return np.array([forecast(row, pool, how, prior) for row in rows])


def table(rows: Rows, prior: Prior) -> None:
    print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
    lines = []
    names = [pair.name for pair, _ in reported()]
    chosen = [row for row in rows if row["key"]["question"] in names]
    groups = defaultdict(list)
    for row in chosen:
        groups[row["key"]["question"], row["key"]["network"]].append(row)
    for how in ("held apart", "folds"):
        for pool in (20, 10):
            for (question, network), mine in groups.items():
                start = network.removeprefix(f"{question}-0-")
                said = forecasts(mine, pool, how, prior)
                lines.append([how, f"{pool} a class", question, start, *_numbers(said)])
            for start in ("imagenet", "source-only"):
                mine = [row for key, found in groups.items() if start in key[1] for row in found]
                lines.append([how, f"{pool} a class", "all", start, *_numbers(forecasts(mine, pool, how, prior))])
    header = ["measured on", "labels", "pair", "from", "draws", "AUROC at 100", "held", "median width", "bias", "error"]
    print(markdown(header, lines))


def _numbers(said: np.ndarray) -> list[str]:
    truth, middle, low, high = said.T
    held = np.mean((truth >= low) & (truth <= high))
    error = np.sqrt(np.mean((middle - truth) ** 2))
    return [
        str(len(said)),
        f"{truth.mean():.3f}",
        f"{held:.0%}",
        f"{np.median(high - low):.3f}",
        f"{np.mean(middle - truth):+.3f}",
        f"{error:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["measure", "prior", "table"])
    parser.add_argument("--networks", default="imagenet")
    parser.add_argument("--others", action="store_true")
    told = parser.parse_args()
    rows = Rows(FOLDER.parent / "learning_curve.jsonl")
    if told.step == "measure":
        measure(told, rows)
    elif told.step == "prior":
        names = {question.name for question in others()}
        chosen = [row for row in rows if row["key"]["question"] in names]
        print(len(chosen), "curves:", prior_of(chosen), "stretch", stretch(chosen))
    else:
        table(rows, Prior())


if __name__ == "__main__":
    main()
