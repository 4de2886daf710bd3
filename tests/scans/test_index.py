"""Folders become rows: every file accounted for, nobody's name in clear, nothing found twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medtl.errors import InputError
from medtl.scans import Manifest, check_leaks, index_folders, read, work
from medtl.scans.manifest import COLUMNS, FACTS
from medtl.scans.privacy import keyed_hash

ULTRASOUND, CT = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.2"


def texture(seed: int) -> np.ndarray:
    """uint16 (32, 40): a picture unlike those of other seeds."""
    return np.random.default_rng(seed).integers(0, 1000, (32, 40), dtype=np.uint16)


def write_dicom(path: Path, pixels: np.ndarray, sop_class: str = ULTRASOUND, **fields: Any) -> Path:
    """A plain DICOM file; `fields` are its attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.PatientID = "US", "Jane"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.tobytes()
    for name, value in fields.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, uid: str = "1.2.9", n: int = 4, direction: tuple[int, ...] = (1, 0, 0, 0, 1, 0)) -> None:
    """A CT whose file names do not follow its slices."""
    normal = np.cross(direction[:3], direction[3:])
    for i in range(n):
        write_dicom(
            folder / f"{n - 1 - i}.dcm",
            texture(100 + i),
            CT,
            Modality="CT",
            SeriesInstanceUID=uid,
            InstanceNumber=i + 1,
            ImagePositionPatient=[float(x) for x in normal * 2.5 * i],
            ImageOrientationPatient=list(direction),
            PixelSpacing=[1, 1],
            RescaleSlope=1,
            RescaleIntercept=0,
        )


