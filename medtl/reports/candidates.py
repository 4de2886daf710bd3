"""Which models were tried, how each score that sees no label ranks them, and which was kept by which rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medtl.measures.validation import SCORES
from medtl.reports.documents import listed
from medtl.training.choice import AUTO, SOURCE_ONLY, fault_of

#: score -> what it rewards, in plain words.
WORDS = {
    "source": "AUROC on held-out scans of the source",
    "iwv": "the right answer on those source scans that look like the new site's",
    "dev": "the same, with less left to chance",
    "entropy": "being sure of each scan of the new site",
    "information": "being sure of each, and not of one class alone",
    "snd": "scans of the new site lying in dense groups",
    "mcc": "no two classes being mixed up",
    "corr-c": "being sure, with all classes equally frequent",
    "nuclear-norm": "being sure, and varied",
    "clusters": "answers that follow the groups among the scans",
}


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        name: "source-only", "dann" ...
        scores: by name; nan where it says nothing.
        ranks: by name, 1 is best; 0 where it has none.
        forgot: AUROC lost on held-out source scans.
        agreement: of its ranking of the new site's scans with source-only's, in [-1, 1].
        fault: why it may not be handed over; "" where it may.
        kept: whether it is the one that is handed over.
    """

    name: str
    scores: Mapping[str, float]
    ranks: Mapping[str, int]
    forgot: float
    agreement: float
    fault: str
    kept: bool


@dataclass(frozen=True)
class Candidates:
    """What was tried.

    Attributes:
        rows: source-only first, then the best by the score that chose.
        by: the score that chose.
        sentence: which was kept, and why.
        rule: how, in plain words; "" where the Run does not say.
        disagreement: how the scores differ in what they like best.
    """

    rows: tuple[Row, ...]
    by: str
    sentence: str
    rule: str
    disagreement: str


def candidates_of(decision: Mapping[str, Any]) -> Candidates | None:
    """From run.json's "decision"; None where nothing was tried, or an older medtl made the Run."""
    told = decision.get("candidates") or {}
    if len(told) < 2 or SOURCE_ONLY not in told:
        return None
    signals = {name: {key: _number(value) for key, value in each.items()} for name, each in told.items()}
    names = [name for name in SCORES if all(name in each for each in signals.values())]
    ranks = {name: _ranks({model: each[name] for model, each in signals.items()}) for name in names}
    by = decision.get("select", "auto")
    by = AUTO if by == "auto" else by
    handed_over = SOURCE_ONLY if decision.get("handed_over") == SOURCE_ONLY else decision.get("kept")
    order = sorted(signals, key=lambda model: (model != SOURCE_ONLY, ranks[by][model] or len(signals)))
    rows = tuple(
        Row(
            model,
            {name: signals[model][name] for name in names},
            {name: ranks[name][model] for name in names},
            signals[model]["forgot"],
            signals[model]["agreement"],
            "" if model == SOURCE_ONLY else fault_of(signals[model], signals[SOURCE_ONLY]),
            model == handed_over,
        )
        for model in order
    )
    tried = [model for model in signals if model != SOURCE_ONLY]
    what = f"{len(tried)} ways to adapt were tried" if len(tried) > 1 else f"{tried[0]} was tried"
    sentence = f"{what}, and {handed_over} is handed over: {decision.get('why', '')}."
    return Candidates(rows, by, sentence, str(decision.get("rule", "")), _disagreement(ranks))


def _disagreement(ranks: Mapping[str, Mapping[str, int]]) -> str:
    """Such as: 6 of 10 scores like dann best; source and iwv like source-only best; snd likes tca best."""
    best: dict[str, list[str]] = {}
    for score, of in ranks.items():
        for model in (model for model, rank in of.items() if rank == 1):
            best.setdefault(model, []).append(score)
    order = sorted(best, key=lambda model: -len(best[model]))
    if not order:
        return ""
    total = sum(1 for of in ranks.values() if any(of.values()))
    first = f"{len(best[order[0]])} of {total} scores like {order[0]} best"
    if len(order) == 1:
        return f"All {total} scores like {order[0]} best." if len(best[order[0]]) == total else f"{first}."
    others = [
        f"{listed(best[model])} {'like' if len(best[model]) > 1 else 'likes'} {model} best" for model in order[1:]
    ]
    return f"They disagree: {first}; {'; '.join(others)}."


def _ranks(values: Mapping[str, float]) -> dict[str, int]:
    """1 for the highest; equals share a rank; 0 for nan."""
    return {
        name: 0 if np.isnan(value) else 1 + sum(other > value for other in values.values())
        for name, value in values.items()
    }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
