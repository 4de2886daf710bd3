"""A shortcut that is there is warned of, one that is not is not, and patients are never on both sides."""

from __future__ import annotations

import numpy as np
import pytest

from medtl.measures.shortcuts import FEATURES, MOST, TOGETHER, _enough, features_of, find_shortcuts, table_of
from medtl.scans import Scan


def cohort(seed: int, patients: int = 80, tells: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two scans a patient, three features; the first is shifted by `tells` with the label."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(patients), 2)
    label = np.where(random.random(patients) < 0.4, "sick", "well")[group]
    table = random.normal(size=(len(group), 3)) + random.normal(size=(patients, 3))[group]
    table[:, 0] += tells * (label == "sick")
    return table, label, group.astype(str)


NAMES = ("file size", "rows", "mean")


def test_a_file_size_that_tells_the_label_is_warned_of():
    table, label, group = cohort(0, tells=3.0)
    rows = find_shortcuts(table, NAMES, label, group)
    assert [row.name for row in rows[:2]] == [TOGETHER, "file size"]
    assert rows[0].warn and rows[1].warn and not any(row.warn for row in rows[2:])
    assert rows[1].low <= rows[1].auroc <= rows[1].high and rows[1].auroc > 0.8
    assert all(row.scans == len(label) for row in rows)


@pytest.mark.slow
def test_permuted_labels_are_not_warned_of():
    warned = 0
    for seed in range(20):
        table, label, group = cohort(seed, tells=3.0)
        first = np.unique(group, return_index=True)[1]
        shuffled = dict(zip(group[first], np.random.default_rng(seed).permutation(label[first]), strict=True))
        rows = find_shortcuts(table, NAMES, [shuffled[each] for each in group], group)
        warned += any(row.warn for row in rows)
        assert 0.25 < rows[0].auroc < 0.75
    assert warned <= 1


def null(seed: int, patients: int = 20, scans: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All features tell the patient, none tells anything of the label, of which every patient has one."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(patients), scans)
    label = random.permutation(np.repeat(["sick", "well"], patients // 2))[group]
    table = random.normal(size=(patients, len(FEATURES)))[group] + 0.1 * random.normal(size=(len(group), len(FEATURES)))
    return table, label, group.astype(str)


@pytest.mark.slow
def test_twenty_patients_with_ten_scans_each_are_not_two_hundred():
    """Of these ten reports three warned while scans of a patient were taken for several."""
    reports = [find_shortcuts(null(seed)[0], FEATURES, *null(seed)[1:]) for seed in range(10)]
    assert sum(any(row.warn for row in rows) for rows in reports) <= 1
    found = [row for rows in reports for row in rows]
    assert len(found) == 140 and max(row.auroc for row in found) > 0.8
    assert np.mean([row.low <= 0.5 <= row.high for row in found]) >= 0.92


def test_a_perfect_shortcut_is_found_in_twenty_patients_whatever_else_was_tried():
    table, label, group = null(0)
    table[:, 4] = 100 * (label == "sick") + table[:, 4]
    for targets in (1, 9):
        warned = [row.name for row in find_shortcuts(table, FEATURES, label, group, targets=targets) if row.warn]
        assert warned == [TOGETHER, FEATURES[4]]


def test_the_more_targets_are_tried_the_further_it_must_stand_out():
    table, label, group = cohort(0, patients=26, tells=3.0)
    warned = [find_shortcuts(table[:, :1], NAMES[:1], label, group, targets=targets)[1].warn for targets in (1, 1000)]
    assert warned == [True, False]


def test_a_patient_counts_once_however_many_scans_there_are():
    """One patient of 2,000 scans goes against the rule that all others keep."""
    table, label, group = cohort(0, tells=9.0)
    odd = np.flatnonzero(label == "well")[0]
    many = np.concatenate([np.arange(len(label)), np.full(2000, odd)])
    table[odd, 0] = 9.0
    size, known = table[many, :1], find_shortcuts(table[:, :1], NAMES[:1], label, group)[1].auroc
    found = find_shortcuts(size, NAMES[:1], label[many], group[many])[1]
    assert found.scans == len(many) and abs(found.auroc - known) < 0.05 and found.warn


def test_a_perfect_shortcut_has_an_auroc_of_one():
    _, label, group = cohort(0)
    table = np.column_stack([label == "sick", np.zeros(len(label))]).astype(float)
    rows = find_shortcuts(table, ("rows", "columns"), label, group)
    assert [(row.name, row.auroc, row.high) for row in rows] == [(TOGETHER, 1.0, 1.0), ("rows", 1.0, 1.0)]
    assert all(0.9 < row.low < 1 and row.warn for row in rows)


def test_what_tells_the_patient_only_is_none():
    """Every patient has a size of its own, of any order: learning it by heart helps with no other patient."""
    _, label, group = cohort(1, patients=120)
    size = np.random.default_rng(0).permutation(120).astype(float)[group.astype(int)]
    assert not any(row.warn for row in find_shortcuts(size[:, None], ("rows",), label, group))


def test_two_features_that_tell_only_together_are_found_together():
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (400, 2))
    label = np.where(bits[:, 0] ^ bits[:, 1], "a", "b")
    together, *single = find_shortcuts(bits + random.normal(0, 0.01, bits.shape), ("x", "y"), label, np.arange(400))
    assert together.warn and together.auroc > 0.95
    assert not any(row.warn for row in single)


def test_one_odd_size_in_the_middle_is_found():
    """No order of the sizes tells the label, but one size does."""
    label = np.repeat(["a", "b", "b"], 60)
    size = np.repeat([512.0, 256.0, 1024.0], 60)
    assert find_shortcuts(size[:, None], ("rows",), label, np.arange(180))[1].auroc == 1.0


def test_of_three_classes_each_is_held_against_the_rest():
    label = np.repeat(["a", "b", "c"], 50)
    rows = find_shortcuts(np.repeat([1.0, 2.0, 2.0], 50)[:, None], ("rows",), label, np.arange(150))
    assert rows[1].auroc == pytest.approx((1 + 0.75 + 0.75) / 3, abs=0.03)


def test_too_few_scans_say_nothing():
    table, label, group = cohort(0, patients=8, tells=9.0)
    assert find_shortcuts(table, NAMES, label, group) == []
    table, label, group = cohort(0, tells=9.0)
    assert find_shortcuts(table, NAMES, np.full(len(label), "sick"), group) == []
    assert find_shortcuts(table[:, :0], (), label, group) == []
    assert find_shortcuts(np.ones_like(table), NAMES, label, group) == []


def test_unlabelled_scans_rare_classes_and_what_is_not_finite_are_left_out():
    table, label, group = cohort(0, tells=3.0)
    label = label.astype(object)
    label[:20], label[20:24] = "", "rare"
    table[::7, 1], table[::9, 2] = np.nan, np.inf
    rows = find_shortcuts(table, NAMES, label, group)
    assert rows[0].warn and rows[0].scans == len(label) - 24


def test_of_very_many_scans_some_patients_are_drawn():
    table, label, group = cohort(0, patients=MOST, tells=3.0)
    rows = find_shortcuts(table, NAMES, label, group)
    assert MOST - 2 <= rows[0].scans <= MOST and rows[0].warn


@pytest.mark.parametrize("seed", range(5))
def test_one_huge_patient_leaves_the_others_in(seed: int):
    group = np.repeat([f"{i}" for i in range(41)], [6000, *[20] * 40])
    number = group.astype(int)
    rows = find_shortcuts(number[:, None] % 2.0, ("rows",), np.where(number % 2, "a", "b"), group, seed)
    assert rows[0].scans == 800 and rows[0].warn
    lesser = np.repeat([f"{i}" for i in range(41)], [4900, *[20] * 40])
    number = lesser.astype(int)
    rows = find_shortcuts(number[:, None] % 2.0, ("rows",), np.where(number % 2, "a", "b"), lesser, seed)
    assert rows[0].scans >= 400 and rows[0].warn


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_class_is_whole_or_not_there_among_very_many_scans(seed: int):
    label = np.array(["a", "b"])[np.arange(4 * MOST) % 2].astype(object)
    label[::2000] = "rare"  # ten patients
    group = np.arange(len(label))
    kept = label[_enough(label.astype(str), group, seed)]
    assert len(kept) == MOST and (kept == "rare").sum() == 10
    group[::2000] = 0  # one
    assert set(label[_enough(label.astype(str), group, seed)]) == {"a", "b"}


def test_features_are_what_they_are_called():
    pixels = np.full((1, 100, 200), 7.0, np.float32)
    pixels[0, 2:-2, 2:-2] = 20.0  # a border two pixels wide, and the corners' squares of 6 x 12 pixels
    found = features_of(Scan(pixels), 5000)
    assert tuple(found) == FEATURES
    border = 100 * 200 - 96 * 196
    assert found["slices"] == 1 and found["rows"] == 100 and found["columns"] == 200 and found["aspect"] == 2
    assert found["bytes per pixel"] == 0.25
    assert found["mean"] == pytest.approx((7 * border + 20 * 96 * 196) / 20000, rel=1e-5)
    assert found["standard deviation"] == pytest.approx(pixels.std(), rel=1e-4)
    assert found["border mean"] == 7 and found["border standard deviation"] == 0
    assert found["corner mean"] == pytest.approx((7 * (72 - 40) + 20 * 40) / 72, rel=1e-5)
    assert found["share of pure black"] == pytest.approx(border / 20000)
    assert found["burned-in text"] == found["burned-in callipers"] == 0
    pixels[0, 40:49, 60] = pixels[0, 44, 56:65] = 250.0
    assert features_of(Scan(pixels), 5000)["burned-in callipers"] == 1


def test_features_of_a_colour_volume_are_of_its_middle_slice():
    pixels = np.zeros((3, 40, 50, 3), np.float32)
    pixels[1] = (30, 60, 90)
    found = features_of(Scan(pixels), 3 * 40 * 50)
    assert found["slices"] == 3 and found["mean"] == 60 and found["bytes per pixel"] == 1
    assert table_of([found, found]).shape == (2, len(FEATURES)) and table_of([]).shape == (0, len(FEATURES))


def test_file_size_tells_pneumonia_in_real_radiographs(shared_data):
    """The trap of cxr: how well a picture compresses ranks the label at 0.83 in the adults' hospital."""
    import pandas as pd

    from medtl.scans import read

    frame = pd.read_csv(shared_data / "cxr" / "labels.csv", dtype=str)
    frame = frame[frame.site == "nih"].sample(240, random_state=0)
    files = [shared_data / "cxr" / file for file in frame.file]
    table = table_of([features_of(read(file), file.stat().st_size) for file in files])
    warned = {row.name for row in find_shortcuts(table, FEATURES, frame.label, frame.patient) if row.warn}
    assert {TOGETHER, "bytes per pixel"} <= warned
