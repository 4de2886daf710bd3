"""A manifest and a MONAI datalist are one file, and each world reads it as its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans import Manifest
from medtl.scans.datalist import image_files, is_datalist
from medtl.scans.labels import Named, join_labels, label_of, read_labels
from medtl.scans.manifest import COLUMNS, SPLITS

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
CLASSES = st.sampled_from(["", "benign", "malignant", "benign;malignant", "cyst", "7"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "label": CLASSES | TEXT.map(label_of),
            "split": st.sampled_from(["", *SPLITS]),
            "status": st.sampled_from(["ok", "ok", "unreadable", "set aside"]),
            **dict.fromkeys(("patient", "site", "reason", "image", "row", "column row", "age"), TEXT),
        }
    ),
    min_size=1,
    max_size=8,
)


def manifest(rows: Sequence[dict[str, str]], folder: Path) -> Manifest:
    whole = [
        dict.fromkeys(COLUMNS, "")
        | {"scan_id": f"{i:012x}", "path": str(folder / f"{i}.png"), "status": "ok", "split": "train"}
        | row
        for i, row in enumerate(rows)
    ]
    return Manifest(pd.DataFrame(whole))


def monai(path: Path, key: str) -> list[dict[str, Any]]:
    from monai.data import load_decathlon_datalist

    return load_decathlon_datalist(str(path), is_segmentation=False, data_list_key=key)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, series=st.integers(0, 3))
def test_it_comes_back_from_disk(
    rows: list[dict[str, str]], series: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("datalist")
    before = manifest(rows, folder)
    if series > 1:
        before.files[before.frame.scan_id[0]] = tuple(folder / ("0.png" if i == 0 else f"s{i}") for i in range(series))
    path = before.save(folder / "dataset.json")
    after = Manifest.load(path)
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.files == before.files
    assert after.digest() == before.digest()
    assert str(folder) not in path.read_text()


def test_what_monai_reads(tmp_path: Path) -> None:
    m = manifest(
        [
            {"label": "malignant", "patient": "P-1", "scanner": "GE", "reason": ""},
            {"label": "benign", "split": "calibrate"},
            {"label": "malignant", "split": "test"},
            {"label": "", "patient": "P-2"},
            {"label": "benign", "status": "unreadable", "reason": "cut off"},
            {"label": "benign", "split": ""},
        ],
        tmp_path,
    )
    series = tuple(tmp_path / "ct" / f"{i}.dcm" for i in (2, 1, 3))
    m.frame.loc[2, "path"] = str(series[0])
    m.files[f"{2:012x}"] = series
    path = m.save(tmp_path / "dataset.json")
    (train,) = monai(path, "training")
    assert train == {
        "image": str(tmp_path / "0.png"),
        "label": 1,
        "label_name": "malignant",
        "row": 0,
        "scan_id": f"{0:012x}",
        "patient": "P-1",
        "status": "ok",
        "scanner": "GE",
    }
    assert [item["label"] for item in monai(path, "validation")] == [0]
    (test,) = monai(path, "test")
    assert test["image"] == [str(file) for file in series]
    assert [item["patient"] for item in monai(path, "unlabelled")] == ["P-2"]
    content = json.loads(path.read_text())
    assert content["labels"] == {"0": "benign", "1": "malignant"}
    assert [item["reason"] for item in content["unusable"]] == ["cut off"]
    assert len(content["unassigned"]) == 1


def test_several_labels_are_marks(tmp_path: Path) -> None:
    m = manifest([{"label": "a;c"}, {"label": "b"}], tmp_path)
    path = m.save(tmp_path / "dataset.json")
    assert [item["label"] for item in monai(path, "training")] == [[1, 0, 1], [0, 1, 0]]


def test_monai_loads_the_volumes(sample_data: Path, tmp_path: Path) -> None:
    from monai.data import Dataset
    from monai.transforms import LoadImaged

    volume = next(iter(sorted(sample_data.rglob("*.nii.gz"))))
    shutil.copy(volume, tmp_path / "a.nii.gz")
    m = manifest([{"label": "x", "path": str(tmp_path / "a.nii.gz")}], tmp_path)
    path = m.save(tmp_path / "dataset.json")
    item = Dataset(monai(path, "training"), LoadImaged("image"))[0]
    assert item["image"].ndim == 3
    assert (item["label"], item["scan_id"]) == (0, f"{0:012x}")


def test_it_moves_with_its_scans(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    manifest([{"label": "x"}], here).save(here / "dataset.json")
    shutil.move(here, there)
    assert Manifest.load(there / "dataset.json").frame.path.tolist() == [str(there / "0.png")]


def test_what_a_person_changed(tmp_path: Path) -> None:
    path = manifest([{"label": "x"}, {"label": "y"}, {"label": ""}], tmp_path).save(tmp_path / "dataset.json")
    content = json.loads(path.read_text())
    content["test"] = [content["training"].pop(0) | {"fold": 3}]
    content["training"][0]["label"] = 0
    content["training"].append(content["unlabelled"].pop() | {"label": 1})
    path.write_text(json.dumps(content))
    after = Manifest.load(path).frame
    assert after.label.tolist() == ["x", "x", "y"]
    assert after.split.tolist() == ["test", "train", "train"]
    assert after.fold.tolist() == ["3", "", ""]

    content["training"][0]["label"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r'dataset\.json: the label 7 is not among "labels" \(0, 1\)'):
        Manifest.load(path)
    content["training"][0] |= {"label": 0, "image": 3}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="image is neither a path nor a list"):
        Manifest.load(path)


@pytest.mark.parametrize(
    "content", [{"a.png": "benign"}, [{"file": "a.png"}], {"training": [{"image": "a.png", "label": 0}]}, {}]
)
def test_json_that_is_no_manifest(tmp_path: Path, content: Any) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"medtl index FOLDER --labels labels\.json"):
        Manifest.load(tmp_path / "labels.json")


def test_a_datalist_of_others_gives_label_and_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dataset.json").write_text(
        json.dumps(
            {
                "labels": {"0": "normal", "1": "tumour"},
                "numTraining": 2,
                "training": [{"image": "./imagesTr/a.nii.gz", "label": 1, "fold": 0}, {"image": "imagesTr/b.nii.gz"}],
                "validation": [{"image": ["imagesTr/c.nii.gz", "imagesTr/c2.nii.gz"], "label": 0}],
                "test": ["imagesTs/d.nii.gz"],
            }
        )
    )
    labels = read_labels(tmp_path / "dataset.json")
    files = ["imagesTr/a.nii.gz", "imagesTr/b.nii.gz", "imagesTr/c.nii.gz", "imagesTs/d.nii.gz", "imagesTs/e.nii.gz"]
    joined = join_labels(labels, [Named((tmp_path / file,), tmp_path) for file in files])
    assert joined.rows == [0, 1, 2, 4, None]
    assert [labels.cells(row)["label"] for row in range(5)] == ["tumour", "", "normal", "normal", ""]
    assert [labels.cells(row)["split"] for row in range(5)] == ["train", "train", "calibrate", "calibrate", "test"]
    assert labels.cells(0)["fold"] == "0"


def test_all_images_of_an_item_have_its_label_and_split(tmp_path: Path) -> None:
    channels = [{"image": [f"{i}_t1.nii", f"{i}_t2.nii"], "label": i % 2} for i in range(2)]
    content = {"training": channels[:1], "unassigned": channels[1:]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "dataset.json", keep_identifiers=True)
    joined = join_labels(labels, [Named((tmp_path / f"{i}_t{j}.nii",), tmp_path) for i in (0, 1) for j in (1, 2)])
    assert joined.rows == [0, 1, 2, 3]
    cells = [labels.cells(row) for row in range(4)]
    assert [(each["label"], each["split"]) for each in cells] == [("0", "train")] * 2 + [("1", "")] * 2
    assert cells[2]["patient"] == cells[3]["patient"] != "", "with no split given, they are dealt as one"
    assert cells[0]["patient"] == ""


def test_a_label_that_is_no_number_is_none(tmp_path: Path) -> None:
    text = '{"training": [{"image": "a", "label": Infinity}, {"image": "b", "label": NaN}, {"image": "c", "label": 1}]}'
    (tmp_path / "dataset.json").write_text(text)
    labels = read_labels(tmp_path / "dataset.json")
    assert [labels.cells(row)["label"] for row in range(3)] == ["", "", "1"]


@pytest.mark.parametrize(
    ("classes", "label", "name"),
    [
        ({"benign": 0, "malignant": 1}, 1, "malignant"),
        (["benign", "malignant"], 0, "benign"),
        ({}, 1, "1"),
        ({}, "malignant", "malignant"),
        ({"0": "a", "1": "b", "2": "c"}, [1, 0, 1], "a;c"),
        ({"0": "a", "1": "b", "2": "c"}, [0, 0, 0], "none"),
        ({"0": "a", "1": "b", "2": "c"}, [2, 1], "b;c"),
        ({}, ["b", "a"], "a;b"),
        ({"0": "a", "1": "b"}, True, "b"),
        ({"0": "a"}, None, ""),
    ],
)
def test_labels_of_others(tmp_path: Path, classes: Any, label: Any, name: str) -> None:
    (tmp_path / "dataset.json").write_text(
        json.dumps({"labels": classes, "training": [{"image": "a", "label": label}]})
    )
    assert read_labels(tmp_path / "dataset.json").cells(0)["label"] == name


def test_a_segmentation_is_no_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"labels": {"0": "background"}, "training": [{"image": "a.nii.gz", "label": "labelsTr/a.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "dataset.json")
    assert labels.cells(0)["label"] == ""
    assert labels.mask_files() == {tmp_path / "labelsTr" / "a.nii.gz"}


def test_our_own_datalist_as_labels(tmp_path: Path) -> None:
    m = manifest([{"label": "b", "patient": "P-12345678", "size": "9 x 9", "age": "40"}, {"label": ""}], tmp_path)
    labels = read_labels(m.save(tmp_path / "dataset.json"))
    scans = [Named((tmp_path / f"{i}.png",), tmp_path) for i in range(2)]
    assert join_labels(labels, scans).rows == [0, 1]
    assert labels.cells(0) == {"patient": "P-12345678", "label": "b", "split": "train", "age": "40"}


def test_the_files_that_a_datalist_lists(tmp_path: Path) -> None:
    content = {"training": [{"image": ["a", "../b"]}, {"image": "/c/d"}], "test": ["e"]}
    assert is_datalist(content)
    assert image_files(content, Path("/x/y")) == {"/x/y/a", "/x/b", "/c/d", "/x/y/e"}
