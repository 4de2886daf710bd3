"""`medtl index`: the summary a person reads, the table that is written, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medtl
from medtl.errors import InputError
from medtl.verbs._cohorts import manifest_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of three patients, one of them cut off, and a text."""
    scans = tmp_path / "hospital"
    scans.mkdir()
    lines = ["file,patient,label"]
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(scans / f"{i}.png")
        lines.append(f"{i}.png,p{i // 2},{'benign' if i < 4 else 'malignant'}")
    (scans / "5.png").write_bytes((scans / "5.png").read_bytes()[:100])
    (scans / "notes.txt").write_text("not a scan")
    (scans / "labels.csv").write_text("\n".join(lines))
    return scans


def test_a_name_that_is_no_csv_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends in"):
        medtl.index([tmp_path / "not there"], out=tmp_path / "m.xlsx")


def test_the_summary_and_the_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m = medtl.index([folder], out=tmp_path / "m.csv")
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "joined by file, 6 of 6 scans",
        "sites hospital 5",
        "patients 3",
        "scans 5",
        "sizes 32 x 40 5",
        "labels benign 4, malignant 1",
        "unreadable the picture is cut off or damaged 1",
        "set aside a text file, not a scan 1",
        f"written: {tmp_path / 'm.csv'}",
    ):
        assert words in said
    assert "p0" not in said
    assert medtl.Manifest.load(tmp_path / "m.csv").frame.equals(m.frame)


def test_it_refuses_before_it_works(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        medtl.index([tmp_path / "nowhere"], out=tmp_path / "m.csv")
    medtl.index(folder, out=tmp_path / "m.csv", force=True)
    assert len(medtl.Manifest.load(tmp_path / "m.csv")) == 7


def test_from_the_shell(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "medtl", "index"]
    done = subprocess.run([*command, folder, "-o", tmp_path / "m.csv"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "patients     3" in done.stdout
    done = subprocess.run([*command, tmp_path / "nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_indexing_imports_no_torch() -> None:
    code = "import sys, medtl, medtl.verbs.index, medtl.scans.index; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "monai", "timm", "scipy.stats", "sklearn", "matplotlib"} & set(modules)
    code = "import sys, medtl; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "numpy"} & set(modules)


def test_a_folder_a_manifest_and_its_file_are_the_same(folder: Path, tmp_path: Path) -> None:
    indexed = manifest_of(folder)
    saved = manifest_of(indexed.save(tmp_path / "m.csv"))
    assert saved.frame.equals(indexed.frame)
    assert manifest_of(indexed) is indexed
    assert set(indexed.usable.frame.split) == {"train", "calibrate", "test"}
    assert manifest_of(folder, site="here").sites == ["here"]
    assert len(manifest_of([folder, tmp_path / "m.csv"])) == len(indexed)
    assert len(manifest_of(folder / "1.png")) == 1


def test_a_manifest_without_splits_gets_them(folder: Path, tmp_path: Path) -> None:
    indexed = manifest_of(folder)
    bare = medtl.Manifest(indexed.frame.assign(split=""), indexed.files)
    assert manifest_of(bare.save(tmp_path / "bare.csv")).frame.split.equals(indexed.frame.split)


def test_what_is_no_cohort(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scans are named"):
        manifest_of([])
    with pytest.raises(InputError, match=r"nowhere\.csv cannot be read"):
        manifest_of(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a labels file"):
        manifest_of(folder / "labels.csv")
    unusable = manifest_of(folder)
    unusable.select(unusable.frame.status != "ok").save(tmp_path / "m.csv")
    with pytest.raises(InputError, match="lists no usable scan"):
        manifest_of(tmp_path / "m.csv")


def test_nouns_and_verbs_of_the_package() -> None:
    assert {"index", "Manifest", "read", "Run", "__version__"} <= set(dir(medtl))
    with pytest.raises(AttributeError, match="it has index"):
        medtl.indx  # noqa: B018


def test_folders_given_together_share_their_splits(tmp_path: Path) -> None:
    for site in ("north", "south"):
        (tmp_path / site).mkdir()
        for i in range(12):
            pixels = np.random.default_rng([i, len(site)]).integers(0, 255, (32, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / site / f"{site}{i}.png")
        names = "".join(f"{site}{i}.png,p{i},x\n" for i in range(12))
        (tmp_path / site / "labels.csv").write_text("file,patient,label\n" + names)
    m = manifest_of([tmp_path / "north", tmp_path / "south"])
    assert (m.frame.groupby("patient").split.nunique() == 1).all()
    assert list(m.frame.site) == ["north"] * 12 + ["south"] * 12


def test_what_has_no_partner_is_listed_beside_the_manifest(folder: Path, tmp_path: Path) -> None:
    with (folder / "labels.csv").open("a") as file:
        file.write("\ngone.png,p9,benign\n")
    medtl.index(folder, out=tmp_path / "m.csv")
    listed = (tmp_path / "m.unmatched.csv").read_text()
    assert "gone.png" in listed and "row without scan" in listed
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace("\ngone.png,p9,benign\n", ""))
    with pytest.raises(InputError, match="exists already"):
        medtl.index(folder, out=tmp_path / "m.csv")
    medtl.index(folder, out=tmp_path / "m.csv", force=True)
    assert not (tmp_path / "m.unmatched.csv").exists()


def test_a_name_that_is_no_text_stops_nothing(folder: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/h\xff")
    folder.rename(odd)
    Path(odd, os.fsdecode(b"bad\xff.png")).write_bytes(Path(odd, "0.png").read_bytes())
    m = medtl.index(odd, out=tmp_path / "m.csv", report=tmp_path / "sheet.html")
    assert "unreadable" in set(m.frame.status)
    assert medtl.Manifest.load(tmp_path / "m.csv").frame.equals(m.frame)


def test_explain_says_what_was_decided(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    medtl.index(explain=folder / "0.png")
    assert "a picture" in capsys.readouterr().out
    medtl.index(explain=folder / "notes.txt")
    assert "a text file, not a scan" in capsys.readouterr().out
    with pytest.raises(InputError, match="is not there"):
        medtl.index(explain=folder / "nowhere.png")
    with pytest.raises(InputError, match="no folder is named"):
        medtl.index()


def test_a_scan_keeps_its_split_when_others_come_and_go(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(scans / f"{i}.png")
    before = medtl.index(scans, out=tmp_path / "m.csv").frame.set_index("path").split
    (scans / "3.png").unlink()
    Image.fromarray(np.random.default_rng(99).integers(0, 255, (32, 40), dtype=np.uint8)).save(scans / "new.png")
    after = medtl.index(scans, out=tmp_path / "m.csv", force=True).frame.set_index("path").split
    stayed = before.index.intersection(after.index)
    assert len(stayed) == 29 and (after[stayed] == before[stayed]).all()
    assert after[str(scans / "new.png")]


def test_a_reader_that_has_left_costs_no_work(folder: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m medtl index '{folder}' -o '{tmp_path / 'm.csv'}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (tmp_path / "m.csv").exists(), done.stderr
