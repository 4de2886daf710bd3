"""A labels file finds its scans by whatever name fits, and says what does not."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.scans.labels import (
    Named,
    bids_subject,
    class_folders,
    join_labels,
    label_of,
    read_labels,
    refuse_alike,
    split_of,
    uncertain_note,
    unmatched_table,
)
from medtl.scans.privacy import keyed_hash

ROOT = Path("/data/egypt")


def scan(
    *files: str, root: Path = ROOT, patient: str = "", study: str = "", series: str = "", scan_id: str = ""
) -> Named:
    return Named(tuple(root / file for file in files), root, patient, study, series, scan_id)


def rows(tmp_path: Path, text: str, scans: list[Named]) -> list[int | None]:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return join_labels(read_labels(path), scans).rows


SCANS = [scan("a.png"), scan("deep/b.dcm"), scan("deep/c.nii.gz")]


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "deep/b.dcm", "deep/c.nii.gz"),
        ("egypt/a.png", "egypt/deep/b.dcm", "egypt/deep/c.nii.gz"),
        ("/data/egypt/a.png", "/data/egypt/deep/b.dcm", "/data/egypt/deep/c.nii.gz"),
        ("a", "deep/b", "deep/c"),
        ("a.jpg", "deep/b.png", "deep/c.nii"),
        ("./a.png", "deep\\b.dcm", "deep\\c.nii.gz"),
        ("a.png", "b.dcm", "c.nii.gz"),
        ("a", "b", "c"),
        ("images/a.png", "images/b.dcm", "images/c.nii.gz"),
    ],
)
@pytest.mark.parametrize("column", ["file", "Filename", "image_path"])
def test_by_file(tmp_path: Path, names: tuple[str, ...], column: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{column},label\n" + "".join(f"{name},benign\n" for name in ("no/such", *names))
    assert rows(tmp_path, text, [*SCANS, scan("other.png")]) == [1, 2, 3, None]
    said = capsys.readouterr().out
    assert "joined by file, 3 of 4 scans have a row; 1 of its names fit no scan here" in said


def test_relative_to_the_labels_file(tmp_path: Path) -> None:
    inside = scan("a.png", root=tmp_path / "site" / "scans")
    assert rows(tmp_path, "file,label\nsite/scans/a.png,x\n", [inside]) == [0]


def test_a_name_that_two_scans_share_is_nobodys(tmp_path: Path) -> None:
    both = [scan("one/a.png"), scan("two/a.png"), scan("b.png")]
    assert rows(tmp_path, "file,label\na.png,x\nb.png,y\n", both) == [None, None, 1]
    assert rows(tmp_path, "file,label\none/a.png,x\nother/a.png,y\n", both) == [0, None, None]


def test_a_series_by_any_of_its_files_or_their_folder(tmp_path: Path) -> None:
    series = [scan("ct1/1.dcm", "ct1/2.dcm"), scan("ct2/1.dcm", "ct2/2.dcm")]
    assert rows(tmp_path, "file,label\nct2,x\nct1/2.dcm,y\n", series) == [1, 0]


@pytest.mark.parametrize("role", ["patient", "study", "series"])
def test_by_identifier_in_clear_or_hashed(tmp_path: Path, role: str) -> None:
    prefix = {"patient": "P-", "study": "ST-", "series": "SE-"}[role]
    two = [scan("a.dcm", **{role: "1.2.3"}), scan("b.dcm", **{role: "007"})]
    assert rows(tmp_path, f"{role},label\n007,x\n1.2.3,y\n", two) == [1, 0]
    assert rows(tmp_path, f"{role}_id,label\n{keyed_hash('007', prefix)},x\n", two) == [None, 0]


def test_by_scan_id_and_by_the_folder_of_a_patient(tmp_path: Path) -> None:
    assert rows(tmp_path, "scan_id,label\nabc,x\n", [scan("a.png", scan_id="abc")]) == [0]
    assert rows(tmp_path, "patient,label\nP7,x\n", [scan("P7/day 1/a.png"), scan("P8/a.png")]) == [0, None]


def test_the_more_exact_name_is_taken_unless_it_fits_hardly_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    four = [scan(f"{i}.dcm", patient=f"p{i % 2}") for i in range(4)]
    text = "file,patient,label\n0.dcm,p0,x\n1.dcm,p1,y\n2.dcm,p0,y\n"
    assert rows(tmp_path, text, four) == [0, 1, 2, None]
    assert "joined by file" in capsys.readouterr().out
    assert rows(tmp_path, "file,patient,label\n0.dcm,p0,x\n9.dcm,p1,y\n", four) == [0, 1, 0, 1]
    assert "joined by patient" in capsys.readouterr().out


def test_nothing_matches_shows_three_of_each(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        rows(tmp_path, "file,label\nx1.png,a\nx2.png,a\nx3.png,a\nx4.png,a\n", [scan(f"y{i}.png") for i in range(5)])
    assert "x1.png, x2.png, x3.png, where /data/egypt has y0.png, y1.png, y2.png;" in str(error.value)
    assert "x4" not in str(error.value) and "y3" not in str(error.value)
    assert str(tmp_path / "labels.csv") in str(error.value)


def test_two_labels_for_one_name(tmp_path: Path) -> None:
    one = [scan("a.dcm", patient="p0")]
    with pytest.raises(InputError, match=r"one patient in rows 1 and 2 has the labels 'benign' and 'malign.*`file`"):
        rows(tmp_path, "patient,label\np0,benign\np0,malignant\n", one)
    assert rows(tmp_path, "patient,label\np0,benign\np0,benign\np9,x\np9,y\n", one) == [0]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("lable,file", '"lable" looks like "label" misspelt'),
        ("label,fiel", '"fiel" looks like "file" misspelt'),
        ("label,age", "needs a column named file, series, study or patient, and has label, age"),
    ],
)
def test_headers_that_are_wrong(tmp_path: Path, header: str, says: str) -> None:
    (tmp_path / "labels.csv").write_text(f"{header}\nx,y\n")
    with pytest.raises(InputError, match=says):
        read_labels(tmp_path / "labels.csv")


def test_a_header_without_label_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("file,patient_age,birads\na.png,40,2\n")
    assert read_labels(tmp_path / "labels.csv").extra == ("patient_age", "birads")
    assert 'no column "label"' in capsys.readouterr().out


def test_personal_columns_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("file,label,Patient Name,age\na.png,x,Jane,40\n")
    assert read_labels(tmp_path / "labels.csv").extra == ("age",)
    assert "left out Patient Name" in capsys.readouterr().out
    assert read_labels(tmp_path / "labels.csv", keep_identifiers=True).extra == ("Patient Name", "age")


def test_masks_are_known(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,lesion_mask\na.png,x,masks/a.png\nb.png,x,\n")
    assert read_labels(tmp_path / "labels.csv").mask_files() == {tmp_path / "masks" / "a.png"}


def test_words() -> None:
    assert label_of(" b ;a; b;") == "a;b"
    assert label_of("") == ""
    assert [split_of(word, ROOT) for word in ("Train", "val", "", "test")] == ["train", "calibrate", "", "test"]
    with pytest.raises(InputError, match="the split 'trian' is not known; did you mean 'train'"):
        split_of("trian", ROOT)


@pytest.mark.parametrize(
    "folders",
    [("benign", "malignant"), ("0 normal", "1 pneumonia"), ("grade1", "grade2", "grade3"), ("NORMAL", "COVID-19")],
)
def test_folders_that_are_classes(folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    scans = [scan(f"{folder}/more/{i}.png") for folder in folders for i in range(3)]
    assert class_folders(scans) == [(folder, "", "") for folder in folders for _ in range(3)]
    assert f"{folders[0]} (3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "folders",
    [
        ("only",),
        ("PAT001", "PAT002", "PAT003"),
        ("sub-01", "sub-02"),
        ("train", "test"),
        ("images", "masks"),
        ("1.2.840.113", "1.2.840.114"),
        ("2021-03-04", "2021-03-05"),
        ("0a1b2c3d4e5f", "deadbeef"),
        tuple(f"disease {chr(97 + i)}" for i in range(21)),
    ],
)
def test_folders_that_are_not(folders: tuple[str, ...]) -> None:
    assert class_folders([scan(f"{folder}/{i}.png") for folder in folders for i in range(3)]) is None


def test_patients_folders_are_not_classes() -> None:
    exported = [scan(f"{name}/{i}.dcm", patient=name) for name in ("Smith", "Jones") for i in range(3)]
    assert class_folders(exported) is None
    sorted_by_class = [scan(f"{name}/{i}.dcm", patient=f"{name}{i}") for name in ("benign", "cyst") for i in range(3)]
    assert class_folders(sorted_by_class) is not None
    assert class_folders([*sorted_by_class, scan("loose.png")]) is None
    assert class_folders([]) is None


def test_a_name_without_ending_that_two_rows_share_is_nobodys(tmp_path: Path) -> None:
    text = "file,label\na.png,x\na.jpg,y\nb.png,z\nb.png,z\n"
    assert rows(tmp_path, text, [scan("a.dcm"), scan("b.dcm"), scan("a.jpg")]) == [None, 2, 1]


def labels_file(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


# --- file names, relative to whatever folder ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ("data/egypt/a/1.png", "data/egypt/b/1.png"),
        ("a/1.png", "b/1.png"),
        ("/mnt/elsewhere/egypt/a/1.png", "/mnt/elsewhere/egypt/b/1.png"),
        ("C:\\data\\a\\1.png", "C:\\data\\b\\1.png"),
        ("a/1", "b/1.dcm"),
    ],
)
def test_names_from_a_folder_above_or_below(tmp_path: Path, cells: tuple[str, ...]) -> None:
    two = [scan("in/a/1.png"), scan("in/b/1.png")]
    assert rows(tmp_path, "file,label\n" + "".join(f"{cell},x\n" for cell in cells), two) == [0, 1]


def test_files_in_a_zip(tmp_path: Path) -> None:
    two = [scan("site.zip/in/a.dcm"), scan("site.zip/in/b.dcm")]
    assert rows(tmp_path, "file,label\nsite.zip/in/a.dcm,x\nin/b,y\n", two) == [0, 1]
    inside = [Named((ROOT / "site.zip" / "a.dcm",), ROOT / "site.zip")]
    assert rows(tmp_path, "file,label\na.dcm,x\n", inside) == [0]


def test_one_file_given_as_its_own_root(tmp_path: Path) -> None:
    assert rows(tmp_path, "file,label\na.png,x\n", [Named((ROOT / "a.png",), ROOT / "a.png")]) == [0]


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    paths=st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple), min_size=1, max_size=8).map(
        list
    ),
    data=st.data(),
)
def test_no_file_ever_gets_the_row_of_another(
    paths: list[tuple[str, ...]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    depth = data.draw(st.integers(1, 6))
    scans = [scan("/".join(path) + ".png") for path in paths]
    cells = ["/".join(("data", "egypt", *path)[-depth:]) + ".png" for path in paths]
    said = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells))
    try:
        found = rows(tmp_path_factory.mktemp("labels"), f"file,age\n{said}", scans)
    except InputError:
        found = [None] * len(scans)  # all of the names are shared
    for number, row in enumerate(found):
        assert row is None or cells[row] == cells[number]
        if cells.count(cells[number]) == 1 and depth == 6:
            assert row == number


# --- identifiers ----------------------------------------------------------------------------------------------------


def test_scans_that_come_hashed(tmp_path: Path) -> None:
    hashed = [scan(f"{i}.dcm", patient=keyed_hash(name, "P-")) for i, name in enumerate(("Doe^Jane", "007"))]
    assert rows(tmp_path, "PatientID,label\n007,x\nDoe^Jane,y\n", hashed) == [1, 0]
    assert rows(tmp_path, f"PatientID,label\n{keyed_hash('007', 'P-')},x\n", hashed) == [None, 0]


def test_zeros_that_a_spreadsheet_took_away(tmp_path: Path) -> None:
    hashed = [scan(f"{i}.dcm", patient=keyed_hash(name, "P-")) for i, name in enumerate(("0007", "0012"))]
    labels = read_labels(labels_file(tmp_path, "PatientID,label\n12,x\n7,y\nother,z\n"))
    assert join_labels(labels, hashed).rows == [1, 0]
    assert labels.cells(1)["patient"] == "0007", "the same patient elsewhere stays the same"
    assert rows(tmp_path, "patient,label\n12,x\n7,y\n", [scan("007/a.png"), scan("012/a.png")]) == [1, 0]


def test_a_folder_of_the_patient_where_the_header_has_another_name(tmp_path: Path) -> None:
    two = [scan("P7/a.dcm", patient="anonymous1"), scan("P8/b.dcm", patient="anonymous2")]
    assert rows(tmp_path, "patient,label\nP8,x\nP7,y\n", two) == [1, 0]


def test_participants_of_bids_label_all_sessions_and_runs(tmp_path: Path) -> None:
    text = "participant_id\tage\tsex\n01\t34\tF\nsub-02\tn/a\tM\nsub-03\t50\tn/a\n"
    path = labels_file(tmp_path, text, "participants.tsv")
    labels = read_labels(path, label_column="sex")
    files = ("sub-01/ses-1/anat/t1.nii.gz", "sub-01/ses-2/anat/t1.nii.gz", "sub-02/func/run-1.nii.gz", "sub-03/x.nii")
    joined = join_labels(labels, [scan(file, root=tmp_path) for file in files])
    assert (joined.rows, joined.by) == ([0, 0, 1, 2], "patient")
    assert [labels.cells(row)["label"] for row in (0, 1, 2)] == ["F", "M", ""]
    assert (labels.cells(1)["patient"], labels.cells(1)["age"]) == ("sub-02", "")


def test_errors_and_what_is_said_name_no_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = [scan("1.dcm", patient="Roe^Richard"), scan("2.dcm", patient="Doe^Jane")]
    messages = []
    for text in ("Poe^Paul,x\n", "Doe^Jane,x\nDoe^Jane,y\n"):
        with pytest.raises(InputError) as error:
            rows(tmp_path, f"PatientID,label\n{text}", named)
        messages.append(str(error.value))
    rows(tmp_path, "PatientID,label,age\nDoe^Jane,unknown,40\n", named)
    said = " ".join([*messages, capsys.readouterr().out])
    assert not any(name in said for name in ("Roe", "Doe", "Poe"))
    assert "none of the 1 names in its column PatientID is one of the 2 that the files in /data/egypt give" in said


def test_what_matched_nothing_on_either_side(tmp_path: Path) -> None:
    scans = [scan("a.dcm", patient="Doe^Jane", scan_id="s1"), scan("b.dcm", patient="Roe^Jo", scan_id="s2")]
    labels = read_labels(labels_file(tmp_path, "patient,label\nPoe^Paul,x\nDoe^Jane,y\n,z\n"))
    joined = join_labels(labels, scans)
    assert (joined.rows, joined.nameless_rows) == ([1, None], (0, 2))
    what = ("what", "row", "name", "label", "scan_id", "path")
    row, empty, other = unmatched_table(labels, scans, joined)
    assert tuple(row[key] for key in what) == ("row without scan", "1", keyed_hash("Poe^Paul", "P-"), "x", "", "")
    assert tuple(empty[key] for key in what) == ("row without scan", "3", "", "z", "", "")
    assert tuple(other[key] for key in what) == ("scan without row", "", keyed_hash("Roe^Jo", "P-"), "", "s2", "b.dcm")
    kept = unmatched_table(labels, scans, joined, keep_identifiers=True)
    assert [each["name"] for each in kept] == ["Poe^Paul", "", "Roe^Jo"]


# --- which column, and what is a label ------------------------------------------------------------------------------


def test_the_column_of_the_label_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = labels_file(tmp_path, "file,Tumour type,age\na.png,cyst,40\n")
    assert read_labels(path).cells(0)["label"] == ""
    assert "choose one with --label-column, of Tumour type, age" in capsys.readouterr().out
    labels = read_labels(path, label_column="tumour_type")
    assert (labels.cells(0)["label"], labels.extra) == ("cyst", ("age",))
    with pytest.raises(InputError, match='no column "tumor type" for --label-column; did you mean "Tumour type"'):
        read_labels(path, label_column="tumor type")
    with pytest.raises(InputError, match='"file" names the file, it is no label'):
        read_labels(path, label_column="file")
    with pytest.raises(InputError, match="folders' names are labels only where no labels file is"):
        read_labels(path, label_column="folder")


def test_the_chosen_column_comes_before_one_called_label(tmp_path: Path) -> None:
    path = labels_file(tmp_path, "file,label,dx,site\na.png,x,y,here\n")
    assert read_labels(path, label_column="dx").cells(0)["label"] == "y"
    assert read_labels(path, label_column="site").cells(0)["label"] == "here"


def test_marks_in_several_columns_are_several_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Path,No Finding,Effusion,Edema\n"
    text += "a,1.0,,\nb,0,1.0,1.0\nc,,1,-1.0\nd,0,0,0\ne,,,\nf,,0.0,\ng,,unclear,1\nh,no,YES,False\n"
    labels = read_labels(labels_file(tmp_path, text), label_column="No Finding, Effusion,edema")
    cells = [labels.cells(row) for row in range(8)]
    assert [each["label"] for each in cells] == [
        *("No Finding", "Edema;Effusion", "", "none", "", "none", "", "Effusion")
    ]
    assert [each.get("notes") for each in cells] == [
        *(None, None, "uncertain label: -1", None, None, None, "uncertain label: unclear", None)
    ]
    assert cells[2]["Edema"] == "-1.0"
    assert "2 uncertain labels (-1 1, unclear 1): those scans stay unlabelled" in capsys.readouterr().out
    with pytest.raises(InputError, match="column \"Edema\" has a cell 'mild' where 0 or 1 is wanted"):
        read_labels(labels_file(tmp_path, "file,Effusion,Edema\na,1,mild\n"), label_column="Effusion,Edema")


@pytest.mark.parametrize("word", ["", "nan", "NA", "n/a", "NULL", "-", "Missing", " "])
def test_an_empty_label_is_none(word: str) -> None:
    assert label_of(word) == ""
    assert label_of(f"b;{word};a") == "a;b"


@pytest.mark.parametrize(
    "word",
    ["unknown", "Uncertain", "INDETERMINATE", "equivocal", "unclear", "undetermined", "not known", "?", " Unknown "],
)
def test_an_uncertain_label_is_its_own_case(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert label_of(word) == label_of(f"benign;{word}") == ""
    labels = read_labels(labels_file(tmp_path, f"file,label\na,{word}\nb,benign\nc,none\n"))
    assert [labels.cells(row)["label"] for row in range(3)] == ["", "benign", "none"]
    assert labels.cells(0)["notes"] == f"uncertain label: {word.strip()}"
    assert "notes" not in labels.cells(1)
    assert f"1 uncertain labels ({word.strip()} 1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1.0", "0.0", "-1.0", ""], ["1", "0", "", ""]),
        (["1", "0", "-1", "nan"], ["1", "0", "", ""]),
        (["1", "0", "-1", "2"], ["1", "0", "-1", "2"]),
        (["1.0", "2.0", "unknown", "3.0"], ["1.0", "2.0", "", "3.0"]),
    ],
)
def test_minus_one_among_noughts_and_ones_is_uncertain(tmp_path: Path, cells: list[str], labels: list[str]) -> None:
    text = "file,label\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    read = read_labels(labels_file(tmp_path, text))
    assert [read.cells(row)["label"] for row in range(len(cells))] == labels


@pytest.mark.parametrize("pair", [("Benign", "benign"), ("no finding", "NoFinding"), ("a;B", "b")])
def test_labels_that_differ_only_in_case_or_space_are_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="differ only in upper and lower case or in spaces"):
        refuse_alike(pair)
    with pytest.raises(InputError, match=r"labels\.csv: the labels .* differ only"):
        read_labels(labels_file(tmp_path, f"file,label\na,{pair[0]}\nb,{pair[1]}\n"))
    refuse_alike(["benign", "benign", "malignant", ""])


def test_columns_with_names_that_indexing_fills_are_kept_apart(tmp_path: Path) -> None:
    path = labels_file(tmp_path, "file,label,group,volume,notes,modality\na,x,control,2.1 ml,seen,US\n")
    cells = read_labels(path).cells(0)
    assert cells == {"label": "x", "split": "", "modality": "US"} | {
        "group_in_labels": "control",
        "volume_in_labels": "2.1 ml",
        "notes_in_labels": "seen",
    }


@pytest.mark.parametrize("name", ["labels.tsv", "labels.json", "labels.xlsx"])
def test_personal_columns_are_left_out_of_every_kind(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame([{"file": "a.png", "label": "x", "Patient Name": "Jane", "age": "40"}])
    path = tmp_path / name
    if name.endswith("tsv"):
        table.to_csv(path, sep="\t", index=False)
    elif name.endswith("json"):
        table.to_json(path, orient="records")
    else:
        table.to_excel(path, index=False)
    assert read_labels(path).extra == ("age",)
    assert read_labels(path, keep_identifiers=True).extra == ("Patient Name", "age")


# --- class folders with splits and sites ----------------------------------------------------------------------------


def tree(*folders: str) -> list[Named]:
    return [scan(f"{folder}/{i}.png") for folder in folders for i in range(2)]


@pytest.mark.parametrize(
    ("folders", "placed"),
    [
        (("train/benign", "train/malignant", "test/benign"), [("benign", "train", ""), ("malignant", "train", "")]),
        (("benign/training", "benign/testing", "cyst/training"), [("benign", "train", ""), ("benign", "test", "")]),
        (
            ("chest_xray/train/NORMAL", "chest_xray/val/PNEUMONIA", "chest_xray/test/NORMAL"),
            [("NORMAL", "train", ""), ("PNEUMONIA", "calibrate", "")],
        ),
        (
            ("brazil/benign", "brazil/malignant", "egypt/benign", "egypt/malignant"),
            [("benign", "", "brazil"), ("malignant", "", "brazil")],
        ),
        (
            ("lab a/train/mono", "lab a/test/lympho", "lab b/train/lympho", "lab b/train/mono"),
            [("mono", "train", "lab a"), ("lympho", "test", "lab a")],
        ),
        (("benign/GE", "benign/Philips", "cyst/GE", "cyst/Philips"), [("benign", "", ""), ("benign", "", "")]),
        (("mono/left", "mono/right", "lympho/left", "lympho/right"), [("mono", "", ""), ("mono", "", "")]),
        (("mono/one", "mono/two", "lympho/three", "lympho/four"), [("mono", "", ""), ("mono", "", "")]),
    ],
)
def test_folders_of_splits_and_sites(
    folders: tuple[str, ...], placed: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = class_folders(tree(*folders))
    assert found is not None
    assert [tuple(each) for each in found[:4:2]] == placed
    said = capsys.readouterr().out
    assert "folders that look like classes: " in said
    assert ("like splits: " in said) == any(split for _, split, _ in placed)
    assert ("like sites: " in said) == any(site for _, _, site in placed)


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test"),
        ("sub-01/anat", "sub-01/func", "sub-02/anat", "sub-02/func"),
        ("PAT001/T1", "PAT001/T2", "PAT002/T1", "PAT002/T2"),
        ("T1w", "FLAIR"),
        ("left", "right"),
    ],
)
def test_splits_and_views_alone_are_no_classes(folders: tuple[str, ...]) -> None:
    assert class_folders(tree(*folders)) is None


# --- whose row it is, in odd sets ------------------------------------------------------------------------------------


def test_two_folders_share_no_row(tmp_path: Path) -> None:
    """A labels file of one folder, given for two: the other's files of the same names are not its own."""
    both = [scan(f"{i}.png", root=tmp_path / site) for site in "AB" for i in (1, 2)]
    text = "file,label\n1.png,benign\n2.png,malignant\n"
    (tmp_path / "A").mkdir()
    assert rows(tmp_path / "A", text, both) == [0, 1, None, None]
    with pytest.raises(InputError, match="matches no scan"):
        rows(tmp_path, text, both)
    stems = "file,label\nA/1,benign\nB/1,malignant\n"
    assert rows(tmp_path, stems, both) == [0, None, 1, None]


