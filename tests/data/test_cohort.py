"""A cohort prepares each scan once, in order, and says which it could not."""

from __future__ import annotations

import importlib.util
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medtl.data import Cohort, cache
from medtl.errors import InputError
from medtl.intensity import RECIPES
from medtl.scans import Manifest
from medtl.scans.manifest import COLUMNS
from medtl.scans.read import read

_spec = importlib.util.spec_from_file_location("noise", Path(__file__).parent / "noise.py")
noise = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(noise)
RECIPE, RANDOM, a_manifest = noise.RECIPE, noise.RANDOM, noise.a_manifest


reads = noise.reads


def test_a_cohort_is_its_manifest_in_order(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["sick", "well", "", "well"], site="north")
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(cohort) == 4
    assert cohort.classes == ("sick", "well")
    assert cohort.label.tolist() == [0, 1, -1, 1]
    assert cohort.label.dtype == np.int64
    assert cohort.scan_id.tolist() == list(manifest.frame.scan_id)
    assert cohort.patient.tolist() == ["P-0", "P-0", "P-1", "P-1"]
    assert (cohort.site_names, cohort.site.tolist()) == (("north",), [0, 0, 0, 0])
    assert cohort.bag_sizes.tolist() == [1, 1, 1, 1]
    assert cohort.failed == {}
    assert not cohort.multilabel
    for i, row in enumerate(manifest):
        np.testing.assert_array_equal(cohort.pixels(i), RECIPE(read(row)))
    stack = cohort.stacked()
    assert (stack.shape, stack.dtype) == ((4, 1, 24, 24), np.float32)
    for i in range(4):
        np.testing.assert_array_equal(cohort.pixels(i), stack[i][None])
    pd.testing.assert_frame_equal(cohort.manifest.frame, manifest.frame)


def test_torch_takes_the_pixels_as_they_are(tmp_path: Path) -> None:
    import torch

    cohort = Cohort(a_manifest(tmp_path / "a", ["x", "y"]), RECIPE, cache=tmp_path / "cache")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.from_numpy(cohort.pixels(0)).shape == (1, 1, 24, 24)


def test_scans_are_read_once(tmp_path: Path, reads: list[str]) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y", "x"])
    first = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert sorted(reads) == ["a-0", "a-1", "a-2"]
    second = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(reads) == 3
    np.testing.assert_array_equal(first.stacked(), second.stacked())
    Cohort(manifest, replace(RECIPE, size=32), cache=tmp_path / "cache")
    assert len(reads) == 6
    Cohort(manifest, RECIPE)  # the folder of MEDTL_CACHE
    assert len(reads) == 9
    assert list(Path(os.environ["MEDTL_CACHE"]).rglob("*.npy"))


def test_a_file_changed_in_place_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    before = Cohort(manifest, RECIPE, cache=tmp_path / "cache").stacked().copy()
    path = Path(manifest.frame.path[1])
    dates = path.stat()
    Image.fromarray(RANDOM.integers(0, 256, (30, 26), dtype=np.uint8)).save(path)
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # nor does its date tell
    after = Cohort(manifest, RECIPE, cache=tmp_path / "cache").stacked()
    assert reads[2:] == ["a-1"]
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0.1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "folder gone"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, reads: list[str], damage: str) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    before = Cohort(manifest, RECIPE, cache=tmp_path / "cache").stacked().copy()
    entry = sorted((tmp_path / "cache").rglob("*.npy"))[0]
    content = bytearray(entry.read_bytes())
    content[-200] ^= 1
    entry.write_bytes({"cut": content[:-30], "flipped": content}.get(damage, b""))
    if damage == "folder gone":
        entry.unlink()
    after = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(reads) == 3
    np.testing.assert_array_equal(before, after.stacked())


