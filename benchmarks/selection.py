"""How well each score that sees no label chooses among methods, and how often the rule of `medtl adapt` is right.

    python benchmarks/selection.py [--rows benchmarks/results/hospital_shift_methods.jsonl] [--tune]

It trains nothing: it replays the choice on rows that benchmarks/hospital_shift_methods.py measured. A choice is made
for each pair of hospitals and seed, among all methods that were trained there and source-only, by what is seen of the
half of the target that was adapted to. It is judged on the other half: by AUROC, of more than two classes by balanced
accuracy. The oracle chooses by the labels of the half that was adapted to. Means are over pairs, each of which counts
alike however many seeds it has; intervals draw pairs again, and seeds within them.

`--tune` asks how good a rule would be whose score, or score and limits (score, AUROC that may be lost, least share of
the information, least agreement with source-only, whether source-only competes), were chosen on these rows: for each
pair by the others.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _pairs import LEAST_GAP
from _rows import RESULTS, Rows, markdown

from medtl.measures.agreement import rank_agreement
from medtl.measures.validation import SCORES
from medtl.training.choice import COLLAPSED, MAY_FORGET, SOURCE_ONLY, choose

ROWS = RESULTS / "hospital_shift_methods.jsonl"
ALL_LABELS = "all-labels"
#: At these hospitals the label hangs on other signs at each end: no method can be right, and the means leave them out.
TRAP = {"guangzhou", "nih"}
#: Where there are more than two classes, which are not equally frequent.
CELLS = {"barcelona"}
#: What is as good as the best: two seeds of one method differ by more.
AS_GOOD = 0.01

Choice = Callable[[Mapping[str, Mapping[str, float]]], str]


@dataclass
class Field:
    """All models of one pair and seed.

    Attributes:
        pair, seed: whose.
        signals: method -> what a rule may look at, source-only among them.
        here, test: method -> how right it is on the target's two halves.
        best_possible: on the other half, trained on all labels of the first; nan where that was not measured.
    """

    pair: str
    seed: int
    signals: dict[str, dict[str, float]] = field(default_factory=dict)
    here: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    best_possible: float = float("nan")

    @property
    def honest(self) -> bool:
        """Whether the label hangs on the same signs at both ends."""
        return not TRAP & sites(self.pair)

    @property
    def oracle(self) -> str:
        """The method that the labels of the half adapted to would choose."""
        return max(self.here, key=lambda name: self.here[name])

    def gain(self, choice: Choice) -> float:
        """Over source-only, on the other half."""
        return self.test[choice(self.signals)] - self.test[SOURCE_ONLY]


def sites(pair: str) -> set[str]:
    """Of "new-delhi-yakutia": {"new", "delhi", "yakutia"}."""
    return set(re.split("[-+]", pair))


def fields_of(rows: Iterable[Mapping[str, Any]]) -> list[Field]:
    """Rows of benchmarks/hospital_shift_methods.py by pair and seed; those without source-only say nothing."""
    found: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        key = row["key"]
        found.setdefault((key["pair"], key["seed"], key.get("steps", 0)), {})[key["method"]] = row["result"]
    return [
        _field(pair, seed, of) for (pair, seed, _), of in sorted(found.items()) if len(of) > 1 and SOURCE_ONLY in of
    ]


def _field(pair: str, seed: int, results: Mapping[str, Mapping[str, Any]]) -> Field:
    measure = "balanced" if CELLS & sites(pair) else "auroc"
    made = Field(pair, seed)
    for name, result in results.items():
        if name == ALL_LABELS:
            made.best_possible = result[f"{measure}_test"]
            continue
        seen = result["signals"]  # as `medtl.measures.validation.signals_of` gave them
        made.signals[name] = {key: float("nan") if value is None else value for key, value in seen.items()}
        made.here[name], made.test[name] = result[f"{measure}_here"], result[f"{measure}_test"]
    return made


# --- ways to choose -------------------------------------------------------------------------------------------------


def by_score(name: str) -> Choice:
    """The highest score, source-only's among them."""
    return lambda signals: max(signals, key=lambda model: _known(signals[model][name]))


def by_rule(select: str = "auto") -> Choice:
    """What `medtl adapt --select` does."""
    return lambda signals: choose(signals, select)[0]


def limited(score: str, may_forget: float, collapsed: float, agree: float, compete: bool) -> Choice:
    """The highest score among those within limits; where none is, source-only.

    At the limits of the rule, agree = -1 and compete = False, it is the rule.

    Args:
        score: a name in SCORES, or "ranks": the mean of the ranks by all of them.
        may_forget: source AUROC that may be lost.
        collapsed: the least share of source-only's information.
        agree: the least agreement with source-only at the target.
        compete: whether source-only is handed over too where its score is highest.
    """

    def chosen(signals: Mapping[str, Mapping[str, float]]) -> str:
        least = collapsed * signals[SOURCE_ONLY]["information"]
        left = [
            name
            for name, each in signals.items()
            if name != SOURCE_ONLY
            and not each["forgot"] > may_forget
            and each["information"] >= least
            and not each["agreement"] < agree
        ]
        if not left:
            return SOURCE_ONLY
        worth = mean_ranks(signals) if score == "ranks" else {name: each[score] for name, each in signals.items()}
        return max([*left, *([SOURCE_ONLY] if compete else [])], key=lambda name: _known(worth[name]))

    return chosen


