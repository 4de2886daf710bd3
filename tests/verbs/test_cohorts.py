"""A folder, its labels in any file, a manifest and a datalist are the same scans wherever a verb wants some."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medtl.errors import InputError
from medtl.scans import Manifest, index_folders
from medtl.verbs import _cohorts
from medtl.verbs._cohorts import manifest_of

FINDINGS = ("cyst", "tumour")


def pictures(folder: Path, number: int, seed: int = 0) -> list[Path]:
    rng = np.random.default_rng(seed)
    files = [folder / f"{i:02}.png" for i in range(number)]
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(file)
    return files


def volume(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 1000, (6, 7, 8)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)


def test_a_manifest_saved_as_a_datalist_is_the_same_cohort(tmp_path: Path) -> None:
    for number, finding in enumerate(FINDINGS):
        pictures(tmp_path / "site" / finding, 6, number)
    indexed = manifest_of(tmp_path / "site")
    loaded = manifest_of(indexed.save(tmp_path / "dataset.json"))
    pd.testing.assert_frame_equal(loaded.frame, indexed.frame)
    assert set(loaded.labelled.classes) == set(FINDINGS)
    both = manifest_of([tmp_path / "dataset.json", indexed.save(tmp_path / "m.csv")])
    assert len(both) == len(indexed)


def test_a_datalist_of_another_program_is_a_cohort(tmp_path: Path) -> None:
    files = pictures(tmp_path / "data" / "scans", 9)
    listed = [{"image": f"../data/scans/{file.name}", "label": i % 2} for i, file in enumerate(files[:7])]
    content = {"labels": {"0": "cyst", "1": "tumour"}, "training": listed[:5], "validation": listed[5:6]}
    content["test"] = listed[6:]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "dataset.json").write_text(json.dumps(content))
    m = manifest_of(tmp_path / "lists" / "dataset.json")
    assert len(m) == 7, "what it does not list stays out"
    assert m.frame.sort_values("path").label.tolist() == [FINDINGS[i % 2] for i in range(7)]
    assert m.frame.sort_values("path").split.tolist() == ["train"] * 5 + ["calibrate", "test"]


def test_a_datalist_beside_its_scans_labels_them(tmp_path: Path) -> None:
    files = pictures(tmp_path, 4)
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [{"image": files[1].name, "label": "cyst"}]}))
    m = index_folders(tmp_path)
    assert m.usable.frame.label.tolist() == ["", "cyst", "", ""]
    assert m.usable.frame.split.iloc[1] == "train"
    (only,) = manifest_of(tmp_path / "dataset.json")
    assert only.label == "cyst"


def test_only_the_folders_that_a_datalist_names_are_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, _ = (pictures(tmp_path / "data" / name, 2, seed) for seed, name in enumerate(("a", "b", "elsewhere")))
    listed = [{"image": str(one[0]), "label": "cyst"}, {"image": str(other[1]), "label": "tumour"}]
    (tmp_path / "list.json").write_text(json.dumps({"training": listed[:1], "test": listed[1:]}))
    walked: list[str] = []

    def index(folders: list[str], **options: Any) -> Manifest:
        walked.extend(folders)
        return index_folders(folders, **options)

    monkeypatch.setattr(_cohorts, "index_folders", index)
    m = manifest_of(tmp_path / "list.json")
    assert walked == [str(one[0].parent), str(other[0].parent)]
    assert [(row.path, row.label, row.split) for row in m] == [
        (str(one[0]), "cyst", "train"),
        (str(other[1]), "tumour", "test"),
    ]


def test_a_folder_may_be_the_image(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    folder = tmp_path / "data" / "series"
    folder.mkdir(parents=True)
    shutil.copy(str(get_testdata_file("CT_small.dcm")), folder / "1.dcm")
    pictures(tmp_path / "data", 2)
    (tmp_path / "list.json").write_text(json.dumps({"test": [{"image": "data/series", "label": "cyst"}]}))
    m = manifest_of(tmp_path / "list.json")
    assert [(row.path, row.label, row.split) for row in m] == [(str(folder / "1.dcm"), "cyst", "test")]


def test_what_a_datalist_lists_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"training": [{"image": "/one/a.png"}, {"image": "/other/b.png"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="none of the 2 images that it lists is there"):
        manifest_of(tmp_path / "dataset.json")
    (tmp_path / "dataset.json").write_text('{"training": [{"image": ""}]}')
    with pytest.raises(InputError, match="it lists no image"):
        manifest_of(tmp_path / "dataset.json")
    files = pictures(tmp_path, 2)
    content = {"training": [{"image": files[0].name, "label": "cyst"}, {"image": "gone.png", "label": "cyst"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert len(manifest_of(tmp_path / "dataset.json")) == 1
    assert "1 of the 2 images that it lists are not there" in capsys.readouterr().err


def test_labels_in_json_are_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"a.png": "cyst"}')
    with pytest.raises(InputError, match=r"medtl index FOLDER --labels labels\.json"):
        manifest_of(tmp_path / "labels.json")


def test_a_bids_dataset(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for number, subject in enumerate(("01", "02", "03")):
        for session in ("1", "2"):
            name = f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_T1w.nii.gz"
            volume(root / name, number * 10 + int(session))
    volume(root / "derivatives" / "other" / "sub-01" / "sub-01_T1w.nii.gz", 99)
    (root / "dataset_description.json").write_text('{"Name": "three", "BIDSVersion": "1.8.0"}')
    table = "participant_id\tage\tgroup\nsub-01\t34\tpatient\nsub-02\tn/a\tcontrol\nsub-03\t51\tn/a\n"
    (root / "participants.tsv").write_text(table)
    m = index_folders(root, label_column="group")
    scans = m.usable.frame.sort_values("path")
    assert scans.label.tolist() == ["patient", "patient", "control", "control", "", ""]
    assert scans.age.tolist() == ["34", "34", "", "", "51", "51"]
    assert scans.groupby("patient").size().tolist() == [2, 2, 2]
    assert not scans.patient.str.contains("sub-").any()
    assert not m.frame.path.str.contains("derivatives").any()


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.json", "labels.tsv"])
def test_labels_in_other_files_are_found(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, 4)
    table = pd.DataFrame({"file": [f"{i:02}" for i in range(4)], "label": ["cyst", "tumour", "unclear", ""]})
    if name.endswith("xlsx"):
        table.to_excel(tmp_path / name, index=False)
    elif name.endswith("json"):
        table.to_json(tmp_path / name, orient="records")
    else:
        table.to_csv(tmp_path / name, sep="\t", index=False)
    m = index_folders(tmp_path).usable
    assert m.frame.label.tolist() == ["cyst", "tumour", "", ""]
    assert ["uncertain label: unclear" in notes for notes in m.frame.notes] == [False, False, True, False]


def test_sites_and_splits_by_folder(tmp_path: Path) -> None:
    for number, place in enumerate(
        f"{site}/{split}/{name}" for site in "ab" for split in ("train", "test") for name in FINDINGS
    ):
        pictures(tmp_path / "lab" / place.replace("a/", "hospital a/").replace("b/", "hospital b/"), 2, number)
    m = index_folders(tmp_path / "lab")
    assert isinstance(m, Manifest)
    assert m.sites == ["hospital a", "hospital b"]
    for row in m:
        site, split, name = Path(row.path).parts[-4:-1]
        assert (row.site, row.split, row.label) == (site, split, name)