@settings(max_examples=60, deadline=None)
@given(
    paths=st.sets(st.tuples(st.sampled_from(["/r/A", "/r/B", "/q/A"]), PATHS), min_size=1, max_size=8).map(sorted),
    depth=st.integers(1, 6),
    ending=st.sampled_from(["", ".png", ".nii.gz"]),
)
def test_no_file_of_several_folders_gets_the_row_of_another(
    paths: list[tuple[str, tuple[str, ...]]],
    depth: int,
    ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scans = [scan("/".join(path) + ".png", root=Path(root)) for root, path in paths]
    wholes = [Path(root).parts[1:] + path for root, path in paths]
    cells = ["/".join(whole[-depth:]) + ending for whole in wholes]
    said = "".join(f"{cell},{number}\n" for number, cell in enumerate(cells))
    try:
        found = rows(tmp_path_factory.mktemp("labels"), f"file,age\n{said}", scans)
    except InputError:
        found = [None] * len(scans)
    assert all(row is None or cells[row] == cells[number] for number, row in enumerate(found))
    given_away = [row for row in found if row is not None]
    assert len(set(given_away)) == len(given_away), "no row is two files'"


def test_slices_with_rows_of_their_own(tmp_path: Path) -> None:
    series = [scan(*(f"p{p}/IM{i}_{p}.dcm" for i in range(3))) for p in (1, 2)]
    text = "file,label\nIM0_1.dcm,{}\nIM1_1.dcm,{}\nIM2_1.dcm,{}\nIM1_2.dcm,normal\n"
    with pytest.raises(InputError, match=r"rows 1 and 2 are of the slices of one series .* 'normal' and 'hemorrhage'"):
        rows(tmp_path, text.format("normal", "hemorrhage", "hemorrhage"), series)
    path = labels_file(tmp_path, text.format("normal", "normal", "normal"))
    joined = join_labels(read_labels(path), series)
    assert (joined.rows, joined.nameless_rows) == ([0, 3], ())
    split = "file,label,split\nIM0_1.dcm,normal,train\nIM1_1.dcm,normal,test\n"
    with pytest.raises(InputError, match="have the splits 'train' and 'test'"):
        rows(tmp_path, split, series)


def test_a_folder_in_which_a_scan_lies_alone(tmp_path: Path) -> None:
    three = [scan("case1/scan.dcm"), scan("case2/1.dcm"), scan("case2/2.dcm")]
    assert rows(tmp_path, "file,label\ncase1,x\ncase2,y\n", three) == [0, None, None]


def test_the_same_name_with_another_ending(tmp_path: Path) -> None:
    two = [scan("a.png"), scan("a.tif"), scan("b.png")]
    assert rows(tmp_path, "file,label\na.png,benign\nb.png,malignant\n", two) == [0, None, 1]
    assert rows(tmp_path, "file,label\na,benign\nb,malignant\n", two) == [None, None, 1]


def test_dots_within_a_name(tmp_path: Path) -> None:
    files = [scan("P1.left.png"), scan("P1.right.png"), scan("P2.left.nii.gz")]
    assert rows(tmp_path, "file,label\nP1.left,x\nP1.right,y\nP2.left,z\n", files) == [0, 1, 2]
    others = [scan("case1.png"), scan("case2.png")]
    assert rows(tmp_path, "file,label\ncase1.post,malignant\ncase2,benign\n", others) == [None, 1]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_as_a_mac_writes_them(tmp_path: Path, on_disk: str, in_table: str) -> None:
    def name(form: str, text: str) -> str:
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]

    scans = [scan(name(on_disk, "é/zdjęcie_ó.png")), scan(name(on_disk, "ü/x.png"))]
    assert rows(tmp_path, name(in_table, "file,label\nzdjęcie_ó.png,a\nü/x,b\n"), scans) == [0, 1]
    assert rows(tmp_path, name(in_table, "patient,label\nü,a\né,b\n"), scans) == [1, 0]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    scans = [scan(b"bad\xff.png".decode("utf-8", "surrogateescape"), scan_id="s1"), scan("a.png")]
    labels = read_labels(labels_file(tmp_path, "file,label\na.png,x\n"))
    joined = join_labels(labels, scans)
    assert joined.rows == [None, 0]
    assert [row["scan_id"] for row in unmatched_table(labels, scans, joined)] == ["s1"]


