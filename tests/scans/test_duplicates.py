"""The same picture under two names is found, and nobody else's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medtl.scans import Manifest, Scan, read
from medtl.scans.duplicates import BLOCK, NEAR, fingerprint, group_patients, near_duplicates, perceptual_hash
from medtl.scans.manifest import COLUMNS


@pytest.fixture(scope="module")
def picture(shared_data: Path) -> Scan:
    return read(shared_data / "ultrasound" / "egypt" / "benign_1.jpg")


@pytest.fixture(scope="session")
def egypt(shared_data: Path) -> pd.DataFrame:
    """The labels of 150 Egyptian scans, and each one's perceptual hash."""
    table = pd.read_csv(shared_data / "ultrasound" / "labels.csv", dtype=str)
    table = table[table.site == "egypt"]
    shared = table[table.patient.duplicated(keep=False)]
    table = pd.concat([shared, table.drop(shared.index).head(150 - len(shared))])
    return table.assign(phash=[perceptual_hash(read(shared_data / "ultrasound" / file)) for file in table.file])


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_the_pixels_count_and_not_the_file(picture: Scan, tmp_path: Path) -> None:
    Image.fromarray(picture.pixels[0].astype(np.uint8)).save(tmp_path / "copy.png")
    copy = read(tmp_path / "copy.png")
    assert fingerprint(copy) == fingerprint(picture)
    assert len(fingerprint(picture)) == 16
    changed = picture.pixels.copy()
    changed[0, 0, 0] += 1
    assert fingerprint(Scan(changed)) != fingerprint(picture)
    assert fingerprint(Scan(picture.pixels.reshape(1, -1, 1))) != fingerprint(picture)


def test_an_even_area_is_nobody() -> None:
    assert fingerprint(Scan(np.zeros((1, 8, 8), np.float32))) == ""
    assert perceptual_hash(Scan(np.zeros((1, 8, 8), np.float32))) == ""
    assert list(near_duplicates(["", "", ""])) == []


@pytest.mark.parametrize("change", ["brighter", "smaller", "JPEG", "colour", "a volume's middle"])
def test_the_perceptual_hash_stays(picture: Scan, change: str, tmp_path: Path) -> None:
    grey = picture.pixels[0]
    if change == "brighter":
        other = Scan(picture.pixels * 1.5 + 1000)
    elif change == "smaller":
        other = Scan(np.asarray(Image.fromarray(grey).resize((140, 118)))[None])
    elif change == "JPEG":
        Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "again.jpg", quality=50)
        other = read(tmp_path / "again.jpg")
    elif change == "colour":
        other = Scan(np.stack([picture.pixels] * 3, axis=-1))
    else:
        other = Scan(np.stack([grey * 0, grey, grey * 0]))
    assert distance(perceptual_hash(other), perceptual_hash(picture)) <= NEAR / 2


def test_what_the_publishers_call_near_duplicates_is_found(egypt: pd.DataFrame) -> None:
    pairs = {frozenset(pair) for pair in near_duplicates(egypt.phash)}
    known = {
        frozenset(pair)
        for _, rows in egypt.reset_index(drop=True).groupby("patient")
        for pair in itertools.combinations(rows.index, 2)
    }
    assert len(known) == 54
    assert known <= pairs


def test_pairs_are_those_that_counting_bits_one_by_one_finds(egypt: pd.DataFrame) -> None:
    hashes = ["", *egypt.phash]
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if hashes[i] and hashes[j] and distance(hashes[i], hashes[j]) <= NEAR
    }
    assert set(near_duplicates(hashes)) == expected


def test_pairs_across_blocks() -> None:
    numbers = np.random.default_rng(0).bytes(32 * (BLOCK + 10))
    hashes = [numbers[i : i + 32].hex() for i in range(0, len(numbers), 32)]
    hashes[BLOCK + 3] = hashes[5]
    assert list(near_duplicates(hashes)) == [(5, BLOCK + 3)]


def test_other_patients_of_other_hospitals_are_not_near(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "ultrasound" / "labels.csv", dtype=str)
    table = table[table.site.isin(["brazil", "poland"])].groupby("site").head(100)
    assert list(near_duplicates(perceptual_hash(read(shared_data / "ultrasound" / file)) for file in table.file)) == []


def test_groups() -> None:
    cells = [  # patient, fingerprint, phash, status
        ("P-2", "a", "", "ok"),
        ("P-1", "a", "", "ok"),  # the same pixels as P-2's
        ("P-2", "b", "0" * 64, "ok"),
        ("", "c", "0" * 63 + "1", "ok"),  # near P-2's second
        ("", "d", "f" * 64, "ok"),
        ("", "a", "", "unreadable"),
        ("P-9", "", "", "ok"),
    ]
    rows = [
        dict.fromkeys(COLUMNS, "")
        | {"scan_id": f"s{i}", "patient": patient, "fingerprint": mark, "phash": look, "status": status}
        for i, (patient, mark, look, status) in enumerate(cells)
    ]
    grouped = group_patients(Manifest(pd.DataFrame(rows)))
    assert list(grouped.frame.group) == ["P-1", "P-1", "P-1", "P-1", "s4", "s5", "P-9"]
    assert list(group_patients(grouped).frame.group) == list(grouped.frame.group)
    assert list(grouped.groups) == list(grouped.frame.group)
