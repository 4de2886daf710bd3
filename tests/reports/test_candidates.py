"""What was tried: ranks, disagreement, and what a reader sees."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from medtl.measures.validation import SCORES
from medtl.reports.candidates import WORDS, candidates_of
from medtl.reports.render import render
from medtl.runs.layout import plain
from medtl.training.choice import AUTO

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

ALIKE = {**dict.fromkeys(SCORES, 0.5), "forgot": 0.0, "agreement": 1.0}
DECISION = {
    "handed_over": "adapted",
    "kept": "mcc",
    "why": "of the 2 that may be handed over it has the highest score (information)",
    "sentence": "Handed over: adapted by mcc.",
    "select": "information",
    "rule": "An adapted model that lost much is not handed over.",
    "candidates": {
        "source-only": {**ALIKE, "source": 0.9},
        "dann": {**ALIKE, "information": 0.6, "agreement": 0.8, "snd": float("nan")},
        "mcc": {**dict.fromkeys(ALIKE, 0.7), "forgot": -0.01, "agreement": 0.75},
        "tca <b>": {**ALIKE, "information": 0.8, "forgot": 0.2, "snd": 0.9},
    },
}


def test_every_score_is_put_into_words() -> None:
    assert set(WORDS) == set(SCORES)


def test_ranks_and_order() -> None:
    found = candidates_of(DECISION)
    assert [row.name for row in found.rows] == ["source-only", "tca <b>", "mcc", "dann"]
    by_name = {row.name: row for row in found.rows}
    assert {name: row.ranks["information"] for name, row in by_name.items()} == {
        "source-only": 4, "dann": 3, "mcc": 2, "tca <b>": 1,
    }  # fmt: skip
    assert {name: row.ranks["entropy"] for name, row in by_name.items()} == {
        "source-only": 2, "dann": 2, "mcc": 1, "tca <b>": 2,
    }  # fmt: skip
    assert by_name["dann"].ranks["snd"] == 0
    assert [row.name for row in found.rows if row.kept] == ["mcc"]
    assert [row.name for row in found.rows if row.fault] == ["tca <b>"]
    assert found.by == "information" and candidates_of({**DECISION, "select": "auto"}).by == AUTO


def test_where_scores_disagree_the_sentence_says_so() -> None:
    found = candidates_of(DECISION)
    assert found.disagreement == (
        "They disagree: 7 of 10 scores like mcc best; information and snd like tca <b> best; source likes source-only "
        "best."
    )
    alike = {**DECISION, "candidates": {name: DECISION["candidates"][name] for name in ("source-only", "mcc")}}
    alike["candidates"]["source-only"] = ALIKE
    assert candidates_of(alike).disagreement == "All 10 scores like mcc best."


def test_falling_back_is_said() -> None:
    found = candidates_of({**DECISION, "handed_over": "source-only", "why": "none may be", "select": "snd"})
    assert [row.name for row in found.rows if row.kept] == ["source-only"] and found.by == "snd"
    assert found.sentence == "3 ways to adapt were tried, and source-only is handed over: none may be."


@pytest.mark.parametrize("decision", [{}, {"handed_over": "adapted"}, {**DECISION, "candidates": {"source-only": {}}}])
def test_of_runs_that_tried_nothing_nothing_is_shown(decision: dict) -> None:
    assert candidates_of(decision) is None
    assert 'id="candidates"' not in render(made.report(decision=decision))


def test_the_mean_of_the_weights_says_what_it_is() -> None:
    tried = {**DECISION["candidates"], "average": ALIKE}
    said = "the mean of the weights of those that were trained"
    assert said in render(made.report(decision={**DECISION, "candidates": tried}))
    assert said not in render(made.report(decision=DECISION))


def test_the_report_shows_it_as_the_run_keeps_it() -> None:
    kept = json.loads(json.dumps(plain(DECISION)))  # nan is null there
    page = render(made.report(decision=kept))
    section = re.search(r'<section id="candidates">.*?</section>', page, re.S)[0]
    assert "They disagree: 7 of 10 scores like mcc best" in section and "tca &lt;b&gt;" in section
    assert "The rule: An adapted model that lost much is not handed over." in section
    assert section.count("handed over</span>") == 1 and "lost 0.20 of AUROC on held-out source scans" in section
    assert all(f"<dt>{name}</dt>" in section for name in SCORES)
    assert 'id="candidates"' not in render(made.report(decision=kept, compares_runs=True))