def test_each_patient_has_the_zeros_of_the_header(tmp_path: Path) -> None:
    """Rows that are joined by file fill their patient up too, else 7 and 007 would be two."""
    hashed = [
        scan(f"{i}.dcm", patient=keyed_hash(name, "P-")) for i, name in enumerate(("007", "007", "0012", "12", "x"))
    ]
    labels = read_labels(labels_file(tmp_path, "file,label,patient\n0.dcm,x,7\n1.dcm,x,007\n2.dcm,x,12\n4.dcm,x,5\n"))
    assert join_labels(labels, hashed).rows == [0, 1, 2, None, 3]
    assert [labels.cells(row)["patient"] for row in range(4)] == ["007", "007", "12", "5"]


def test_a_patient_whose_name_looks_like_a_hash(tmp_path: Path) -> None:
    name = "P-20231234"
    hidden = keyed_hash(name, "P-", from_header=True)
    scans = [scan("a.dcm", patient=hidden), scan("b.dcm", patient=keyed_hash("other", "P-"))]
    labels = read_labels(labels_file(tmp_path, f"patient,label\n{name},x\n"))
    assert join_labels(labels, scans).rows == [0, None]
    assert labels.cells(0)["patient"] == hidden
    kept = [scan("a.dcm", patient=name)]
    labels = read_labels(labels_file(tmp_path, f"patient,label\n{name},x\n"), keep_identifiers=True)
    assert join_labels(labels, kept).rows == [0]
    assert labels.cells(0)["patient"] == name


