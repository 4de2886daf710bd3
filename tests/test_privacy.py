"""What leaves the house names no patient, no path and no machine: scan_id only."""

from __future__ import annotations

import importlib.util
import platform
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pydicom
import pytest
from pydicom.uid import generate_uid

from medtl import cli

ROOT = Path(__file__).resolve().parent.parent
NAME, NUMBER, BIRTHDAY = "Quirinius^Zenobia", "HOSP4711", "19530427"
HOST, USER = "xray-workstation-17", "doctor.quincy"


def _module(path: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "tests" / path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The small Run of the tests of runs."""
    return _module("runs/small.py")


@pytest.fixture
def identified(tmp_path: Path, sample_data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A folder of real scans whose headers, file names and folders name patients, and all that must not get out."""
    folder = tmp_path / "clinic"  # names the site
    secrets = [NAME, "Quirinius", "Zenobia", NUMBER, BIRTHDAY, str(tmp_path), HOST, USER]
    monkeypatch.setattr(platform, "node", lambda: HOST)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    for variable in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, USER)
    files = sorted(path for path in (sample_data / "egypt").rglob("IM*") if path.is_file())[:12]
    for i, path in enumerate(files):
        scan = pydicom.dcmread(path)
        scan.PatientName, scan.PatientID, scan.PatientBirthDate = NAME, f"{NUMBER}-{i}", BIRTHDAY
        scan.AccessionNumber = f"{NUMBER}acc{i}"
        scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.SOPInstanceUID = (generate_uid() for _ in range(3))
        scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID
        secrets += [scan.StudyInstanceUID, scan.SeriesInstanceUID, scan.SOPInstanceUID]
        place = folder / "Zenobia" / f"{NUMBER}-{i}"
        place.mkdir(parents=True)
        scan.save_as(place / f"Zenobia{i}.dcm")
    (folder / "HOSP4711 damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"Zenobia")
    return folder, secrets


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of every file, unpacked where it is an archive."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path.name}/{name}", archive.read(name)


def test_identifiers_stay_in_the_house(
    identified: tuple[Path, list[str]], small: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, secrets = identified
    house, outside = tmp_path / "house", tmp_path / "outside"
    small.run(outside / "run")
    labels = house / "labels.csv"
    labels.parent.mkdir()
    files = sorted(folder.rglob("Zenobia*.dcm"))
    lines = [f"{path.relative_to(folder).as_posix()},{('no', 'yes')[i % 2]}" for i, path in enumerate(files)]
    labels.write_text("file,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    manifest, told = house / "manifest.csv", ["--config", _module("verbs/two_sites.py").config(house)]
    for words in (
        ["index", folder, "-o", manifest, "--labels", labels],
        ["predict", outside / "run", manifest, "-o", outside / "predictions.csv"],
        ["calibrate", outside / "run", "--on", manifest, "-o", outside / "calibrated"],
        ["evaluate", outside / "calibrated", "--on", manifest, "-o", outside / "evaluation"],
        ["export", outside / "calibrated", "-o", outside / "export"],
        ["predict", outside / "export", manifest, "-o", outside / "exported.csv"],
        ["adapt", "--source", manifest, "--target", manifest, *told, "-o", outside / "adapted"],
        ["finetune", outside / "adapted", "--train", manifest, "--shots", "2", *told, "-o", outside / "tuned"],
        ["evaluate", outside / "tuned", "--on", manifest, "-o", outside / "comparison"],
    ):
        assert cli.main([str(word) for word in words]) == 0, capsys.readouterr().err
    # the manifest has paths, as it must; its other columns have no identifier
    table = pd.read_csv(manifest, dtype=str).drop(columns="path")
    for secret in secrets:
        assert secret not in table.to_csv(), "in the manifest"
    found = {(name, secret) for name, data in contents(outside) for secret in secrets if secret.encode() in data}
    assert not found
