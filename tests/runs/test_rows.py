"""What sets a scan apart from those trained on stands in its row, and its prediction is referred."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from medtl.exports.onnx import export_onnx
from medtl.exports.runtime import Export
from medtl.intensity.fingerprint import NUMBERS, Fingerprint, Print, print_of
from medtl.runs.rows import OUTSIDE, UNFAMILIAR, outside_sentence, prediction_rows, prepared, remarks, remarks_of
from medtl.runs.run import Run
from medtl.scans import Manifest, read
from medtl.trust import Trust, fit_familiarity

_spec = importlib.util.spec_from_file_location("small", Path(__file__).parent / "small.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)


def told(modality: str = "", manufacturer: str = "") -> Print:
    """A print that knows no number."""
    return Print((float("nan"),) * len(NUMBERS), modality, manufacturer)


KNOWN = Fingerprint.fit([told("US", "GE"), told("US", "Philips")])


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six noisy pictures of 8 bits, of which the fourth is stored with 16 and ten times as bright."""
    folder = tmp_path_factory.mktemp("scans")
    manifest = small.manifest(folder)
    deep = np.asarray(Image.open(folder / "scan3.png")).astype(np.uint16) * 16
    Image.fromarray(deep).save(folder / "scan3.png")
    return manifest


@pytest.fixture(scope="module")
def run(scans: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run that was trained on scans like the first three."""
    trained_on = Fingerprint.fit(print_of(read(row)) for row in list(scans)[:3])
    quiet = {"adapted": Trust(), "source-only": Trust()}  # every scan familiar, every prediction alone in its set
    return small.run(tmp_path_factory.mktemp("run") / "run", trained_on=trained_on, trust=quiet)


def test_a_remark_says_why_and_a_new_manufacturer_alone_is_not_outside() -> None:
    given = [("a", told("CT")), ("b", told("US", "Acme")), ("c", told("US", "GE")), ("d", told("CT", "Acme"))]
    said = remarks(KNOWN, given)
    assert sorted(said) == ["a", "b", "d"]
    assert said["a"] == (OUTSIDE + "modality CT, trained on US", True)
    assert said["b"] == ("a machine of Acme, trained on GE and Philips", False)
    assert said["d"] == (f"{said['a'].reason}; {said['b'].reason}", True)
    assert remarks(None, given) == {}


def test_of_the_scans_of_a_study_the_first_outside_speaks() -> None:
    said = remarks(KNOWN, [("a", told("US", "Acme")), ("a", told("CT")), ("a", told("MR"))])
    assert said == {"a": (OUTSIDE + "modality CT, trained on US", True)}


def test_it_stands_in_the_row_and_the_scan_is_referred(scans: Manifest) -> None:
    rows = list(scans)
    given = {row.scan_id: (np.array([9.0, -9.0]), np.zeros(3)) for row in rows[:3]}
    said = remarks(KNOWN, [(rows[0].scan_id, told("CT")), (rows[1].scan_id, told("US", "Acme"))])
    frame = prediction_rows(rows, ["no", "yes"], Trust(), given, {rows[3].scan_id: "cut off"}, said)
    assert frame["status"].tolist()[:4] == ["ok", "ok", "ok", "unreadable"]
    assert frame["in_distribution"].tolist()[:3] == [False, True, True]
    assert frame["refer"].tolist()[:3] == [True, False, False]
    assert frame["reason"].tolist()[:4] == [said[rows[0].scan_id].reason, said[rows[1].scan_id].reason, "", "cut off"]
    assert outside_sentence(frame[:4]) == (
        f"1 of 3 scans is not in distribution: scan {rows[0].scan_id} is {OUTSIDE}modality CT, trained on US"
    )
    assert outside_sentence(frame[1:]) == ""


def test_a_scan_whose_features_are_unfamiliar_says_so_and_is_counted(scans: Manifest) -> None:
    rows = list(scans)[:4]
    seen = np.random.default_rng(0).normal(size=(40, 3))
    trust = Trust(ood=fit_familiarity(seen))
    features = [np.full(3, 99.0), np.full(3, 99.0), np.full(3, 99.0), seen[0]]
    given = {row.scan_id: (np.array([9.0, -9.0]), each) for row, each in zip(rows, features, strict=True)}
    said = remarks(KNOWN, [(rows[1].scan_id, told("CT")), (rows[2].scan_id, told("US", "Acme"))])
    frame = prediction_rows(rows, ["no", "yes"], trust, given, {}, said)
    assert frame["in_distribution"].tolist() == [False, False, False, True]
    maker = f"{UNFAMILIAR}; a machine of Acme, trained on GE and Philips"
    assert frame["reason"].tolist() == [UNFAMILIAR, f"{OUTSIDE}modality CT, trained on US", maker, ""]
    assert outside_sentence(frame) == (
        f"3 of 4 scans are not in distribution: the first, {rows[0].scan_id}, is {UNFAMILIAR}"
    )


def test_run_and_export_say_which_scan_lies_outside_and_which_is_unfamiliar(
    run: Run, scans: Manifest, tmp_path: Path
) -> None:
    frame = run.predict(scans)
    assert frame["in_distribution"].tolist()[:6] == [True, True, True, False, True, True]
    assert frame["refer"].tolist()[:6] == [False, False, False, True, False, False]
    assert frame["reason"][3].startswith(OUTSIDE + "brightest values (99th percentile) 4,000, trained on 2")
    export = Export.load(export_onnx(run, tmp_path / "export"))
    assert export.trained_on == run.trained_on
    far = Trust(ood=fit_familiarity(run.outputs(small.cohort(tmp_path / "known"), "model")[1] + 1000))
    strange = small.run(tmp_path / "strange", trained_on=run.trained_on, trust={"adapted": far, "source-only": far})
    unlike = strange.predict(scans)
    assert unlike["reason"].tolist()[:6] == [UNFAMILIAR] * 3 + [frame["reason"][3]] + [UNFAMILIAR] * 2
    for ours, theirs in ((frame, export), (unlike, replace(export, trust=far))):
        said = theirs.predict(scans)
        for column in ("in_distribution", "refer", "status", "reason"):
            assert said[column].tolist() == ours[column].tolist()


def test_the_range_belongs_to_what_a_prediction_depends_on(run: Run, tmp_path: Path) -> None:
    same = {"models": {name: run.weights(name) for name in run.names}, "trust": {"model": Trust()}}
    without = small.run(tmp_path / "without", **same)
    with_other = small.run(tmp_path / "other", trained_on=KNOWN, **same)
    assert without.trained_on is None and with_other.trained_on == KNOWN
    assert len({run.fingerprint(), without.fingerprint(), with_other.fingerprint()}) == 3


def test_what_gets_one_prediction_belongs_to_it_too(run: Run) -> None:
    of_studies = replace(run, facts={**run.facts, "unit": "study"})
    attending = replace(run, facts={**run.facts, "pooling": "attention"})
    assert len({run.fingerprint(), of_studies.fingerprint(), attending.fingerprint()}) == 3


def test_one_prepared_scan_has_its_print_and_one_that_cannot_be_read_its_reason(scans: Manifest) -> None:
    rows = list(scans)
    good, damaged = prepared(rows[0], small.RECIPE), prepared(rows[6], small.RECIPE)
    assert good.print == print_of(read(rows[0])) and good.pixels is not None and not good.reason
    assert damaged.pixels is None and damaged.print is None and "damaged" in damaged.reason


def test_what_sets_one_series_apart_is_said_of_its_whole_study(tmp_path: Path) -> None:
    cohort = small.cohort(tmp_path)
    assert remarks_of(Fingerprint.fit(cohort.prints), cohort) == {}
    prints = [told("US", "GE"), told("MR", "GE"), told("US", "Philips")]
    studies = SimpleNamespace(members=[["a", "b"], ["c"]], prints=prints)
    said = remarks_of(KNOWN, studies)
    assert set(said) == {"a", "b"}
    assert said["a"] == said["b"]
    assert said["a"].outside