def test_patients_counted_as_hashes_are_spelt(tmp_path: Path) -> None:
    names = [f"P-2024{i:04}" for i in range(4)]
    text = "file,patient,label\n" + "".join(f"{i}.png,{name},x\n" for i, name in enumerate(names))
    read = [read_labels(labels_file(tmp_path, text)).cells(i)["patient"] for i in range(4)]
    assert read == [keyed_hash(name, "P-", from_header=True) for name in names]
    kept = read_labels(labels_file(tmp_path, text), keep_identifiers=True)
    assert [kept.cells(i)["patient"] for i in range(4)] == names
    hashes = [keyed_hash(str(i), "P-") for i in range(4)]
    text = "file,patient,label\n" + "".join(f"{i}.png,{name},x\n" for i, name in enumerate(hashes))
    assert [read_labels(labels_file(tmp_path, text)).cells(i)["patient"] for i in range(4)] == hashes


@pytest.mark.parametrize(
    "column",
    [
        *("Patient's Name", "Accession No", "Birth Date (patient)", "patient_birth_date", "Date of birth", "DOB"),
        *("MRN", "Medical record no.", "E-Mail", "Surname", "NHS number", "Referring Physician", "Name", "birthYear"),
    ],
)
def test_columns_about_the_person_under_any_name(tmp_path: Path, column: str) -> None:
    path = labels_file(tmp_path, f'file,label,"{column}",age\na.png,x,Kowalski Jan,40\n')
    assert read_labels(path).extra == ("age",)
    assert "Kowalski Jan" in read_labels(path, keep_identifiers=True).cells(0).values()


