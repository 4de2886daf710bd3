"""The copies are the scanner's files under other names, and each measurement measures what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medtl.scans import read_scan

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def reading(shared_data):
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("reading", BENCHMARKS / "reading.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module


@pytest.fixture(scope="module")
def copied(reading, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    assert reading.copies(folder, 151) == 300
    return folder


def test_a_copy_has_its_own_uids_and_patient_and_all_else_as_it_was(reading, copied):
    own = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID")
    seen: dict[str, set[str]] = {keyword: set() for keyword in own}
    for folder in sorted(copied.iterdir()):
        series = "mr_0006" if int(folder.name) % 2 else "mr_0004"
        for file in sorted(folder.iterdir())[::30]:
            original = reading.GE / series / file.name
            assert file.stat().st_size == original.stat().st_size
            one, other = pydicom.dcmread(file), pydicom.dcmread(original)
            assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
            for keyword in own:
                assert one[keyword].value != other[keyword].value
                seen[keyword].add(one[keyword].value)
            changed = {a.tag for a, b in zip(one, other, strict=True) if a != b and a.VR not in ("UI", "SQ")}
            assert changed == {one["PatientID"].tag}
    assert len(seen["SeriesInstanceUID"]) == len(seen["StudyInstanceUID"]) == len(seen["PatientID"]) == 2
    assert len(seen["SOPInstanceUID"]) == 10


def test_medtl_and_pydicom_go_through_the_same_files(reading, copied):
    held = np.ones(2**26)  # half a GiB here, which are not the child's
    found = reading.in_a_child("medtl, one process", copied)
    assert found["files"] == 300 == reading.by_pydicom(copied)
    assert 0 < found["seconds"] < 60 and 50 < found["peak"] < held.nbytes / 2**20


def test_the_made_ct_is_one_volume_in_hounsfield_units(reading, tmp_path):
    files = reading.made_ct(tmp_path, slices=4, size=16)
    scan = read_scan(files)
    assert scan.pixels.shape == (4, 16, 16) and scan.modality == "CT"
    np.testing.assert_allclose(scan.spacing, (1, 0.703125, 0.703125))
    assert -1000 < scan.pixels.min() < scan.pixels.max() < 600
    assert pydicom.dcmread(files[0]).InstanceNumber != 1 or pydicom.dcmread(files[1]).InstanceNumber != 2


def test_series_are_measured_beside_the_readers_that_can(reading, tmp_path):
    found = reading.measure_series(reading.made_ct(tmp_path, slices=4, size=16), repeats=2)
    assert set(found["times"]) == {"medtl", "MONAI", "SimpleITK"} and not found["cannot"]
    assert all(len(times) == 2 and min(times) > 0 for times in found["times"].values())
    lines = reading.series_table({"a": found, "b": {**found, "times": {"medtl": [1.0, 1.2]}}}).splitlines()
    assert lines[3].startswith("| b | 1100.0 ms (1000.0 to 1200.0) | cannot |")


def test_one_file_at_each_place(reading):
    chosen = reading.one_time_point(sorted((reading.GE / "mr_0004").glob("*.dcm")))
    assert len(chosen) == 15
    assert sorted(pydicom.dcmread(file).InstanceNumber for file in chosen) == list(range(1, 16))


def test_memory_is_that_of_a_process_which_indexes_so_many_pictures(reading, monkeypatch):
    def in_a_child(name, folder):
        pictures = [path.read_bytes() for path in folder.rglob("*.png")]
        return {"files": len(set(pictures)), "peak": 321.0, "worker": 1.0, "seconds": 2.0, "name": name}

    monkeypatch.setattr(reading, "in_a_child", in_a_child)
    found = reading.measure_memory(1040)
    assert (found["files"], found["name"]) == (1040, "medtl")
    assert "| 1,040 | 321 MiB | 1 MiB | 2 s |" in reading.memory_table({1040: found})


def test_ratios_are_taken_run_by_run(reading):
    times = {"medtl": [1.0, 2.0], "medtl, one process": [2.0, 4.0], "pydicom": [5.0, 10.0]}
    table = reading.index_table({"files": 1000, "times": times, "shell": {"again": [1.0]}})
    assert "| medtl | 1.50 s (1.00 to 2.00) | 1500 µs | 5.0 times as fast |" in table
    assert "nothing changed | 1.00 s" in table