@pytest.mark.parametrize("damage", ["gone", "cut", "of another size"])
def test_an_entry_lost_while_in_use_is_made_again(tmp_path: Path, reads: list[str], damage: str) -> None:
    cohort = Cohort(a_manifest(tmp_path / "a", ["x", "y"]), RECIPE, cache=tmp_path / "cache")
    expected = [np.array(cohort.pixels(i)) for i in range(2)]

    def lose() -> None:
        for entry in (tmp_path / "cache").rglob("*.npy"):
            content = entry.read_bytes()
            entry.unlink()
            if damage == "cut":
                entry.write_bytes(content[:1000])
            elif damage == "of another size":
                cache.store(entry, np.zeros((1, 1, 32, 32), np.float32))

    lose()
    np.testing.assert_array_equal(cohort.gather([1, 0, 1]), np.concatenate([expected[1], expected[0], expected[1]]))
    assert sorted(reads[2:]) == ["a-0", "a-1"]
    if damage == "gone":
        lose()
        np.testing.assert_array_equal(cohort.pixels(1), expected[1])
        assert len(reads) == 5


def test_an_entry_lost_for_good_says_why(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    for entry in (tmp_path / "cache").rglob("*.npy"):
        entry.unlink()
    Path(manifest.frame.path[0]).unlink()
    Path(manifest.frame.path[1]).write_bytes(b"another scan")
    with pytest.raises(InputError, match=r"a-0 was lost .* cannot be prepared again: the file is not there"):
        cohort.pixels(0)
    with pytest.raises(InputError, match=r"a-1 was lost .* its file has changed since") as told:
        cohort.gather([1])
    assert str(tmp_path) not in str(told.value)


def test_bad_scans_among_good_ones_are_dropped_with_their_reason(tmp_path: Path) -> None:
    manifest = a_manifest(
        tmp_path / "a",
        ["x", "y", "x", "y", "x", "y"],
        status=["ok", "ok", "ok", "unreadable", "set aside", "ok"],
        reason=["", "", "", "the picture is cut off", "a report", ""],
    )
    Path(manifest.frame.path[0]).write_bytes(b"\x89PNG\r\n\x1a\n half of it")
    Path(manifest.frame.path[1]).unlink()
    Image.new("L", (20, 20), 7).save(manifest.frame.path[2])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert cohort.scan_id.tolist() == ["a-5"]
    assert cohort.manifest.frame.scan_id.tolist() == ["a-5"]
    assert cohort.label.tolist() == [1]
    assert cohort.stacked().shape[0] == len(cohort) == len(cohort.patient) == len(cohort.site) == 1
    assert set(cohort.failed) == {"a-0", "a-1", "a-2", "a-3"}
    assert cohort.failed["a-1"] == "the file is not there: index the folder again"
    assert "same value" in cohort.failed["a-2"]
    assert cohort.failed["a-3"] == "the picture is cut off"
    assert not any(str(tmp_path) in reason for reason in cohort.failed.values())


def test_a_path_that_is_a_folder_or_nothing_fails_alone(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y", "x"])
    paths = [manifest.frame.path[0], str(tmp_path), ""]
    cohort = Cohort(Manifest(manifest.frame.assign(path=paths)), RECIPE, cache=tmp_path / "cache")
    assert cohort.scan_id.tolist() == ["a-0"]
    assert cohort.failed["a-1"] == "a folder, not a scan: index it"
    assert "index the folder again" in cohort.failed["a-2"]


def test_every_volume_of_one_file_and_every_picture_of_one_array_has_its_own_entry(tmp_path: Path) -> None:
    series = RANDOM.normal(size=(12, 11, 10, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(series, np.eye(4)), tmp_path / "time.nii.gz")
    pictures = RANDOM.integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", train_images=pictures, train_labels=np.arange(4)[:, None])
    rows = [("time.nii.gz", number) for number in range(3)]
    rows += [("x.npz/train_images.npy", number) for number in range(4)]
    known = {**dict.fromkeys(COLUMNS, ""), "site": "here", "status": "ok", "label": "x"}
    manifest = Manifest(
        pd.DataFrame(
            {**known, "scan_id": f"s{place}", "path": str(tmp_path / name), "volume": str(number)}
            for place, (name, number) in enumerate(rows)
        )
    )
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(cohort) == 7 and cohort.failed == {}
    assert len(set(cohort._entries)) == 7
    for place, (name, number) in enumerate(rows):
        np.testing.assert_array_equal(cohort.pixels(place), RECIPE(read(tmp_path / name, number)))


def test_copies_of_one_picture_share_one_entry(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"] * 20)
    content = Path(manifest.frame.path[0]).read_bytes()
    for path in manifest.frame.path:
        Path(path).write_bytes(content)
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert len(cohort) == 40
    assert len([file for file in (tmp_path / "cache").rglob("*") if file.is_file()]) == 1
    assert (cohort.stacked() == cohort.stacked()[0]).all()


def test_a_full_disk_stops_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, mode: str = "r", **how):
        if mode == "wb":
            raise OSError(28, "No space left on device")
        return opened(path, mode, **how)

    opened = Path.open
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="the disk is full"):
        Cohort(manifest, RECIPE, cache=tmp_path / "cache")


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    for path in manifest.frame.path:
        Path(path).write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of the 2 scans could be prepared; the first, a-0: "):
        Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    with pytest.raises(InputError, match="holds no scans that can be used"):
        Cohort(manifest.select(np.array([False, False])), RECIPE, cache=tmp_path / "cache")


def test_source_and_target_agree_on_the_classes(tmp_path: Path) -> None:
    source = Cohort(a_manifest(tmp_path / "a", ["well", "sick"]), RECIPE, cache=tmp_path / "cache")
    target = a_manifest(tmp_path / "b", ["well", "", "well"])
    cohort = Cohort(target, RECIPE, cache=tmp_path / "cache", classes=source.classes)
    assert cohort.classes == ("sick", "well")
    assert cohort.label.tolist() == [1, -1, 1]
    other = a_manifest(tmp_path / "c", ["Well", "sick"])
    with pytest.raises(InputError, match=r"labels 'Well', 'sick', of which 'Well' is not .* classes 'sick', 'well'"):
        Cohort(other, RECIPE, cache=tmp_path / "cache", classes=source.classes)
    assert Cohort(other.without_labels(), RECIPE, classes=source.classes).label.tolist() == [-1, -1]


def test_a_scan_can_have_several_labels(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["mass;effusion", "mass", "", "effusion; mass"])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    assert cohort.multilabel
    assert cohort.classes == ("effusion", "mass")
    assert cohort.label.dtype == np.float32
    np.testing.assert_array_equal(cohort.label, [[1, 1], [0, 1], [np.nan, np.nan], [1, 1]])
    one_each = a_manifest(tmp_path / "b", ["mass", "effusion"])
    target = Cohort(one_each, RECIPE, cache=tmp_path / "cache", classes=cohort.classes, multilabel=True)
    np.testing.assert_array_equal(target.label, [[0, 1], [1, 0]])
    assert len(Cohort.join([cohort, target])) == 6


def test_select_and_join(tmp_path: Path, reads: list[str]) -> None:
    north = Cohort(a_manifest(tmp_path / "n", ["x", "y", "x"], site="north"), RECIPE, cache=tmp_path / "cache")
    south = Cohort(a_manifest(tmp_path / "s", ["y", "x"], site="east"), RECIPE, cache=tmp_path / "cache")
    south.failed["s-9"] = "cut off"
    whole = Cohort.join([north, south])
    assert whole.scan_id.tolist() == ["n-0", "n-1", "n-2", "s-0", "s-1"]
    assert whole.manifest.frame.scan_id.tolist() == whole.scan_id.tolist()
    assert whole.site_names == ("east", "north")
    assert whole.site.tolist() == [1, 1, 1, 0, 0]
    assert whole.label.tolist() == [0, 1, 0, 1, 0]
    assert whole.failed == {"s-9": "cut off"}
    np.testing.assert_array_equal(whole.stacked(), np.concatenate([north.stacked(), south.stacked()]))
    for part in (whole.select(whole.label == 1), whole.select([3, 1])):
        assert part.scan_id.tolist() == ["n-1", "s-0"]
        assert part.manifest.frame.scan_id.tolist() == ["n-1", "s-0"]
        assert part.site.tolist() == [1, 0]
        assert part.site_names == whole.site_names
        assert part.failed == {}
        np.testing.assert_array_equal(part.pixels(1), south.pixels(0))
        np.testing.assert_array_equal(part.stacked()[0], north.stacked()[1])
    assert len(whole) == 5
    assert len(reads) == 5
    with pytest.raises(InputError, match="no scan is left"):
        whole.select(whole.label == 7)


def test_join_counts_the_same_file_once_and_keeps_copies(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    both = Cohort.join([cohort.select([0]), cohort])
    assert both.scan_id.tolist() == ["a-0", "a-1"]
    assert len(both.label) == len(both.stacked()) == 2
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(manifest.frame.path[0]).read_bytes())
    copies = Cohort(Manifest(manifest.frame.iloc[:1].assign(path=str(copy))), RECIPE, classes=cohort.classes)
    joined = Cohort.join([cohort, copies])
    assert len(joined) == len(set(joined.scan_id)) == 3
    np.testing.assert_array_equal(joined.pixels(2), joined.pixels(0))


def test_join_refuses_what_does_not_fit(tmp_path: Path) -> None:
    manifest = a_manifest(tmp_path / "a", ["x", "y"])
    cohort = Cohort(manifest, RECIPE, cache=tmp_path / "cache")
    with pytest.raises(InputError, match="different recipes"):
        Cohort.join([cohort, Cohort(manifest, replace(RECIPE, size=32), cache=tmp_path / "cache")])
    with pytest.raises(InputError, match="label sets differ, 'x', 'y' and 'x', 'y', 'z'"):
        Cohort.join([cohort, Cohort(manifest, RECIPE, cache=tmp_path / "cache", classes=["x", "y", "z"])])


def test_volumes_are_bags_of_slices(tmp_path: Path) -> None:
    rows = []
    for number, depth in enumerate((3, 40)):
        path = tmp_path / f"{number}.nii.gz"
        volume = RANDOM.normal(500, 100, (20, 22, depth)).astype(np.float32)
        nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 3.0, 1.0])), path)
        known = {"scan_id": f"v{number}", "site": "here", "status": "ok", "path": str(path)}
        rows.append({**dict.fromkeys(COLUMNS, ""), **known})
    recipe = replace(RECIPES["mr"], size=24)
    cohort = Cohort(Manifest(pd.DataFrame(rows)), recipe, cache=tmp_path / "cache")
    assert cohort.bag_sizes.tolist() == [3, 16]
    assert [cohort.pixels(i).shape for i in range(2)] == [(3, 1, 24, 24), (16, 1, 24, 24)]
    assert cohort.patient.tolist() == ["v0", "v1"]  # unknown: each its own
    np.testing.assert_array_equal(cohort.gather([1, 0]), np.concatenate([cohort.pixels(1), cohort.pixels(0)]))
    with pytest.raises(ValueError, match="for pictures"):
        cohort.stacked()


def test_real_scans_are_prepared_in_a_few_milliseconds_each(shared_data: Path, tmp_path: Path) -> None:
    labels = pd.read_csv(shared_data / "ultrasound" / "labels.csv").query("site == 'egypt'").head(100)
    table = pd.DataFrame({name: [""] * len(labels) for name in COLUMNS})
    table["scan_id"] = [f"e{number}" for number in range(len(labels))]
    table["path"] = [str(shared_data / "ultrasound" / file) for file in labels.file]
    table["label"], table["patient"] = labels.label.to_numpy(), labels.patient.astype(str).to_numpy()
    table["status"] = "ok"
    start = time.perf_counter()
    cohort = Cohort(Manifest(table), RECIPES["ultrasound"], cache=tmp_path / "cache")
    assert time.perf_counter() - start < 10  # 0.3 s alone on two cores
    assert cohort.failed == {}
    assert cohort.stacked().shape == (100, 1, 112, 112)
    assert 0.2 < cohort.stacked().std() < 0.9