@pytest.mark.parametrize(
    "column",
    [
        *(
            "patient_age",
            "PatientSex",
            "birth_weight",
            "Scanner name",
            "Class name",
            "fluid",
            "headphones",
            "mobile unit",
        ),
        *("study date", "series description", "Patient position", "image_id", "record", "caseload", "dobutamine"),
    ],
)
def test_columns_that_are_about_the_scan_are_kept(tmp_path: Path, column: str) -> None:
    labels = read_labels(labels_file(tmp_path, f"file,label,{column}\na.png,x,some thing\n"))
    assert labels.cells(0)[column] == "some thing"


@pytest.mark.parametrize(
    ("column", "prefix"),
    [
        *[("PatientID", "P-"), ("Patient ID (old)", "P-"), ("subject", "P-"), ("Hospital No", "P-"), ("case_id", "P-")],
        *[("StudyInstanceUID", "ST-"), ("SOPInstanceUID", "ST-"), ("Series UID 2", "SE-")],
    ],
)
def test_a_second_column_that_names_the_patient_is_hashed(tmp_path: Path, column: str, prefix: str) -> None:
    path = labels_file(tmp_path, f"file,label,patient,study,{column}\na.png,x,S1,T1,12345678\n")
    cells = read_labels(path).cells(0)
    assert (cells[column], cells["patient"]) == (keyed_hash("12345678", prefix), "S1")
    assert read_labels(path, keep_identifiers=True).cells(0)[column] == "12345678"


