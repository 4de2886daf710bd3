"""A manifest comes back from disk as it was, moves with its folder, and says what a person wrote wrongly."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans import Manifest
from medtl.scans.file_lists import FileLists
from medtl.scans.label_words import label_of
from medtl.scans.manifest import COLUMNS, FACTS

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def manifest(rows: Sequence[dict[str, str]], folder: Path = Path("/scans")) -> Manifest:
    """Rows as given, the rest filled in."""
    whole = [
        dict.fromkeys(COLUMNS, "") | {"scan_id": f"{i:012x}", "path": str(folder / f"{i}.png"), "status": "ok"} | row
        for i, row in enumerate(rows)
    ]
    return Manifest(pd.DataFrame(whole, columns=[*COLUMNS, *{k: 0 for row in rows for k in row if k not in COLUMNS}]))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"label": TEXT.map(label_of), **dict.fromkeys(("patient", "site", "reason", "age", "image"), TEXT)}
        )
    )
)
def test_it_comes_back_from_disk(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    before = manifest(rows or [{}], folder)
    after = Manifest.load(before.save(folder / "manifest.csv"))
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.digest() == before.digest()


def test_a_row() -> None:
    (row,) = manifest([{"patient": "P-1", "label": "benign", "scanner": "GE"}])
    assert (row.patient, row.label, row.files, row.extra) == (
        "P-1",
        "benign",
        (Path("/scans/0.png"),),
        {"scanner": "GE"},
    )


def test_parts() -> None:
    m = manifest(
        [
            {"label": "benign", "split": "train", "birads": "2"},
            {"label": "malignant;benign", "split": "test"},
            {"split": "test", "patient": "P-1"},
            {"status": "unreadable", "reason": "cut off", "label": "nothing"},
        ]
    )
    assert (len(m), len(m.usable), len(m.labelled), m.classes) == (4, 3, 2, ["benign", "malignant"])
    assert list(m.split("test").frame.scan_id) == [f"{i:012x}" for i in (1, 2)]
    assert set(m.without_labels().frame.label) == {""}
    assert "birads" not in m.without_labels().frame
    assert list(m.groups) == [f"{0:012x}", f"{1:012x}", "P-1", f"{3:012x}"]
    chosen = [f"{i:012x}" for i in (2, 0)]
    assert list(m.select(chosen).frame.scan_id) == chosen
    assert list(m.select(np.array([True, False, False, True])).frame.status) == ["ok", "unreadable"]
    with pytest.raises(KeyError):
        m.select(["not there"])
    assert len(m.select([])) == 0
    assert len(m.select([]).usable) == 0
    with pytest.raises(ValueError, match="validation"):
        m.split("validation")


def test_the_digest_knows_content_and_no_paths() -> None:
    one, other = manifest([{"label": "a"}, {"label": "b"}]), manifest([{"label": "a"}, {"label": "b"}], Path("/moved"))
    assert one.digest() == other.digest() == one.select([f"{1:012x}", f"{0:012x}"]).digest()
    assert one.digest() != manifest([{"label": "a"}, {"label": "c"}]).digest()


def test_it_moves_with_its_scans(tmp_path: Path) -> None:
    scans = tmp_path / "here" / "scans"
    scans.mkdir(parents=True)
    series = tuple(scans / f"{i}.dcm" for i in range(3))
    before = manifest([{"path": str(series[0]), "n_files": "3"}, {"path": str(scans / "a.png"), "n_files": "1"}])
    before.files[f"{0:012x}"] = series
    before.save(tmp_path / "here" / "m.csv")
    assert str(tmp_path) not in (tmp_path / "here" / "m.csv").read_text()
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = [row.files for row in Manifest.load(tmp_path / "there" / "m.csv")]
    there = tmp_path / "there" / "scans"
    assert after == [tuple(there / f"{i}.dcm" for i in range(3)), (there / "a.png",)]

    (tmp_path / "there" / "m.files.parquet").write_bytes(b"not a parquet")
    with pytest.raises(InputError, match="is damaged"):
        Manifest.load(tmp_path / "there" / "m.csv")
    (tmp_path / "there" / "m.files.parquet").unlink()
    with pytest.raises(InputError, match=r"has 3 files, and m\.files\.parquet that lists them is missing"):
        Manifest.load(tmp_path / "there" / "m.csv")


def test_nothing_is_overwritten_and_no_old_list_of_files_stays(tmp_path: Path) -> None:
    with_series = manifest([{}])
    with_series.files[f"{0:012x}"] = (Path("/scans/1.dcm"), Path("/scans/2.dcm"))
    path = with_series.save(tmp_path / "m.csv")
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        manifest([{"label": "other"}]).save(path)
    assert path.read_bytes() == before
    manifest([{"label": "other"}]).save(path, force=True)
    assert [file.name for file in tmp_path.iterdir()] == ["m.csv"]
    with pytest.raises(InputError, match=r"ends in \.csv or \.json"):
        with_series.save(tmp_path / "m.xlsx")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("label,split", "lable,split", 'needs the column "label"; "lable" stands there instead'),
        ("label,split", "diagnosis,split", 'needs the column "label"; add it'),
        (",train,", ",trian,", "the split 'trian' is not known; did you mean 'train'?"),
        (",ok,", ",okay,", "the status 'okay' is not known; did you mean 'ok'?"),
        ("000000000001", "000000000000", "the scan_id 000000000000 stands there twice"),
        ("000000000001", "", "a row has no scan_id"),
    ],
)
def test_what_a_person_wrote_wrongly(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = manifest([{"split": "train"}, {"split": "train"}]).save(tmp_path / "m.csv")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError) as error:
        Manifest.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert says in str(error.value)


def test_a_labels_file_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\na.png,benign\n")
    with pytest.raises(InputError, match=r"medtl index FOLDER --labels labels\.csv"):
        Manifest.load(tmp_path / "labels.csv")


def test_one_table_of_several() -> None:
    one, copy = manifest([{"label": "a"}]), manifest([{"label": "a"}], Path("/copy"))
    both = Manifest.concat([one, copy, one])
    assert list(both.frame.path) == ["/scans/0.png", "/copy/0.png"]
    assert both.frame.scan_id.is_unique
    assert len(Manifest.concat([])) == 0


def test_groups_are_patients_files_of_several_volumes_and_scans() -> None:
    m = manifest(
        [
            {"patient": "P-1", "volume": "0", "path": "/s/a.nii"},
            {"volume": "0", "path": "/s/b.nii"},
            {"volume": "1", "path": "/s/b.nii"},
            {"volume": "", "path": "/s/c.nii"},
            {"volume": "3", "path": "/s/d.npz/train_images.npy"},
        ]
    )
    assert list(m.groups) == ["P-1", "/s/b.nii", "/s/b.nii", f"{3:012x}", f"{4:012x}"]


def test_an_old_manifest_without_the_newer_facts_loads(tmp_path: Path) -> None:
    before = manifest([{"modality": "US", "size": "2 x 2", "n_files": "1"}])
    row = next(iter(Manifest.load(before.save(tmp_path / "m.csv"))))
    assert row.extra == {"modality": "US", "size": "2 x 2", "n_files": "1"}


def test_lists_of_files_are_as_a_dictionary_of_paths() -> None:
    one, other = (Path("/s/a"), Path("/s/b")), (Path("/s/a"), Path("/t/b"))
    lists = FileLists({"one": one, "other": other, "none": (), "bare": (Path("a"),)})
    assert lists == {"one": one, "other": other, "none": (), "bare": (Path("a"),)}
    assert lists.texts("other") == ["/s/a", "/t/b"] and lists.texts("absent") == []
    del lists["one"]
    assert FileLists(lists, {"other"}) == {"other": other}
    with pytest.raises(KeyError):
        lists["one"]


def test_no_object_a_row_is_kept(tmp_path: Path) -> None:
    rows = 3_000
    frame = pd.DataFrame(dict.fromkeys((*COLUMNS, *FACTS), [""] * rows), dtype=object)
    frame["scan_id"] = [f"{i:012x}" for i in range(rows)]
    frame["path"] = [str(tmp_path / f"patient {i // 9}" / f"{i}.dcm") for i in range(rows)]
    frame["status"], frame["phash"] = "ok", "f" * 64
    series = {f"{i:012x}": tuple(tmp_path / f"{i}" / f"{k}.dcm" for k in range(20)) for i in range(0, rows, 20)}
    before = Manifest(frame, series)
    Manifest.load(before.save(tmp_path / "m.csv"))  # what is imported for it
    tracemalloc.start()
    path = before.save(tmp_path / "m.csv", force=True)
    after = Manifest.load(path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.files == before.files
    assert kept < rows * 200, "bytes that Python holds; pandas has the cells as one text a column"
    assert peak < 40e6


@pytest.mark.parametrize("name", ["m.csv", "m.json"])
def test_a_label_that_a_person_wrote_as_uncertain_is_none(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    m = manifest(
        [{"label": "benign"}, {"label": "Unknown", "notes": "seen"}, {"label": " cyst; benign;"}, {"label": "-"}]
    )
    after = Manifest.load(m.save(tmp_path / name))
    assert after.frame.label.tolist() == ["benign", "", "benign;cyst", ""]
    assert after.frame.notes.tolist() == ["", "seen; uncertain label: Unknown", "", ""]
    assert f"{name}: 1 uncertain labels: those scans stay unlabelled" in capsys.readouterr().out
    assert after.classes == ["benign", "cyst"]
