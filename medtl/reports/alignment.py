"""What adapting did: distances between the sites before and after, what was gained, class shares, what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medtl import measures
from medtl.measures import Alignment
from medtl.reports.curves import one_versus_rest
from medtl.trust.shift.shares import ClassShare

if TYPE_CHECKING:
    from medtl.reports.comparison import Labelled
    from medtl.reports.contents import ModelResult

#: Why one may believe a distance, for the reader.
SAYS = {
    "proxy A-distance": "how well a linear reader tells the sites apart: 0 not at all, 2 without a mistake",
    "MMD": "of all that kernels of five widths see: 0 alike, at most 2",
    "CORAL distance": "of how features vary together; blind to a shift",
    "Fréchet distance": "of means and spreads, a feature; 1 is a shift of one standard deviation in each",
}


class Gain(NamedTuple):
    """The adapted model less source-only on the same labelled scans.

    Attributes:
        measure: "AUROC", "balanced accuracy" or "Brier score".
        difference: with its 95 % interval from low to high, resampling patients; of the Brier score below 0 is better.
    """

    measure: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Adapting:
    """What a Run knows of its adapting, and what labelled scans add.

    Attributes:
        distances: of features on average one standard deviation wide within a site; `of` is a class's number or -1.
        shares: of the classes at the target, estimated when it was adapted to.
        prior: whose class shares the models expect: "source", "em" or "bbse".
        warnings, remarks: sentences.
        unlike: share of the target's scans that are unlike any of the source's to source-only; nan where unknown.
        gains: empty where no adapted model stands beside source-only.
        sentence: the gain in AUROC in words; "" likewise.
    """

    distances: tuple[Alignment, ...] = ()
    shares: tuple[ClassShare, ...] = ()
    prior: str = "source"
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unlike: float = float("nan")
    gains: tuple[Gain, ...] = ()
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        rows = {name: [row._asdict() for row in getattr(self, name)] for name in ("distances", "shares", "gains")}
        return {**vars(self), **rows}


def adapting_of(
    told: Mapping[str, Any], prior: str, results: Sequence[ModelResult], scans: Labelled
) -> Adapting | None:
    """From what a Run's metrics.json keeps under "adapting", and the models on labelled scans; None where neither is.

    Args:
        told: as `medtl.training.happened.Happened.to_dict`; {} of an older Run.
        prior: of the Run's config.
        results: models of the same Run on the same scans; "source-only" and "adapted" are looked for.
        scans: labelled.
    """
    by_name = {result.name: result for result in results}
    gains: tuple[Gain, ...] = ()
    if {"source-only", "adapted"} <= set(by_name):
        gains = gains_of(by_name["adapted"], by_name["source-only"], scans)
    if not told and not gains:
        return None
    return Adapting(
        distances=tuple(Alignment(**_numbers(row)) for row in told.get("distances", ())),
        shares=tuple(ClassShare(**_numbers(row)) for row in told.get("shares", ())),
        prior=prior,
        warnings=tuple(told.get("warnings", ())),
        remarks=tuple(told.get("remarks", ())),
        unlike=_number(told.get("unlike")),
        gains=gains,
        sentence=gain_sentence(gains[0], scans) if gains else "",
    )


def gains_of(adapted: ModelResult, source_only: ModelResult, scans: Labelled) -> tuple[Gain, ...]:
    """Adapted less source-only in AUROC, balanced accuracy (one label a scan) and Brier score, by paired bootstrap.

    Each resample of the patients is judged by both models, so what they have in common takes no part. AUROC and
    balanced accuracy are means over the classes.
    """
    from medtl.reports.render import answers

    pairs: list[tuple[str, Any, Any, Any]] = []
    truth = one_versus_rest(scans.label, len(scans.classes))
    scores = [model.probabilities[:, -truth.shape[1] :] for model in (adapted, source_only)]
    pairs.append(("AUROC", _mean_auroc, truth, scores))
    if scans.label.ndim == 1:
        pairs.append(("balanced accuracy", _balanced, scans.label, [answers(m) for m in (adapted, source_only)]))
    pairs.append(("Brier score", measures.brier, scans.label, [m.probabilities for m in (adapted, source_only)]))
    found = []
    for name, metric, label, (one, other) in pairs:
        told = measures.bootstrap_difference(metric, label, one, other, scans.patient)
        found.append(Gain(name, told.difference, told.low, told.high))
    return tuple(found)


def gain_sentence(gain: Gain, scans: Labelled) -> str:
    """The gain in AUROC in words."""
    if gain.low != gain.low:
        return ""
    size = f"{abs(gain.difference):.2f}"
    did = f"{'gained' if gain.difference > 0 else 'lost'} {size} of AUROC" if size != "0.00" else "left AUROC as it was"
    bounds = " to ".join(f"{bound:+.2f}".replace("-", "−") for bound in (gain.low, gain.high))
    doubt = "" if gain.low > 0 or gain.high < 0 else ": these scans cannot tell whether it helped"
    return (
        f"Beside source-only, adapting {did} (95 % interval {bounds}, {len(np.unique(scans.patient))} patients){doubt}."
    )


def by_measure(adapting: Adapting, classes: Sequence[str]) -> list[tuple[str, str, list[tuple[str, Alignment]]]]:
    """(measure, what it says, rows of (of what, the distance)), overall first."""
    return [
        (name, SAYS.get(name, ""), [("all scans" if row.of < 0 else classes[row.of], row) for row in rows])
        for name in dict.fromkeys(row.measure for row in adapting.distances)
        if (rows := [row for row in adapting.distances if row.measure == name])
    ]


def _mean_auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Over the columns that have both classes; nan where none has."""
    areas = []
    for label, column in zip(truth.T, score.T, strict=True):
        known = ~np.isnan(label)
        areas.append(measures.auroc(label[known], column[known]))
    known_areas = [area for area in areas if area == area]
    return float(np.mean(known_areas)) if known_areas else float("nan")


def _balanced(label: np.ndarray, said: np.ndarray) -> float:
    return float(np.mean([np.mean(said[label == k] == k) for k in np.unique(label)]))


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of JSON: null is nan, a list an interval."""
    return {
        name: tuple(map(_number, value)) if isinstance(value, list) else _number(value) if value is None else value
        for name, value in row.items()
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
