"""What a cohort keeps of its scans beside their pixels, and what it leaves in the cache."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medtl import progress
from medtl.data import Cohort, cache
from medtl.errors import InputError
from medtl.intensity.prints import Prints, print_of
from medtl.scans import Manifest
from medtl.scans.read import read

_spec = importlib.util.spec_from_file_location("noise", Path(__file__).parent / "noise.py")
noise = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(noise)
RECIPE, a_manifest = noise.RECIPE, noise.a_manifest


reads = noise.reads


# ---- studies -----------------------------------------------------------------------------------------------------
def of_studies(folder: Path, labels: Sequence[str], studies: list[str], **columns: list[str]) -> Manifest:
    return a_manifest(folder, labels, patient=["P"] * len(labels), study=studies, **columns)


def test_the_series_of_a_study_are_one_bag(tmp_path: Path, reads: list[str]) -> None:
    manifest = of_studies(tmp_path / "a", ["x", "y", "", "y", "x"], ["1", "2", "1", "", "1"])
    series = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache", unit="study")
    assert len(reads) == 5  # they share their entries
    assert len(cohort) == len(cohort.manifest) == len(cohort.patient) == len(cohort.site) == 3
    assert cohort.members == [["a-0", "a-2", "a-4"], ["a-1"], ["a-3"]]
    assert cohort.scan_id.tolist() == cohort.manifest.frame.scan_id.tolist() == ["a-0", "a-1", "a-3"]
    assert cohort.label.tolist() == [0, 1, 1]
    assert cohort.bag_sizes.tolist() == [3, 1, 1]
    whole = series.stacked()
    np.testing.assert_array_equal(cohort.pixels(0), whole[[0, 2, 4]])
    np.testing.assert_array_equal(cohort.gather([2, 0]), whole[[3, 0, 2, 4]])
    with pytest.raises(ValueError, match="for pictures"):
        cohort.stacked()
    assert [len(cohort.prints_of(i)) for i in range(3)] == [3, 1, 1]
    np.testing.assert_array_equal(cohort.prints_of(0).numbers, series.prints.numbers[[0, 2, 4]])

    part = cohort.select([2, 0])
    assert part.members == [["a-0", "a-2", "a-4"], ["a-3"]]
    np.testing.assert_array_equal(part.gather([1, 0]), whole[[3, 0, 2, 4]])
    both = Cohort.join([cohort.select([1]), cohort])
    assert both.members == [["a-1"], ["a-0", "a-2", "a-4"], ["a-3"]]
    np.testing.assert_array_equal(both.pixels(1), whole[[0, 2, 4]])
    with pytest.raises(InputError, match="one cohort is of series and one of studies"):
        Cohort.join([cohort, series])


def test_a_study_whose_series_contradict_each_other_fails_alone(tmp_path: Path) -> None:
    manifest = of_studies(tmp_path / "a", ["x", "y", "y", "x"], ["1", "2", "1", "3"])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache", unit="study")
    assert cohort.scan_id.tolist() == ["a-1", "a-3"]
    assert set(cohort.failed) == {"a-0", "a-2"}
    assert "different labels, 'x' and 'y'" in cohort.failed["a-0"]
    with pytest.raises(InputError, match=r"none of the 2 scans could be prepared.*different labels"):
        Cohort(manifest.select(["a-0", "a-2"]), RECIPE, cache=tmp_path / "cache", unit="study")


def test_a_series_that_cannot_be_read_leaves_its_study_the_others(tmp_path: Path) -> None:
    manifest = of_studies(tmp_path / "a", ["x", "x", "y"], ["1", "1", "2"])
    Path(manifest.frame.path[0]).write_bytes(b"no picture")
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache", unit="study")
    assert cohort.members == [["a-1"], ["a-2"]]
    assert set(cohort.failed) == {"a-0"}


# ---- prints and the cache's size ---------------------------------------------------------------------------------
def test_prints_are_of_the_scans_as_read_also_from_the_cache(tmp_path: Path, reads: list[str]) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y", "x"])
    expected = Prints.of(print_of(read(row)) for row in manifest)
    for _ in range(2):
        cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
        assert len(reads) == 3
        np.testing.assert_array_equal(cohort.prints.numbers, expected.numbers)
        assert [each.modality for each in cohort.prints] == ["", "", ""]
    np.testing.assert_array_equal(cohort.select([2]).prints.numbers, expected.numbers[[2]])
    joined = Cohort.join([cohort.select([2]), cohort.select([0])])
    np.testing.assert_array_equal(joined.prints.numbers, expected.numbers[[2, 0]])


def test_an_entry_of_which_other_things_were_told_is_made_again(tmp_path: Path, reads: list[str]) -> None:
    manifest = a_manifest(tmp_path / "a", ["x"])
    entry = Path(Cohort(manifest, RECIPE, cache=tmp_path / "cache")._entry(0))
    cache.store(entry, np.zeros((1, 1, 24, 24), np.float32), "{}")
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(reads) == 2
    assert cohort.stacked().std() > 0


def test_the_cache_stays_within_its_size_and_keeps_what_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day passes after each cohort; the first is gone, the second is still held."""
    progress.set_mode("auto")  # another test may have left it quiet

    def a_day_passes() -> None:
        for file in (tmp_path / "cache").rglob("*.npy"):
            os.utime(file, (file.stat().st_mtime - 86_400,) * 2)

    def cohort_of(name: str, n: int) -> Cohort:
        return Cohort(a_manifest(tmp_path / name, ["x"] * n), RECIPE, cache=tmp_path / "cache")

    monkeypatch.setenv("MEDTL_CACHE_SIZE", "30 kB")  # 11 entries of 2.6 kB
    gone = cohort_of("a", 5).select([0, 1])
    del gone
    gc.collect()
    a_day_passes()
    held = cohort_of("b", 4)
    capsys.readouterr()
    a_day_passes()
    last = cohort_of("c", 4)
    assert "2 old entries went" in capsys.readouterr().out
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 11
    assert all(Path(cohort._entry(i)).exists() for cohort in (held, last) for i in range(4))
    a_day_passes()
    part = held.select([1, 3])
    del held, last
    gc.collect()
    new = cohort_of("d", 12)
    assert "alone are 28 kB in the cache" not in capsys.readouterr().err
    assert all(Path(cohort._entry(i)).exists() for cohort in (part, new) for i in range(len(cohort)))
    new = cohort_of("e", 20)
    told = capsys.readouterr()
    assert "These scans alone are 46 kB in the cache, over its 30 kB" in told.err
    assert all(Path(new._entry(i)).exists() for i in range(20))