def write_picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((texture(seed) // 4).astype(np.uint8)).save(path)
    return path


def test_the_sample_data_as_an_archive_exports_it(sample_data: Path) -> None:
    m = index_folders(sample_data / "egypt")
    frame = m.frame
    assert list(frame.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert set(FACTS) <= set(frame)
    assert m.classes == ["benign", "malignant"]
    assert m.sites == ["egypt"]
    reasons = dict(zip(frame.reason, frame.status, strict=True))
    assert reasons["a DICOMDIR, not an image"] == "set aside"
    assert reasons["a structured report, not an image"] == "set aside"
    assert sum(frame.status == "unreadable") == 1
    assert "cut off" in frame.reason[frame.status == "unreadable"].item()
    assert (m.usable.frame.label != "").all()
    assert set(m.usable.frame.split) == {"train", "calibrate", "test"}
    assert frame.patient[frame.status == "ok"].str.fullmatch(r"P-[0-9a-f]{8}").all()
    assert frame.scan_id.str.fullmatch(r"[0-9a-f]{12}").all()
    check_leaks(m)
    files = {file for file in (sample_data / "egypt").rglob("*") if file.is_file() and file.name != "labels.csv"}
    assert {Path(path) for path in frame.path} == files


def test_known_near_duplicates_of_real_scans_stay_together(shared_data: Path, tmp_path: Path) -> None:
    import pandas as pd

    table = pd.read_csv(shared_data / "ultrasound" / "labels.csv", dtype=str)
    table = table[(table.site == "egypt") & table.patient.duplicated(keep=False)].head(40)
    for file in table.file:
        shutil.copy(shared_data / "ultrasound" / file, tmp_path)
    table["file"] = [Path(file).name for file in table.file]
    table[["file", "label"]].to_csv(tmp_path / "labels.csv", index=False)  # its patients are not told
    m = index_folders(tmp_path)
    group = m.frame.group.to_numpy()
    of = dict(zip([Path(path).name for path in m.frame.path], group, strict=True))
    assert all(len({of[file] for file in rows.file}) == 1 for _, rows in table.groupby("patient"))


def test_one_row_for_a_picture_and_one_for_a_series(tmp_path: Path) -> None:
    write_dicom(tmp_path / "us" / "1", texture(1))
    write_dicom(tmp_path / "us" / "2", texture(2))
    write_series(tmp_path / "ct")
    m = index_folders(tmp_path)
    assert sorted(zip(m.frame.modality, m.frame["size"], m.frame.n_files, strict=True)) == [
        ("CT", "4 x 32 x 40", "4"),
        ("US", "32 x 40", "1"),
        ("US", "32 x 40", "1"),
    ]
    (ct,) = [row for row in m if row.extra["modality"] == "CT"]
    scan = read(ct)
    np.testing.assert_array_equal(scan.pixels, [texture(100 + i) for i in range(4)])
    np.testing.assert_array_equal([read(file).pixels[0] for file in ct.files], scan.pixels)


def test_a_scout_with_two_planes_is_two_scans(tmp_path: Path) -> None:
    write_series(tmp_path / "axial", n=3)
    write_series(tmp_path / "coronal", n=2, direction=(1, 0, 0, 0, 0, -1))
    m = index_folders(tmp_path)
    assert sorted(m.frame.n_files) == ["2", "3"]
    assert m.frame.series.nunique() == 1
    assert m.frame.scan_id.is_unique


def test_a_slice_sent_twice_is_one(tmp_path: Path) -> None:
    write_series(tmp_path, n=3)
    shutil.copy(tmp_path / "0.dcm", tmp_path / "copy.dcm")
    assert list(index_folders(tmp_path).frame.n_files) == ["3"]


def test_the_same_picture_under_two_names_and_in_two_folders(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a" / "1.dcm", texture(1), PatientID="Jane")
    write_dicom(tmp_path / "a" / "2.dcm", texture(1), PatientID="Joan")
    write_dicom(tmp_path / "a" / "3.dcm", texture(3), PatientID="Jill")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    m = index_folders([tmp_path / "a", tmp_path / "b"])
    assert m.frame.scan_id.is_unique and len(m) == 6
    groups = m.frame.group.to_numpy().reshape(2, 3)
    assert (groups[0] == groups[1]).all()
    assert groups[0, 0] == groups[0, 1] != groups[0, 2]
    assert m.sites == ["a", "b"]
    check_leaks(m)


def test_identifiers_are_hashed_unless_kept(tmp_path: Path) -> None:
    write_dicom(tmp_path / "1.dcm", texture(1), PatientID="Jane", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    m = index_folders(tmp_path)
    text = m.save(tmp_path / "out" / "m.csv").read_text().replace("1.dcm", "")
    assert not any(name in text for name in ("Jane", "1.2.3", "1.2.4"))
    assert m.frame.patient.item() == keyed_hash("Jane", "P-")
    kept = index_folders(tmp_path / "1.dcm", keep_identifiers=True).frame
    assert kept[["patient", "study", "series"]].to_numpy().tolist() == [["Jane", "1.2.3", "1.2.4"]]


def test_the_patient_of_the_labels_file_wins_and_its_columns_come_along(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scans" / "1.dcm", texture(1), PatientID="header")
    write_dicom(tmp_path / "scans" / "2.dcm", texture(2), PatientID="header", Manufacturer="ACME")
    (tmp_path / "x.csv").write_text(
        "file,label,patient,hospital,split,age,modality\n1,b;a,p1,Köln,val,=40,XX\n2,,,,,,\n", encoding="utf-8"
    )
    m = index_folders(tmp_path / "scans", labels=tmp_path / "x.csv", keep_identifiers=True)
    one, two = m
    assert (one.patient, one.label, one.site, one.split) == ("p1", "a;b", "Köln", "calibrate")
    assert (one.extra["age"], one.extra["modality"]) == ("=40", "XX")
    assert (two.patient, two.label, two.site) == ("header", "", "scans")
    assert (two.extra["age"], two.extra["modality"], two.extra["manufacturer"]) == ("", "US", "ACME")
    assert two.split in ("train", "calibrate", "test")
    named = index_folders(tmp_path / "scans", labels=tmp_path / "x.csv", site="here")
    assert named.sites == ["here"]


def test_masks_and_unfinished_and_hidden_files_are_no_scans(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1)
    write_picture(tmp_path / "masks" / "a.png", 2)
    write_picture(tmp_path / ".cache" / "b.png", 3)
    write_picture(tmp_path / ".c.png", 4)
    shutil.copy(tmp_path / "a.png", tmp_path / "d.png.part")
    (tmp_path / "labels.csv").write_text("file,label,lesion_mask\na.png,x,masks/a.png\n")
    m = index_folders(tmp_path)
    assert [(row.status, row.path) for row in m] == [
        ("ok", str(tmp_path / "a.png")),
        ("set aside", str(tmp_path / "masks" / "a.png")),
    ]


def test_damaged_files_among_good_ones_have_their_rows(tmp_path: Path) -> None:
    write_picture(tmp_path / "good.png", 1)
    whole = write_picture(tmp_path / "cut.png", 2).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.dcm").write_bytes(b"")
    dicom = write_dicom(tmp_path / "cut.dcm", texture(3)).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(dicom[:-200])
    m = index_folders(tmp_path)
    assert dict(zip([Path(row.path).name for row in m], m.frame.status, strict=True)) == {
        "cut.dcm": "unreadable",
        "cut.png": "unreadable",
        "empty.dcm": "unreadable",
        "good.png": "ok",
    }
    assert all(row.reason and str(tmp_path) not in row.reason for row in m if row.status != "ok")
    assert (m.frame.split != "").tolist() == [False, False, False, True]


def test_folders_that_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(6):
        write_picture(tmp_path / ("benign" if i % 2 else "malignant") / f"{i}.png", i)
    m = index_folders(tmp_path)
    assert list(m.frame.label) == ["benign"] * 3 + ["malignant"] * 3
    assert "folders that look like classes: benign (3), malignant (3)" in capsys.readouterr().out


def test_each_folder_has_its_own_labels(tmp_path: Path) -> None:
    for site, label in (("a", "x"), ("b", "y")):
        write_picture(tmp_path / site / "1.png", ord(site))
        (tmp_path / site / "labels.csv").write_text(f"file,label\n1.png,{label}\n")
    m = index_folders([tmp_path / "a", tmp_path / "b", tmp_path / "a"])
    assert [(row.site, row.label) for row in m] == [("a", "x"), ("b", "y")]


def test_ids_stay_when_the_folder_moves(tmp_path: Path) -> None:
    write_picture(tmp_path / "one" / "1.png", 1)
    write_dicom(tmp_path / "one" / "2.dcm", texture(2))
    before = index_folders(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    after = index_folders(tmp_path / "two", site="one")
    assert list(after.frame.scan_id) == list(before.frame.scan_id)
    assert after.digest() == before.digest()


def test_many_files_go_to_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(6):
        write_picture(tmp_path / f"{i}.png", i)
    here = index_folders(tmp_path)
    monkeypatch.setattr(work, "TRIAL", 0.0)
    monkeypatch.setattr(work, "PAYS", 0.0)
    there = index_folders(tmp_path, use_cache=False)
    assert there.frame.equals(here.frame)


def test_what_holds_no_scans(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        index_folders(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no scans, it is empty"):
        index_folders(tmp_path)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"holds no scans, only other files \(1 x a text file, not a scan\)") as error:
        index_folders(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_labels_that_match_nothing(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1)
    (tmp_path / "labels.csv").write_text("file,label\nb.png,x\n")
    with pytest.raises(InputError, match=r"matches no scan: its column file has b\.png, where .* has a\.png"):
        index_folders(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there, and links need a right")
def test_names_and_links_that_are_odd(tmp_path: Path) -> None:
    write_picture(tmp_path / "scans" / "=1+1, ;é\n.png", 1)
    (tmp_path / "scans" / "again").symlink_to(tmp_path / "scans")
    os.mkfifo(tmp_path / "scans" / "pipe")
    bad = os.fsencode(tmp_path / "scans") + b"/\xff.png"
    with open(bad, "wb") as file:  # noqa: PTH123
        file.write((tmp_path / "scans" / "=1+1, ;é\n.png").read_bytes())
    m = index_folders(tmp_path / "scans")
    assert sorted(m.frame.status) == ["ok", "unreadable"]
    assert "not UTF-8" in m.frame.reason[m.frame.status == "unreadable"].item()
    again = Manifest.load(m.save(tmp_path / "m.csv"))
    assert again.frame.equals(m.frame)
    assert read(next(iter(again.usable))).pixels.shape == (1, 32, 40)


def test_two_patients_whose_series_share_a_uid_stay_apart(tmp_path: Path) -> None:
    for i, patient in enumerate(("A", "A", "B")):
        place = [0.0, 0.0, 5.0 * i]
        write_dicom(
            tmp_path / f"{i}.dcm", texture(i), CT, Modality="CT", PatientID=patient, InstanceNumber=i + 1,
            ImagePositionPatient=place, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1],
        )  # fmt: skip
    assert sorted(index_folders(tmp_path).frame["size"]) == ["2 x 32 x 40", "32 x 40"]


def test_slices_that_an_anonymiser_gave_one_name_are_all_there(tmp_path: Path) -> None:
    for i in range(3):
        write_dicom(
            tmp_path / f"{i}.dcm", texture(i), CT, Modality="CT", SOPInstanceUID="1.2.3.4.5", InstanceNumber=i + 1,
            ImagePositionPatient=[0.0, 0.0, 5.0 * i], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1],
        )  # fmt: skip
    shutil.copy(tmp_path / "0.dcm", tmp_path / "copy.dcm")
    (row,) = index_folders(tmp_path)
    assert len(row.files) == 3
    assert len(read(row).pixels) == 3


def test_folders_with_labels_of_their_own_are_no_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for site in ("north", "south"):
        for i in range(2):
            write_dicom(tmp_path / site / f"{i}.dcm", texture(i), PatientID=f"{site} {i}")
        (tmp_path / site / "labels.csv").write_text("file,label\n0.dcm,x\n1.dcm,y\n")
    assert set(index_folders(tmp_path).frame.label) == {""}
    assert f"{Path('north') / 'labels.csv'} is not read" in capsys.readouterr().out


def test_a_split_that_leaks_stops_the_index_and_names_the_patients(tmp_path: Path) -> None:
    for i in range(4):
        write_picture(tmp_path / f"{i}.png", i)
    (tmp_path / "labels.csv").write_text(
        "file,patient,label,split\n0.png,Jane,a,train\n1.png,Jane,a,test\n2.png,Joan,b,train\n3.png,Jill,b,test\n"
    )
    with pytest.raises(InputError, match=rf"{keyed_hash('Jane', 'P-')} in train and test") as error:
        index_folders(tmp_path)
    assert "Jane" not in str(error.value)


def test_patients_of_the_headers_stay_together_under_other_names(tmp_path: Path) -> None:
    """A labels file that numbers examinations, and calls the column patient, tears nobody apart."""
    lines = ["file,patient,label"]
    for i in range(12):
        write_dicom(tmp_path / f"{i}.dcm", texture(i), PatientID=f"person {i // 4}")
        lines.append(f"{i}.dcm,examination {i},{'ab'[i % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    frame = index_folders(tmp_path).frame
    assert frame.patient.nunique() == 12 and frame.group.nunique() == 3
    assert (frame.groupby("group").split.nunique() == 1).all()


def test_one_name_for_all_in_the_headers_tells_nobody_apart(tmp_path: Path) -> None:
    lines = ["file,patient,label"]
    for i in range(12):
        write_dicom(tmp_path / f"{i}.dcm", texture(i), PatientID="ANONYMOUS")
        lines.append(f"{i}.dcm,person {i // 2},{'ab'[i // 2 % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert index_folders(tmp_path).frame.group.nunique() == 6
