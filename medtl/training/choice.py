"""The rule that chooses among adapted models, and falls back to source-only, by what is visible without target labels.

A pure function of numbers, so that benchmarks/selection.py can replay it on stored ones: docs/choosing.md says how
often it is right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medtl.measures.validation import SCORES

#: The model that every other has to beat, and what is handed over where none may be.
SOURCE_ONLY = "source-only"
#: The mean of all networks that were trained, where there are several: `medtl.models.averaging`.
AVERAGE = "average"
#: `--select auto`: the score among those that may be handed over. With each pair of hospitals left out in turn, the
#: others chose this one (benchmarks/selection.py --tune).
AUTO = "clusters"
#: The source AUROC that adaptation may cost before it is taken for harm. Two standard errors of an AUROC of 0.85 on
#: 200 scans; of the honest pairs none lost as much (docs/benchmarks.md).
MAY_FORGET = 0.05
#: Below this share of the source-only model's information about the target an adapted model has collapsed.
COLLAPSED = 0.5

Signals = Mapping[str, float]


def choose(candidates: Mapping[str, Signals], select: str = "auto") -> tuple[str, str]:
    """Which model is handed over, and why, in plain words.

    `rule` says how.

    Args:
        candidates: name -> `medtl.measures.validation.signals_of`; "source-only" is among them.
        select: a name in SCORES, or "auto" for the rule's own.

    Returns:
        the name, and the reason.
    """
    faults = {name: fault_of(signals, candidates[SOURCE_ONLY]) for name, signals in candidates.items()}
    adapted = ranking(candidates, select)
    sound = [name for name in adapted if not faults[name]]
    if not adapted:
        return SOURCE_ONLY, "no method was asked for"
    if not sound:
        said = [(f"{name} " if len(adapted) > 1 else "the adapted model ") + faults[name] for name in adapted]
        return SOURCE_ONLY, _listed(said)
    harmless = "adapting cost the source little and its predictions at the new site are no less decided"
    if len(adapted) == 1:
        return sound[0], harmless
    left = f"of the {len(sound)} that may be handed over" if len(sound) > 1 else "of all that were tried alone"
    if len(sound) == 1:
        return sound[0], f"{left} {harmless}"
    return sound[0], f"{left} it has the highest score ({_score(select)}); {harmless}"


def rule(select: str = "auto") -> str:
    """What `choose` does, in plain words."""
    return (
        f"An adapted model that lost more than {MAY_FORGET} of AUROC on held-out source scans is not handed over, nor "
        "one whose predictions at the new site say less than half as much as source-only's; of those that are left the "
        f"one with the highest score ({_score(select)}) is, and where none is left, source-only."
    )


def ranking(candidates: Mapping[str, Signals], select: str = "auto") -> list[str]:
    """The adapted models, best first: those that may be handed over before those that may not, then by score."""
    source_only, score = candidates[SOURCE_ONLY], _score(select)

    def worth(name: str) -> tuple[bool, float]:
        value = candidates[name][score]
        return not fault_of(candidates[name], source_only), value if not np.isnan(value) else -np.inf

    return sorted((name for name in candidates if name != SOURCE_ONLY), key=worth, reverse=True)


def fault_of(signals: Signals, source_only: Signals) -> str:
    """Why a model may not be handed over, such as "lost 0.07 of AUROC on held-out source scans"; "" where it may."""
    if signals["forgot"] > MAY_FORGET:
        return f"lost {signals['forgot']:.2f} of AUROC on held-out source scans"
    if not signals["information"] >= COLLAPSED * source_only["information"]:
        return "says less than half as much by its predictions at the new site"
    return ""


def _score(select: str) -> str:
    name = AUTO if select == "auto" else select
    if name not in SCORES:
        raise ValueError(f"there is no score {select!r}: there is auto, {', '.join(SCORES)}")
    return name


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
