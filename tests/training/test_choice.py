"""The rule that chooses without target labels, on numbers made by hand."""

from __future__ import annotations

import itertools

import pytest

from medtl.measures.validation import SCORES
from medtl.training.choice import AUTO, choose, fault_of, ranking, rule

HOME = {**dict.fromkeys(SCORES, 0.5), "information": 0.2, "forgot": 0.0, "agreement": 1.0}


def model(**others: float) -> dict[str, float]:
    return {**HOME, "agreement": 0.8, **others}


def test_with_nothing_to_choose_from_source_only_is_kept() -> None:
    assert choose({"source-only": HOME}) == ("source-only", "no method was asked for")


@pytest.mark.parametrize(
    ("signals", "fault"),
    [
        ({}, ""),
        ({"forgot": 0.05, "information": 0.1}, ""),
        ({"forgot": -0.3, "information": 5.0}, ""),
        ({"forgot": 0.06}, "lost 0.06 of AUROC on held-out source scans"),
        ({"information": 0.09}, "says less than half as much by its predictions at the new site"),
        ({"information": float("nan")}, "says less than half as much by its predictions at the new site"),
    ],
)
def test_who_may_not_be_handed_over(signals: dict[str, float], fault: str) -> None:
    assert fault_of(model(**signals), HOME) == fault
    name, why = choose({"source-only": HOME, "dann": model(**signals)})
    assert name == ("source-only" if fault else "dann")
    assert why == (f"the adapted model {fault}" if fault else why)


def test_of_several_the_highest_of_those_that_may_be() -> None:
    several = {
        "source-only": HOME,
        "a": model(clusters=0.3, information=0.3, snd=0.1),
        "b": model(clusters=0.4, information=0.4, snd=0.2),
        "c": model(clusters=0.6, information=0.6, forgot=0.2, snd=0.9),
    }
    assert choose(several)[0] == "b" == choose(several, "information")[0]
    assert ranking(several) == ["b", "a", "c"]  # the one that forgot comes last, however high its score
    name, why = choose(several, "snd")
    assert name == "b" and "of the 2 that may be handed over it has the highest score (snd)" in why
    assert choose({**several, "a": model(information=0.3, snd=float("nan"))}, "snd")[0] == "b"
    assert choose({**several, "b": model(information=0.01, snd=0.2)}, "snd")[0] == "a"


def test_where_none_may_be_the_reason_names_each() -> None:
    several = {"source-only": HOME, "a": model(forgot=0.1), "b": model(information=0.0)}
    assert choose(several) == (
        "source-only",
        "a lost 0.10 of AUROC on held-out source scans and b says less than half as much by its predictions at the "
        "new site",
    )


def test_the_order_in_which_they_are_told_changes_nothing() -> None:
    several = {"source-only": HOME, "a": model(clusters=0.3), "b": model(clusters=0.4), "c": model(forgot=0.3)}
    assert {choose(dict(order)) for order in itertools.permutations(several.items())} == {choose(several)}


def test_the_rule_in_words_names_the_score() -> None:
    assert f"highest score ({AUTO})" in rule() and "highest score (snd)" in rule("snd")


def test_a_score_that_is_none() -> None:
    with pytest.raises(ValueError, match="there is no score 'accuracy': there is auto, source, iwv"):
        choose({"source-only": HOME, "dann": model()}, "accuracy")
