"""What adapting did: the gain against hand-drawn resamples, the words, the tables."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

from medtl.measures import Alignment
from medtl.reports.alignment import Adapting, Gain, adapting_of, by_measure, gain_sentence, gains_of
from medtl.reports.render import render
from medtl.runs.layout import plain

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

NAN = float("nan")
TOLD = {
    "distances": [
        Alignment("MMD", -1, 0.3125, 0.0625, 0.001, 60, 40)._asdict(),
        Alignment("MMD", 1, 0.5, NAN, NAN, 30, 4)._asdict(),
    ],
    "shares": [
        {"name": "malignant", "source": 0.4, "predicted": 0.3, "em": 0.25, "em_ci": [0.125, 0.375],
         "bbse": 0.2, "bbse_ci": [0.1, 0.3]},
    ],
    "unlike": 0.5,
    "warnings": ["The sites lie further apart than before: MMD 0.10 before and 0.50 after."],
    "remarks": ["Cysts in /home/anna/scans look nearly absent."],
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return made.report()


def models(data):
    by_name = {model.name: model for model in data.models}
    return by_name["adapted"], by_name["source-only"]


def scans_of(data):
    return made.Labelled(data.label, data.patient, data.site, data.classes)


def test_the_gain_is_that_of_the_resampled_patients(data):
    adapted, plain_model = models(data)
    auroc, balanced, brier = gains_of(adapted, plain_model, scans_of(data))
    p, q, y = adapted.probabilities[:, 1], plain_model.probabilities[:, 1], data.label
    assert auroc.difference == pytest.approx(roc_auc_score(y, p) - roc_auc_score(y, q))
    said = [values >= model.metrics["threshold"] for values, model in ((p, adapted), (q, plain_model))]
    assert balanced.difference == pytest.approx(
        balanced_accuracy_score(y, said[0]) - balanced_accuracy_score(y, said[1])
    )
    assert brier.difference == pytest.approx(brier_score_loss(y, p) - brier_score_loss(y, q))
    rng, names = np.random.default_rng(1), np.unique(data.patient)
    draws = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(data.patient == name) for name in rng.choice(names, len(names))])
        draws.append(roc_auc_score(y[rows], p[rows]) - roc_auc_score(y[rows], q[rows]))
    assert (auroc.low, auroc.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.03)


@pytest.mark.parametrize("on", [made.scans(classes=("a", "b", "c")), made.several_labels()], ids=["classes", "labels"])
def test_any_number_of_classes_has_a_gain(on):
    data = made.report(on)
    found = gains_of(*models(data), on)
    names = ["AUROC", "balanced accuracy", "Brier score"]
    assert [gain.measure for gain in found] == (names if on.label.ndim == 1 else [names[0], names[2]])
    assert found[0].difference == pytest.approx(
        models(data)[0].metrics["auroc"] - models(data)[1].metrics["auroc"], abs=1e-9
    )


def test_the_sentence_says_what_is_known(data):
    scans = scans_of(data)
    assert gain_sentence(Gain("AUROC", 0.05, 0.01, 0.09), scans) == (
        "Beside source-only, adapting gained 0.05 of AUROC (95 % interval +0.01 to +0.09, 30 patients)."
    )
    assert gain_sentence(Gain("AUROC", -0.02, -0.06, 0.03), scans) == (
        "Beside source-only, adapting lost 0.02 of AUROC (95 % interval −0.06 to +0.03, 30 patients): these scans "
        "cannot tell whether it helped."
    )
    assert gain_sentence(Gain("AUROC", -0.004, -0.1, 0.09), scans).startswith(
        "Beside source-only, adapting left AUROC as it was (95 % interval −0.10 to +0.09, "
    )
    assert gain_sentence(Gain("AUROC", 0.1, NAN, NAN), scans) == ""


def test_what_a_run_wrote_is_read_again(data):
    found = adapting_of(json.loads(json.dumps(plain(TOLD))), "em", data.models, scans_of(data))
    assert found.distances[0].before == 0.3125 and np.isnan(found.distances[1].after)
    assert found.shares[0].em_ci == (0.125, 0.375) and found.prior == "em"
    assert (found.unlike, found.warnings) == (0.5, tuple(TOLD["warnings"]))
    assert [row for _, _, rows in by_measure(found, data.classes) for row, _ in rows] == ["all scans", "malignant"]
    assert json.dumps(plain(found.to_dict()))


def test_a_run_that_never_adapted_has_nothing_to_say(data):
    alone = [model for model in data.models if model.name != "adapted"]
    assert adapting_of({}, "source", alone, scans_of(data)) is None
    assert "What adapting did" not in render(data)


def test_the_page_shows_it(data):
    did = adapting_of(TOLD, "bbse", data.models, scans_of(data))
    html = render(replace(data, adapting=did))
    for words in (did.sentence, "Adapting made something worse", "MMD, all scans", "12", "black-box estimate)"):
        assert words in html
    assert "/home/anna" not in html and 'id="distances"' in html and 'value="0.3125"' in html
    empty = render(replace(data, adapting=Adapting(warnings=("Worse.",))))
    assert 'id="distances"' not in empty and 'id="gain"' not in empty and "Worse." in empty
