"""What adapting did, told from logits and features made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from medtl.training.happened import Said, what_happened

RNG = np.random.default_rng(0)
NOTHING = 0.5  # as a new hospital has


@dataclass
class Scans:
    """What is asked of a cohort."""

    label: np.ndarray
    classes: tuple[str, ...] = ("a", "b", "c")
    multilabel: bool = False
    patient: np.ndarray = field(init=False)
    scan_id: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.patient = np.arange(len(self.label)).astype(str)
        self.scan_id = self.patient

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class Decision:
    handed_over: str
    signals: dict[str, float]


@dataclass
class Adapted:
    decision: Decision
    features: dict[str, np.ndarray]
    method: str = "dann"


def logits_of(label: np.ndarray, classes: int = 3, skill: float = 3.0) -> np.ndarray:
    return skill * np.eye(classes)[label] + RNG.normal(size=(len(label), classes))


def happened(
    truth: np.ndarray, *, moved: float = 0.0, after=None, method="dann", unlike=NOTHING, handed="adapted", kept=()
):
    """A target of these classes, whose features lie `moved` further from the source's after adapting."""
    label = np.arange(240) % 3
    held_out, target = Scans(label), Scans(np.full(len(truth), -1))
    home, here = logits_of(label), logits_of(truth)
    said = {
        "source-only": Said(home, home, here, here),
        "adapted": Said(home, home, here if after is None else after, here),
    }
    chosen = np.arange(len(truth))[::-1][:150]  # the Run keeps some, in an order of its own
    source, there = RNG.normal(size=(240, 6)), RNG.normal(size=(150, 6))
    features = {
        "source_before": source, "source_after": source, "target_before": there, "target_after": there + moved,
        "source_label": label, "target_id": target.scan_id[chosen],
    }  # fmt: skip
    features = {name: features[name] for name in kept or features}
    adapted = Adapted(Decision(handed, {"source_auroc": 0.9, "adapted_source_auroc": 0.9}), features, method)
    return what_happened(adapted, said, held_out, target, unlike, "multiclass"), truth[chosen]


def test_without_embeddings_after_it_there_are_no_distances_and_no_warning_of_them() -> None:
    truth, before = np.arange(240) % 3, ("source_before", "target_before", "source_label", "target_id")
    found, _ = happened(truth, moved=3.0)
    assert found.distances and found.warnings
    found, _ = happened(truth, moved=3.0, kept=before)
    assert not found.distances and not found.warnings and found.shares


def test_where_all_went_well_nothing_is_said() -> None:
    found, truth = happened(np.arange(300) % 3)
    assert (found.warnings, found.remarks) == ([], [])
    assert {row.of for row in found.distances} == {-1, 0, 1, 2}
    of_class = {row.of: row.n_target for row in found.distances}
    assert [of_class[k] for k in range(3)] == pytest.approx(np.bincount(truth), abs=8)  # by what the model says
    assert [share.name for share in found.shares] == ["a", "b", "c"]
    assert all(share.em_ci[0] <= 1 / 3 <= share.em_ci[1] for share in found.shares)


def test_sites_that_were_driven_apart_are_told() -> None:
    found, _ = happened(np.arange(300) % 3, moved=1.0)
    assert found.signals["proxy_a_after"] > found.signals["proxy_a_before"] + 0.5
    assert [text.split(":")[0] for text in found.warnings] == ["The sites lie further apart than before"] * 2


def test_a_class_that_vanished_from_the_answers_is_told() -> None:
    after = logits_of(np.arange(300) % 2)  # never c
    found, _ = happened(np.arange(300) % 3, after=after)
    assert any("hardly says c any more" in text for text in found.warnings)


@pytest.mark.parametrize(("method", "words"), [("dann", "try `--method pada`"), ("pada", "compare with source-only")])
def test_a_class_that_is_not_there_is_told(method: str, words: str) -> None:
    found, _ = happened(np.arange(300) % 2, method=method)
    assert (
        len(found.remarks) == 1 and found.remarks[0].startswith("c looks nearly absent") and words in found.remarks[0]
    )


def test_an_open_set_is_told() -> None:
    found, _ = happened(np.arange(300) % 3, unlike=0.95)
    assert found.remarks[0].startswith("95% of the new site's scans are unlike any of the source's")
    assert found.to_dict()["unlike"] == 0.95


def test_the_shares_are_the_handed_over_models() -> None:
    found, _ = happened(np.arange(300) % 3, after=logits_of(np.zeros(300, int)), handed="source-only")
    assert found.shares[0].predicted == pytest.approx(1 / 3, abs=0.05)


def test_few_scans_have_no_shares_and_nothing_adapted_no_distances() -> None:
    label = np.arange(12) % 3
    few, said = Scans(label), Said(*[logits_of(label)] * 4)
    adapted = Adapted(Decision("source-only", {}), {})
    found = what_happened(adapted, {"source-only": said}, few, few, np.nan, "multiclass")
    assert (found.shares, found.distances, found.signals, found.warnings, found.remarks) == ([], [], {}, [], [])
