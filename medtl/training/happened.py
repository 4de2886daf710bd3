"""What adapting did, as far as it shows without a label of the target: distances, class shares, what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from medtl.data.cohort import Cohort
from medtl.measures import Alignment, alignment
from medtl.methods import METHODS
from medtl.training.adaptation import Adapted
from medtl.trust.negative_transfer import negative_transfer
from medtl.trust.open_set import open_set_sentence
from medtl.trust.shift import LEAST_SCANS, Seen
from medtl.trust.shift.shares import ClassShare, absent, class_shares

#: The method for targets that lack some of the source's classes.
PARTIAL = "pada"


class Said(NamedTuple):
    """What one model says of held-out source scans and of the target's."""

    home: np.ndarray  # logits (N, K), as it judges source scans
    home_features: np.ndarray  # (N, F)
    here: np.ndarray  # logits (M, K)
    here_features: np.ndarray  # (M, F)


@dataclass(frozen=True)
class Happened:
    """What adapting did.

    Attributes:
        distances: between the sites before and after; empty where nothing was adapted, or by a method on features,
            which does not judge by the embedding.
        shares: the target's class shares by the handed-over model; empty for fewer than 20 scans of either site.
        unlike: share of the target's scans that are unlike any of the source's to source-only; nan where unknown.
        signals: the numbers in it that `negative_transfer` looks at beside those of the decision.
        warnings: what adapting made worse, a sentence each.
        remarks: where the target lacks a class or holds other scans, a sentence each.
    """

    distances: list[Alignment]
    shares: list[ClassShare]
    unlike: float
    signals: dict[str, float]
    warnings: list[str]
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "distances": [row._asdict() for row in self.distances],
            "shares": [share._asdict() for share in self.shares],
            "unlike": self.unlike,
            "warnings": self.warnings,
            "remarks": self.remarks,
        }


def what_happened(
    adapted: Adapted, said: Mapping[str, Said], held_out: Cohort, target: Cohort, unlike: float, task: str
) -> Happened:
    """Measure it.

    Args:
        adapted: the models and the decision.
        said: "source-only", and "adapted" where there is one -> what it says.
        held_out: labelled source scans of patients that the models were not trained on.
        target: its labels are not looked at.
        unlike: see `Happened`.
        task: "binary", "multiclass" or "multilabel".
    """
    shares = _shares(said[adapted.decision.handed_over], held_out, target, task)
    distances = _distances(adapted, said, target) if "adapted" in said else []
    signals = _signals(distances)
    warnings = []
    if "adapted" in said:
        seen = {**adapted.decision.signals, **signals, "shares": _called(said, held_out, task)}
        warnings = negative_transfer(seen)
    remarks = [_partial(each, len(held_out.classes), adapted.method) for each in absent(shares)]
    if sentence := open_set_sentence(unlike):
        remarks.append(sentence)
    return Happened(distances, shares, unlike, signals, warnings, remarks)


def _shares(said: Said, held_out: Cohort, target: Cohort, task: str) -> list[ClassShare]:
    if min(len(held_out), len(target)) < LEAST_SCANS:
        return []
    source, here = Seen(said.home, said.home_features, held_out.label), Seen(said.here, said.here_features)
    return class_shares(source, here, task, held_out.classes, held_out.patient, target.patient)


def _distances(adapted: Adapted, said: Mapping[str, Said], target: Cohort) -> list[Alignment]:
    """Of the embeddings that the Run keeps, which are of some scans."""
    held = adapted.features
    if "target_after" not in held:
        return []
    row_of = {name: row for row, name in enumerate(target.scan_id)}
    here = said["adapted"].here[[row_of[name] for name in held["target_id"]]]
    return alignment(
        held["source_before"], held["target_before"], held["source_after"], held["target_after"],
        held["source_label"], here > 0 if target.multilabel else here.argmax(axis=1),
    )  # fmt: skip


def _signals(distances: Sequence[Alignment]) -> dict[str, float]:
    names = {"proxy A-distance": "proxy_a", "MMD": "mmd"}
    found: dict[str, float] = {}
    for row in distances:
        if row.of < 0 and row.measure in names:
            name = names[row.measure]
            found |= {f"{name}_before": row.before, f"{name}_after": row.after}
            found["scans"] = min(row.n_source, row.n_target)
    return found


def _called(said: Mapping[str, Said], held_out: Cohort, task: str) -> dict[str, tuple[float, float, float]]:
    """Class -> its share of the source's labels, of what source-only and of what the adapted model says here."""
    if task == "multilabel":
        home = np.nanmean(held_out.label, axis=0)
        before, after = (np.mean(said[name].here > 0, axis=0) for name in ("source-only", "adapted"))
    else:
        k = len(held_out.classes)
        home = np.bincount(held_out.label[held_out.label >= 0], minlength=k) / max((held_out.label >= 0).sum(), 1)
        before, after = (
            np.bincount(said[name].here.argmax(axis=1), minlength=k) / len(said[name].here)
            for name in ("source-only", "adapted")
        )
    return {name: (float(home[i]), float(before[i]), float(after[i])) for i, name in enumerate(held_out.classes)}


def _partial(share: ClassShare, classes: int, method: str) -> str:
    what = (
        f"{share.name} looks nearly absent at the new site: {share.em:.1%} of its scans by EM and {share.bbse:.1%} by "
        f"BBSE, where the source has {share.source:.0%}. Pictures that merely look other can feign that. If it is so, "
    )
    if classes == 2:
        return f"{what}there is nothing to tell apart, and no adapting helps."
    if method == PARTIAL or PARTIAL not in METHODS:
        return f"{what}adapting draws other scans to where this class lies: compare with source-only."
    return f"{what}adapting draws other scans to where this class lies: try `--method {PARTIAL}`, which leaves it out."