def test_many_scans_leave_no_file_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("/proc/self/fd tells, which is Linux")
    cohort = Cohort(a_manifest(tmp_path / "a", ["x", "y"] * 20), RECIPE, cache=tmp_path / "cache")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for i in range(40):
        cohort.pixels(i)
    cohort.gather(np.arange(40))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_two_processes_fill_and_prune_one_cache_at_once(tmp_path: Path) -> None:
    """The cap is so small that each takes away what it may; neither sees half an entry."""
    manifest = a_manifest(tmp_path / "a", ["x", "y"] * 40)
    manifest.save(tmp_path / "manifest.csv")
    program = """if True:
        import sys, numpy as np
        from dataclasses import replace
        from medtl import progress
        from medtl.data import Cohort
        from medtl.intensity import RECIPES
        from medtl.scans import Manifest
        progress.set_mode("quiet")
        recipe = replace(RECIPES["picture"], size=24)
        for _ in range(3):
            cohort = Cohort(Manifest.load(sys.argv[1]), recipe, cache=sys.argv[2])
        np.save(sys.argv[3], cohort.stacked())
    """
    environment = {**os.environ, "MEDTL_CACHE_SIZE": "1 kB", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, tmp_path / "manifest.csv", tmp_path / "cache"]
    running = [
        subprocess.Popen([*map(str, command), str(tmp_path / f"{n}.npy")], env=environment, stderr=subprocess.PIPE)
        for n in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        assert b"These scans alone are" in errors
    expected = np.concatenate([RECIPE(read(row)) for row in manifest])
    for n in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"{n}.npy"), expected)
    assert not list((tmp_path / "cache").rglob("*.part"))
