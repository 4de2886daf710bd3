"""Choices replayed on invented rows whose right answers are known."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from medtl.measures.validation import SCORES
from medtl.training.choice import COLLAPSED, MAY_FORGET, choose

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
_spec = importlib.util.spec_from_file_location("selection", BENCHMARKS / "selection.py")
selection = importlib.util.module_from_spec(_spec)
sys.modules["selection"] = selection
_spec.loader.exec_module(selection)


def row(pair: str, seed: int, method: str, test: float, here: float | None = None, **scores: Any) -> dict[str, Any]:
    signals = {**dict.fromkeys(SCORES, 0.5), "agreement": 0.9, "forgot": 0.5 - scores.get("source", 0.5), **scores}
    right = {
        "auroc_here": test if here is None else here,
        "auroc_test": test,
        "balanced_here": 0.1,
        "balanced_test": 0.1,
    }
    return {"key": {"pair": pair, "seed": seed, "method": method}, "result": {"signals": signals, **right}}


#: entropy likes the best method, snd the worst; c forgot the source.
ROWS = [
    row("brazil-egypt", 0, "source-only", 0.70, entropy=0.0, snd=0.0),
    row("brazil-egypt", 0, "a", 0.80, entropy=0.9, snd=0.1, information=0.6),
    row("brazil-egypt", 0, "b", 0.60, entropy=0.1, snd=0.9, information=0.7),
    row("brazil-egypt", 0, "c", 0.50, entropy=0.2, snd=0.2, information=0.9, source=0.3),
    row("brazil-egypt", 0, "all-labels", 0.90),
    row("egypt-brazil", 0, "source-only", 0.70, entropy=0.5, snd=0.0),
    row("egypt-brazil", 0, "a", 0.75, here=0.60, entropy=0.9, snd=0.1, information=0.4),
    row("egypt-brazil", 0, "b", 0.65, here=0.80, entropy=0.1, snd=0.9, information=0.3, agreement=None),
    row("egypt-brazil", 0, "all-labels", 0.80),
    row("guangzhou-nih", 0, "source-only", 0.60, entropy=0.5),
    row("guangzhou-nih", 0, "a", 0.10, entropy=0.9),
    row("nowhere-here", 0, "a", 0.10, entropy=0.9),  # without source-only it says nothing
]
FIELDS = selection.fields_of(ROWS)


def test_rows_become_fields() -> None:
    assert [(each.pair, each.honest) for each in FIELDS] == [
        ("brazil-egypt", True), ("egypt-brazil", True), ("guangzhou-nih", False),
    ]  # fmt: skip
    first = FIELDS[0]
    assert set(first.test) == {"source-only", "a", "b", "c"} and first.best_possible == 0.9
    assert first.signals["c"]["forgot"] == pytest.approx(0.2) and first.signals["a"]["agreement"] == 0.9
    assert np.isnan(FIELDS[1].signals["b"]["agreement"])
    assert (first.oracle, FIELDS[1].oracle) == ("a", "b")  # by the half that was adapted to


def test_cells_are_judged_by_balanced_accuracy() -> None:
    cells = [row("barcelona-jiangxi", 0, "source-only", 0.9), row("barcelona-jiangxi", 0, "a", 0.8)]
    assert selection.fields_of(cells)[0].test == {"source-only": 0.1, "a": 0.1}


def test_numbers_by_hand() -> None:
    entropy = selection.judged(FIELDS, selection.by_score("entropy"))  # a on both pairs
    assert entropy["gain"] == pytest.approx((0.10 + 0.05) / 2)
    assert entropy["regret"] == pytest.approx((0.0 + (0.65 - 0.75)) / 2)
    assert (entropy["worse"], entropy["hit"]) == (0, 1)
    assert entropy["closed"] == pytest.approx(0.075 / 0.15)
    assert entropy["low"] == pytest.approx(0.05) and entropy["high"] == pytest.approx(0.10)
    snd = selection.judged(FIELDS, selection.by_score("snd"))  # b on both
    assert snd["gain"] == pytest.approx(-0.075) and snd["worse"] == 1 and snd["hit"] == 0
    expected = [
        stats.spearmanr([each.signals[name]["entropy"] for name in each.test], list(each.test.values())).statistic
        for each in FIELDS[:2]
    ]
    assert selection.rank_correlation(FIELDS, "entropy") == pytest.approx(np.mean(expected))


def test_each_pair_counts_alike_however_many_seeds_it_has() -> None:
    more = [
        row("brazil-egypt", seed, name, test, entropy=test)
        for seed in (1, 2)
        for name, test in (("source-only", 0.5), ("a", 0.9))
    ]
    found = selection.judged(selection.fields_of([*ROWS, *more]), selection.by_score("entropy"))
    assert found["gain"] == pytest.approx(((0.1 + 0.4 + 0.4) / 3 + 0.05) / 2)


def test_the_rule_is_the_one_that_adapt_has() -> None:
    assert [selection.by_rule()(each.signals) for each in FIELDS] == [choose(each.signals)[0] for each in FIELDS]


def test_limits_at_the_rules_values_are_the_rule() -> None:
    random = np.random.default_rng(0)
    invented = []
    for seed in range(60):
        for name in ("source-only", "a", "b", "c", "d"):
            drawn = {score: random.random() for score in SCORES}
            drawn["source"] = 0.5 - 0.1 * random.random()
            invented.append(row("brazil-egypt", seed, name, random.random(), **drawn))
    fields = selection.fields_of(invented)
    assert len({choose(each.signals)[0] for each in fields}) > 2
    for score in ("information", "snd"):
        limited = selection.limited(score, MAY_FORGET, COLLAPSED, -1.0, False)
        assert [limited(each.signals) for each in fields] == [choose(each.signals, score)[0] for each in fields]


def test_more_limits() -> None:
    signals = FIELDS[0].signals
    assert selection.limited("entropy", np.inf, 0, -1, False)(signals) == "a"
    assert selection.limited("entropy", np.inf, 0, 0.95, False)(signals) == "source-only"
    high = {**signals, "source-only": {**signals["source-only"], "entropy": 1.0}}
    assert selection.limited("entropy", np.inf, 0, -1, True)(high) == "source-only"
    assert selection.limited("entropy", np.inf, 0, -1, False)(high) == "a"
    ranks = selection.mean_ranks({"x": dict.fromkeys(SCORES, 1.0), "y": dict.fromkeys(SCORES, 2.0)})
    assert ranks == {"x": 0.0, "y": pytest.approx(1.0)}


def test_a_tuned_rule_is_judged_on_the_pair_that_it_has_not_seen() -> None:
    """Entropy gains on one pair and loses on the other: what is learnt on one is wrong on the other."""
    rows = []
    for pair, right in (("brazil-egypt", "entropy"), ("egypt-brazil", "snd")):
        rows.append(row(pair, 0, "source-only", 0.7, entropy=0.0, snd=0.0))
        rows.append(row(pair, 0, "a", 0.8, **{right: 0.9}))
        rows.append(row(pair, 0, "b", 0.6, **{"snd" if right == "entropy" else "entropy": 0.9}))
    fields = selection.fields_of(rows)
    among = {name: selection.by_score(name) for name in ("entropy", "snd")}
    told, found = selection.leave_one_pair_out(fields, among)
    assert told == {"brazil-egypt": "snd", "egypt-brazil": "entropy"}
    assert found["gain"] == pytest.approx(-0.1)


def test_it_prints_its_tables(tmp_path: Path, monkeypatch, capsys) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    monkeypatch.setattr(sys, "argv", ["selection.py", "--rows", str(file), "--tune"])
    monkeypatch.setattr(selection, "rules", lambda: {"entropy": selection.by_score("entropy")})
    selection.main()
    said = capsys.readouterr().out
    assert "brazil-egypt: entropy" in said
    assert "| the rule (`--select auto`) | " in said and "| always a | +0.075" in said
    assert "| guangzhou-nih (trap) | 1 | a 1 | 0.600 | 0.100 |" in said
