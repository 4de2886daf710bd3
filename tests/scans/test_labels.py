"""A labels file finds its scans by whatever name fits, and says what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medtl.errors import InputError
from medtl.scans.labels import Named, class_folders, join_labels, label_of, read_labels, split_of
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
