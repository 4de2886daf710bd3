"""Model card and checklist: true to the Run, the same in the page as beside it, honest about what they leave out."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medtl.reports.checklist import ITEMS
from medtl.reports.contents import SaliencyScore, SubgroupRow, SubgroupTable, Training
from medtl.reports.documents import FOR_YOU, listed, number_of
from medtl.reports.papers import as_markdown, papers
from medtl.reports.render import render

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

TRAINED = Training(
    method="dann", backbone="tf_efficientnet_lite0", seed=3, medtl="0.1.0", n_patients=801, n_scans=1412,
    sites={"source": ("brazil",), "target": ("here",)}, modalities=("US",), manufacturers=("GE", "Philips"),
)  # fmt: skip
GROUPS = SubgroupTable("sex", (SubgroupRow("f", 30, 20, 3, 0.8, (0.6, 0.9), 0.8, 0.7, True),))


@pytest.fixture(scope="module")
def data() -> Any:
    scores = tuple(
        SaliencyScore(m, "occlusion", 40, 0.4, (0.3, 0.5), 0.3, 0.08, 0.35) for m in ("source-only", "adapted")
    )
    return made.report(
        training=TRAINED, subgroups=(GROUPS,), saliency_scores=scores, recipe={"name": "ultrasound", "size": 112,
        "steps": [{"name": "crop_to_region"}, {"name": "percentile_window"}]},
    )  # fmt: skip


def text_of(data: Any, name: str) -> str:
    return next(as_markdown(paper, data) for paper in papers(data) if paper.name == name)


def test_the_card_says_what_the_run_says(data: Any) -> None:
    card = text_of(data, "model_card")
    metrics = data.handed_over.metrics
    for said in (
        "the labels of 801 patients and the pixels of 1,412 scans",
        "Source: brazil; target: here.",
        "US; GE and Philips.",
        "backbone tf_efficientnet_lite0",
        "crop_to_region, percentile_window; 112 by 112 pixels",
        f"**AUROC**: {metrics['auroc']:.2f} (95 % interval {metrics['auroc_ci'][0]:.2f}",
        "**Groups too small to judge**: sex: f.",
        "no medical device",
        "Sites other than here",
        f"**Intended use, users and place in the pathway**: _{FOR_YOU}_",
    ):
        assert said in card, said


def test_the_card_names_sites_that_the_model_never_learnt_from(data: Any) -> None:
    elsewhere = replace(data, training=replace(TRAINED, sites={"source": ("brazil",), "target": ("egypt",)}))
    assert "**Sites that it never learnt from**: here." in text_of(elsewhere, "model_card")
    assert "never learnt from" not in text_of(data, "model_card")
    assert "it has seen no scan of this site" in text_of(elsewhere, "checklist")
    assert "here: it was adapted with unlabelled scans of this site" in text_of(data, "checklist")


def test_every_item_of_claim_is_there_once_and_what_nobody_knows_is_left_open(data: Any) -> None:
    items = [item for _, items in ITEMS for item in items]
    numbers = [int(n) for item in items for n in re.findall(r"\d+", item.claim)]
    assert numbers == list(range(1, 45))
    tripod = {int(n) for item in items for n in re.findall(r"\d+", item.tripod)}
    assert tripod >= set(range(1, 28)) - {6, 21, 24}
    text = text_of(data, "checklist")
    assert text.count(FOR_YOU) >= sum(item.answer is None for item in items) > 10
    assert "in occlusion 40 % of 40 scans; by chance 8 %, and the middle of the picture in 35 %" in text


def test_maps_of_other_models_alone_are_no_word_of_the_handed_over_one(data: Any) -> None:
    others = tuple(score for score in data.saliency_scores if score.model != data.handed_over.name)
    assert "not scored, for want of lesion masks" in text_of(replace(data, saliency_scores=others), "checklist")


def test_the_page_holds_the_same_words_and_nobody_is_named(data: Any) -> None:
    html = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", render(data)))
    for paper in papers(data):
        for section in paper.sections:
            for line in section.statements:
                assert line.said == "" or line.said.split(";")[0].split("'")[0].split('"')[0][:60].strip() in html
        written = as_markdown(paper, data)
        assert not [patient for patient in set(data.patient) if patient in written]
        assert "anna" not in written and "/home" not in written


def test_a_run_that_knows_little_and_runs_that_are_compared(data: Any) -> None:
    little = made.report(config={}, provenance={}, decision={}, examples=(), log=None, projection=None)
    assert "unknown" not in text_of(little, "model_card").split("Calibration")[0]
    assert "_For you to fill in._" in text_of(little, "model_card")
    assert papers(replace(data, compares_runs=True)) == ()
    assert 'id="documents"' not in render(replace(data, compares_runs=True))


def test_several_classes_and_several_labels() -> None:
    for on in (made.scans(90, ("a", "b", "c")), made.several_labels()):
        several = made.report(on, examples=(), log=None, projection=None, training=TRAINED)
        assert not re.search(r"\bnan\b", text_of(several, "model_card") + text_of(several, "checklist"))


def test_words_for_numbers() -> None:
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c" and listed([]) == ""
    assert number_of(0.5) == "0.50" and number_of(None) == number_of(float("nan")) == "unknown"
    assert number_of(0.5, (0.4, 0.6)) == "0.50 (95 % interval 0.40 to 0.60)"