@pytest.mark.parametrize("word", ["N.A.", "--", "#N/A", "not available", "Infinity", "(missing)", "."])
def test_more_words_for_no_label(word: str) -> None:
    assert label_of(word) == ""
    assert uncertain_note(word) == ""


@pytest.mark.parametrize(
    "word", ["inconclusive", "not sure", "tbd", "TBD.", "??", "(?)", "benign?", "malignant (?)", "? benign", "not_sure"]
)
def test_more_words_of_doubt(word: str) -> None:
    assert label_of(word) == ""
    assert uncertain_note(word) == f"uncertain label: {word}"


@pytest.mark.parametrize(
    "word", ["+", "none", "other", "1.5", "borderline", "z?osliwy", "not healthy", "possible cancer"]
)
def test_words_that_are_labels(word: str) -> None:
    assert label_of(word) == word


def test_minus_one_beside_one_alone_is_a_class(tmp_path: Path) -> None:
    read = read_labels(labels_file(tmp_path, "file,label\na,1\nb,-1\nc,1\nd,\n"))
    assert [read.cells(row)["label"] for row in range(4)] == ["1", "-1", "1", ""]
    several = read_labels(labels_file(tmp_path, "file,A,B\na,1,-1\nb,-1,-1\nc,1,1\n"), label_column="A,B")
    assert [several.cells(row)["label"] for row in range(3)] == ["A", "none", "A;B"]


@pytest.mark.parametrize(
    ("file", "subject"),
    [
        ("sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz", "sub-02"),
        ("all.zip/bids/sub-AB1/sub-AB1_T1w.nii", "sub-AB1"),
        ("bids/sub-02/ses-1/anat/renamed.nii.gz", "sub-02"),
        ("sub-02/anat/renamed.nii.gz", ""),
        ("sub-02/sub-03_T1w.nii.gz", ""),
        ("anat/sub-02_T1w.nii.gz", ""),
    ],
)
def test_the_subject_of_bids(tmp_path: Path, file: str, subject: str) -> None:
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    assert bids_subject(tmp_path / file) == subject
