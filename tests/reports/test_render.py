"""The page is whole, opens with no network, names nobody, and shows the numbers that it was given."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medtl.reports.contents import PairedDifference, SaliencyScore, SubgroupRow, SubgroupTable
from medtl.reports.render import answers, excess, number, render, tidy

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and the cells of the table of models."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: dict[str, dict[str, list[float]]] = {}
        self.ids: list[str] = []
        self._model = self._key = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.attributes += attrs
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self._model = str(given.get("data-model") or "")
        self._key = str(given.get("data-key") or self._key)
        if tag == "data" and self._model:
            self.cells.setdefault(self._model, {}).setdefault(self._key, []).append(float(str(given["value"])))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


def parsed(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def data() -> object:
    return made.report()


@pytest.fixture(scope="module")
def html(data: object) -> str:
    return render(data)


def test_the_page_is_whole_and_every_id_is_its_own(html: str) -> None:
    page = parsed(html)
    assert {"html", "head", "body", "svg", "table", "details", "footer"} <= set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    for where in re.findall(r'(?:url\(#|href="#)([^)"]+)', html):
        assert where in page.ids


def test_nothing_is_fetched(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]", re.sub(r'"data:image[^"]+"', "", html))
    page = parsed(html)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action"):
            assert str(value).startswith(("data:image/jpeg;base64,", "#"))
    assert "@import" not in html and "@font-face" not in html


def test_nobody_and_no_place_is_named(data: object, html: str) -> None:
    for word in (*set(data.patient), "anna", "Smith", "/home", "C:\\"):
        assert word not in html
    assert "00ff00ff00ff" in html


def test_the_table_shows_the_metrics(data: object, html: str) -> None:
    cells = parsed(html).cells
    assert list(cells) == [m.name for m in data.models]
    for model in data.models:
        after, before = model.metrics, model.metrics["uncalibrated"]
        assert cells[model.name] == {
            "auroc": [after["auroc"]],
            "auroc_ci": after["auroc_ci"],
            "accuracy": [after["accuracy"]],
            **{key: [before[key], after[key]] for key in ("ece_excess", "brier", "nll")},
        }


def test_the_words_are_there(html: str) -> None:
    for words in (
        "Better than chance here.",
        "Warning before any label was seen",
        "handed over",
        "Not a medical device",
    ):
        assert words in html
    assert "trained in 12 s" in html


@pytest.mark.parametrize("kind", ["better than chance", "not", "cannot tell yet"])
def test_each_verdict_has_its_look(data: object, kind: str) -> None:
    parsed(render(replace(data, verdict=kind)))


def test_thresholds_groups_pairs_and_maps_are_shown(data: object) -> None:
    row = replace(data.handed_over.operating[0], named=(0.05, 0.31, 0.99))
    models = tuple(replace(m, operating=(row, *m.operating[1:])) if m.handed_over else m for m in data.models)
    group = SubgroupRow("f", 30, 20, 3, 0.8, (0.6, 0.9), 0.8, float("nan"), True)
    pairs = tuple(
        PairedDifference(name, "adapted", -0.12, (-0.2, -0.04), 0.002, p, 0.03, (0.01, 0.05))
        for name, p in (("source-only", 0.004), ("fine-tuned", 0.3))
    )
    score = SaliencyScore("adapted", "occlusion", 40, 0.4, (0.3, 0.5), 0.3, 0.08, 0.35)
    html = render(
        replace(
            data,
            models=models,
            subgroups=(SubgroupTable("sex", (group,), "1 group is not shown."),),
            comparison=pairs,
            saliency_scores=(score,),
        )
    )
    page = parsed(html)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))
    assert {"use", "acting", "groups", "pairs", "saliency", "documents"} <= set(page.ids)
    for words in (
        "Of 1,000 scans, 50 of them malignant (the prevalence that was named)",
        "0.31 / 0.99",
        f"set on {data.handed_over.operating[1].n_labels} labelled scans here",
        "too few to judge",
        "1 group is not shown.",
        "corrected for 2",
        "−0.120",
        "0.004",
        "cannot tell",
    ):
        assert words in text, words
    assert html.count('class="bad">worse<') == 1


def test_compared_runs_say_whose_verdict_it_is_and_hand_nothing_over(data: object) -> None:
    models = tuple(replace(m, handed_over=False) for m in data.models)
    text = render(replace(data, models=models, compares_runs=True))
    assert "source-only: Better than chance here" in text and ">handed over<" not in text
    assert 'id="documents"' not in text


def test_the_same_data_give_the_same_page(data: object, html: str) -> None:
    assert render(data) == html


def test_the_slices_that_mattered_are_shown(data: object) -> None:
    weights = np.array([0.2, 0.05, 0.7, 0.05])
    volume = replace(data.examples[0], instance=2, weights=weights)
    html = render(replace(data, examples=(volume, data.examples[1])))
    parsed(html)
    assert html.count('class="strip"') == 1
    assert "Slice 3 of 4 mattered most: 70" in html and "how much each slice mattered" in html
    assert 'class="strip"' not in render(data) and "mattered" not in render(data)


def test_more_classes_and_sites() -> None:
    on = made.scans(90, ("a", "b", "c"), ("here", "there"))
    page = parsed(render(made.report(on, projection=None, examples=(), log=None)))
    assert "features" not in page.ids and "training" not in page.ids


def test_several_labels_a_scan() -> None:
    parsed(render(made.report(made.several_labels(), examples=())))


def test_one_model_with_nothing_known_of_it() -> None:
    on = made.scans()
    models = made.evaluate_models({"model": made.outputs(on, 1.0, fitted=False)}, on, n_bootstrap=20)
    page = parsed(render(made.report(on, models=models, decision={}, projection=None, log=None, config={})))
    assert list(page.cells) == ["model"]


def test_too_few_patients_for_an_interval_and_sites_of_one_class() -> None:
    on = replace(made.scans(4), label=np.array([0, 0, 1, 1]), site=np.array(["a", "a", "b", "b"], object))
    logits = np.eye(2)[[0, 1, 0, 1]]
    outputs = {"m": made.Outputs(logits, handed_over=True), "source-only": made.Outputs(logits)}
    models = made.evaluate_models(outputs, on, n_bootstrap=20)
    nothing = tuple(replace(m, metrics={**m.metrics, "auroc_ci": None}) for m in models)
    html = render(made.report(on, models=nothing, projection=None, log=None, examples=()))
    assert parsed(html).cells["m"]["auroc"] == [0.5] and "auroc_ci" not in parsed(html).cells["m"]


def test_hostile_names_stay_text() -> None:
    on = made.scans(classes=("<script>x</script>", "b&b"))
    page = parsed(render(made.report(on, title='"><img src=http:x>')))
    assert "script" not in page.tags


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("see /home/anna/x.dcm now", "see (a local path) now"),
        ("~/scans", "(a local path)"),
        (r"in C:\Users\anna", "in (a local path)"),
        ("sensitivity/specificity 1/2", "sensitivity/specificity 1/2"),
        ("a ± 0.1, 3 < 4", "a ± 0.1, 3 < 4"),
    ],
)
def test_paths_are_taken_out(text: str, kept: str) -> None:
    assert tidy(text) == kept


def test_numbers_carry_their_whole_value() -> None:
    assert number(0.123456) == '<data value="0.123456">0.12</data>'
    assert excess(-0.02) == '<data value="-0.02">0.00</data>'
    assert number(None) == number(float("nan")) == "–"


def test_answers_are_cut_at_the_threshold(data: object) -> None:
    model = data.handed_over
    cut = model.metrics["threshold"]
    np.testing.assert_array_equal(answers(model), model.probabilities[:, 1] >= cut)
