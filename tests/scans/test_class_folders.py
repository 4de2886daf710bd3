"""Folders are classes where their names say so or the user does, and nobody's name becomes a label by a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtl.errors import InputError
from medtl.scans.class_folders import class_folders
from medtl.scans.joining import Named

ROOT = Path("/data/site")


def tree(*folders: str, files: int = 3, patient: str = "") -> list[Named]:
    """Some files in each folder, each file a scan; `patient` is filled with the folder's name and the file's number."""
    return [
        Named((ROOT / folder / f"{i}.png",), ROOT, patient.format(folder=folder, i=i))
        for folder in folders
        for i in range(files)
    ]


CLASSES = [
    ("benign", "malignant"),
    ("normal", "pneumonia"),
    ("NORMAL", "PNEUMONIA"),
    ("covid", "non-covid"),
    ("CT_COVID", "CT_NonCOVID"),
    ("glioma", "meningioma", "notumor", "pituitary"),
    ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor"),
    ("0", "1"),
    ("0", "1", "2", "3", "4"),
    ("grade0", "grade1", "grade2", "grade3", "grade4"),
    ("0Normal", "1Doubtful", "2Mild", "3Moderate", "4Severe"),
    ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil"),
    ("AMD", "CNV", "DME", "DRUSEN", "NORMAL"),
    ("AMD", "CNV", "DME"),
    ("nv", "mel", "bkl"),
    ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),
    ("Tuberculosis", "Normal"),
    ("Normal", "TB"),
    ("yes", "no"),
    ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"),
    ("Parasitized", "Uninfected"),
    ("MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented"),
    ("controls", "patients"),
    ("BI-RADS 2", "BI-RADS 5"),
    ("mass", "calc"),
]

NO_CLASSES = [
    *[("Kowalski", "Nowak"), ("Smith_John", "Doe_Jane", "Roe_Ann"), ("Patient A", "Patient B"), ("pt01", "pt02")],
    *[("volunteer1", "volunteer2"), ("T1_mprage", "T2_tse"), ("T1pre", "T1post"), ("AX T1", "AX T2"), ("b0", "b1000")],
    *[("ADC_map", "DWI_trace"), ("scout", "localizer"), ("left_eye", "right_eye"), ("OD", "OS"), ("axial", "T2_sag")],
    *[("RCC", "LCC", "RMLO", "LMLO"), ("pre", "post"), ("baseline", "followup"), ("January", "February")],
    *[("siteA", "siteB"), ("GE", "Siemens"), ("GE Healthcare", "Siemens Healthineers"), ("fold1", "fold2")],
    *[("PNG", "JPEG"), ("male", "female"), ("In", "Ref"), ("cohortA", "cohortB"), ("abdomen", "thorax"), ("a", "b")],
    *[("Warsaw", "Belgrade"), ("Benigni_Roberto", "Colitti", "Nevill_Jo"), ("Parkinson", "Sick"), ("MS", "AD")],
    *[("tumour", "tumour_mask"), ("City Cancer Centre", "General Hospital"), ("stroke protocol", "knee protocol")],
    *[("1", "2", "3"), ("00", "01"), ("0", "2"), ("2023-01", "2023-02"), ("PA0", "PA1")],
]


@pytest.mark.parametrize("folders", CLASSES)
def test_sets_of_classes_as_they_are_published(folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = class_folders(tree(*folders))
    assert found == [(folder, "", "") for folder in folders for _ in range(3)]
    assert "folders that look like classes" in capsys.readouterr().out
    parted = [f"{split}/{folder}" for split in ("train", "test") for folder in folders]
    placed = class_folders(tree(*parted))
    assert placed == [(folder, split, "") for split in ("train", "test") for folder in folders for _ in range(3)]


@pytest.mark.parametrize("folders", NO_CLASSES)
def test_other_folders_are_none_and_their_names_are_not_said(
    folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert class_folders(tree(*folders)) is None
    said = capsys.readouterr().out
    assert not any(folder in said for folder in folders if len(folder) > 2)


def test_the_user_is_told_how_to_say_that_folders_are_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert class_folders(tree("dog", "horse")) is None
    assert "if the folders are classes, say --label-column folder" in capsys.readouterr().out
    assert class_folders(tree("T1", "T2")) is None
    assert class_folders(tree("one", "two", patient="{folder}")) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("folders", "placed"),
    [
        (("dog", "horse"), [("dog", "", ""), ("horse", "", "")]),
        (("T1", "T2"), [("T1", "", ""), ("T2", "", "")]),
        (
            ("train/dog", "test/dog", "test/horse"),
            [("dog", "train", ""), ("dog", "test", ""), ("horse", "test", "")],
        ),
        (
            ("photo/dog", "photo/horse", "sketch/dog", "sketch/horse"),
            [("dog", "", "photo"), ("horse", "", "photo"), ("dog", "", "sketch"), ("horse", "", "sketch")],
        ),
        (("all/dog", "all/horse"), [("dog", "", ""), ("horse", "", "")]),
        (("benign/Kowalski", "benign/Nowak", "cyst/Wilk"), [("benign", "", ""), ("benign", "", ""), ("cyst", "", "")]),
        (("dog", "horse/more"), [("dog", "", ""), ("horse", "", "")]),
        (("1", "2", "3"), [("1", "", ""), ("2", "", ""), ("3", "", "")]),
    ],
)
def test_folders_that_the_user_calls_classes(
    folders: tuple[str, ...], placed: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (class_folders(tree(*folders, files=2), "folder") or [])[::2] == placed
    assert "as --label-column folder says" in capsys.readouterr().out


def test_the_user_is_believed_even_of_patients() -> None:
    exported = tree("one", "two", patient="{folder}")
    assert {placed.label for placed in class_folders(exported, "folder") or []} == {"one", "two"}


def test_no_folders_to_be_classes() -> None:
    loose = [Named((ROOT / f"{i}.png",), ROOT) for i in range(3)]
    assert class_folders(loose) is None
    with pytest.raises(InputError, match="--label-column folder: the scans do not lie in several folders"):
        class_folders(loose, "folder")


def test_another_column_is_a_labels_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert class_folders(tree("dog", "horse"), "diagnosis") is None


def test_a_folder_a_patient_above_classes_is_no_site() -> None:
    folders = [f"{name}/{finding}" for name in ("Kowalski", "Nowak") for finding in ("benign", "malignant")]
    of_patients = [
        Named(scan.files, scan.root, scan.files[0].relative_to(ROOT).parts[0]) for scan in tree(*folders, files=2)
    ]
    assert {placed.site for placed in class_folders(of_patients) or []} == {""}