def mean_ranks(signals: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Model -> how many others it beats, the mean over all scores."""
    beaten = dict.fromkeys(signals, 0.0)
    for score in SCORES:
        values = {name: _known(each[score]) for name, each in signals.items()}
        for name, value in values.items():
            beaten[name] += sum(value > other for other in values.values()) / len(SCORES)
    return beaten


def rules() -> dict[tuple[Any, ...], Choice]:
    """All that `--tune` chooses among."""
    grid = itertools.product(
        [*SCORES, "ranks"], (0.02, MAY_FORGET, 0.1, np.inf), (0.0, COLLAPSED, 0.8), (-1.0, 0.5, 0.7), (False, True)
    )
    return {told: limited(*told) for told in grid}


# --- how good they are ----------------------------------------------------------------------------------------------


def over_pairs(fields: list[Field], value: Callable[[Field], float]) -> float:
    """The mean over pairs of the mean over their seeds; nan is left out."""
    of: dict[str, list[float]] = {}
    for each in fields:
        of.setdefault(each.pair, []).append(value(each))
    means = [np.nanmean(values) for values in of.values() if not np.isnan(values).all()]
    return float(np.mean(means)) if means else float("nan")


def interval(fields: list[Field], value: Callable[[Field], float], draws: int = 2000) -> tuple[float, float]:
    """95 % of the mean over pairs, by drawing pairs again, and of each its seeds."""
    of: dict[str, list[float]] = {}
    for each in fields:
        of.setdefault(each.pair, []).append(value(each))
    values, random = [np.array(each) for each in of.values()], np.random.default_rng(0)
    drawn = np.stack(
        [each[random.integers(len(each), size=(draws, len(values), len(each)))].mean(2) for each in values]
    )
    which = random.integers(len(values), size=(draws, len(values)))
    means = np.take_along_axis(drawn, which[None], axis=0)[0].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def judged(fields: list[Field], choice: Choice) -> dict[str, float]:
    """How good a way to choose is, on honest pairs.

    Returns:
        gain over source-only with low and high at 95 %, regret to the oracle, share of choices worse than source-only,
        share as good as the best there is (within 0.01); and how much of the gap to all labels is closed, the mean over
        the pairs where these gain LEAST_GAP at least (those of a small hospital are no upper bound).
    """
    fields = [each for each in fields if each.honest]
    low, high = interval(fields, lambda each: each.gain(choice))
    gain = over_pairs(fields, lambda each: each.gain(choice))
    return {
        "gain": gain,
        "low": low,
        "high": high,
        "regret": over_pairs(fields, lambda each: each.test[each.oracle] - each.test[choice(each.signals)]),
        "worse": over_pairs(fields, lambda each: float(each.gain(choice) < 0)),
        "hit": over_pairs(
            fields, lambda each: float(each.test[choice(each.signals)] >= max(each.test.values()) - AS_GOOD)
        ),
        "closed": closed(fields, choice),
    }


def closed(fields: list[Field], choice: Choice) -> float:
    """The mean over pairs of the share of source-only's gap to all labels; nan where all gaps are too small."""
    shares = []
    for pair in dict.fromkeys(each.pair for each in fields):
        here = [each for each in fields if each.pair == pair and not np.isnan(each.best_possible)]
        gap = np.mean([each.best_possible - each.test[SOURCE_ONLY] for each in here]) if here else 0.0
        if gap >= LEAST_GAP:
            shares.append(np.mean([each.gain(choice) for each in here]) / gap)
    return float(np.mean(shares)) if shares else float("nan")


def rank_correlation(fields: list[Field], score: str) -> float:
    """Spearman's, of the score with the truth over the methods of a pair and seed; the mean over honest pairs."""

    def of(each: Field) -> float:
        names = [name for name in each.test if not np.isnan(each.signals[name][score])]
        return rank_agreement([each.signals[name][score] for name in names], [each.test[name] for name in names])

    return over_pairs([each for each in fields if each.honest], of)


def leave_one_pair_out(fields: list[Field], among: Mapping[Any, Choice]) -> tuple[dict[str, Any], dict[str, float]]:
    """For each honest pair the rule that gains most on the others, and how good that is on the pair itself.

    Returns:
        pair -> the name of its rule; what `judged` gives, each pair with its own.
    """
    fields = [each for each in fields if each.honest]
    pairs = list(dict.fromkeys(each.pair for each in fields))
    gains = {
        name: {pair: np.mean([each.gain(rule) for each in fields if each.pair == pair]) for pair in pairs}
        for name, rule in among.items()
    }
    told = {
        pair: max(gains, key=lambda name: np.mean([gains[name][other] for other in pairs if other != pair]))
        for pair in pairs
    }
    signals_to_pair = {id(each.signals): each.pair for each in fields}
    return told, judged(fields, lambda signals: among[told[signals_to_pair[id(signals)]]](signals))


def _known(value: float) -> float:
    return -np.inf if np.isnan(value) else value


# --- tables ---------------------------------------------------------------------------------------------------------


def table(fields: list[Field]) -> str:
    """Each way to choose, a line."""
    ways: dict[str, tuple[str, Choice]] = {
        "the rule (`--select auto`)": ("", by_rule()),
        **{f"{name}, within the rule's limits": (name, by_rule(name)) for name in SCORES},
        **{f"{name} alone": (name, by_score(name)) for name in SCORES},
        "mean of the ranks by all, alone": ("", lambda signals: max(signals, key=mean_ranks(signals).__getitem__)),
    }
    for method in everywhere(fields):
        ways[f"always {method}"] = ("", lambda signals, method=method: method)
    by_truth = {id(each.signals): each.oracle for each in fields}
    ways["oracle"] = ("", lambda signals: by_truth[id(signals)])
    lines = []
    for name, (score, choice) in ways.items():
        always = name.removeprefix("always ") if name.startswith("always ") else SOURCE_ONLY
        told = judged([each for each in fields if always in each.test], choice)
        correlation = f"{rank_correlation(fields, score):+.2f}" if score and name.endswith("alone") else ""
        lines.append(
            [
                name,
                f"{told['gain']:+.3f} ({told['low']:+.3f} to {told['high']:+.3f})",
                f"{told['regret']:.3f}",
                f"{told['worse']:.0%}",
                f"{told['hit']:.0%}",
                f"{told['closed']:.0%}",
                correlation,
            ]
        )
    header = ["chosen by", "gain over source-only", "regret", "worse", "as good as the best", "gap closed"]
    return markdown([*header, "rank correlation"], lines)


def everywhere(fields: list[Field]) -> list[str]:
    """Methods that were trained on every honest pair, with whatever seeds."""
    of: dict[str, set[str]] = {}
    for each in fields:
        if each.honest:
            of.setdefault(each.pair, set()).update(each.test)
    return sorted(set.intersection(*of.values()) - {SOURCE_ONLY})


def by_pair(fields: list[Field], choice: Choice) -> str:
    """What the rule does on each pair, the trap too."""
    lines = []
    for pair in dict.fromkeys(each.pair for each in fields):
        own = [each for each in fields if each.pair == pair]
        gains = [each.gain(choice) for each in own]
        chosen = [choice(each.signals) for each in own]
        lines.append(
            [
                pair + ("" if own[0].honest else " (trap)"),
                str(len(own)),
                ", ".join(f"{name} {chosen.count(name)}" for name in dict.fromkeys(chosen)),
                f"{np.mean([each.test[SOURCE_ONLY] for each in own]):.3f}",
                f"{np.mean([each.test[name] for each, name in zip(own, chosen, strict=True)]):.3f}",
                f"{np.mean(gains):+.3f} ({min(gains):+.3f} to {max(gains):+.3f})",
                f"{np.mean([each.test[each.oracle] for each in own]):.3f}",
                f"{np.mean([each.best_possible for each in own]):.3f}",
            ]
        )
    return markdown(
        ["pair", "seeds", "chosen", "source-only", "chosen gives", "gain (least to most)", "oracle", "all labels"],
        lines,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--select", default="auto", help="of the second table")
    parser.add_argument("--tune", action="store_true", help="what a rule tuned on these rows would give")
    told = parser.parse_args()
    fields = fields_of(Rows(told.rows))
    if not any(each.honest for each in fields):
        sys.exit(f"{told.rows} has no pair with source-only and a method: run benchmarks/hospital_shift_methods.py")
    print(table(fields), by_pair(fields, by_rule(told.select)), sep="\n\n")
    if told.tune:
        scores: dict[Any, Choice] = {name: by_rule(name) for name in SCORES}
        for what, among in (("the score alone, by the rule's limits", scores), ("score and limits", rules())):
            chosen, found = leave_one_pair_out(fields, among)
            print(f"\nTuned on all other pairs, {what}: ", *(f"{key} {value:+.3f}" for key, value in found.items()))
            print(*(f"{pair}: {rule}" for pair, rule in chosen.items()), sep="\n")
            best = sorted(among, key=lambda name: -judged(fields, among[name])["gain"])[:10]
            print("Best on all rows, which is not honest:")
            print(*(f"{judged(fields, among[name])['gain']:+.3f} {name}" for name in best), sep="\n")


if __name__ == "__main__":
    main()
