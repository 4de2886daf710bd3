"""What lies outside what a model was trained on: hardly ever a scan of the same hospital, always another kind."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError
from medtl.intensity.fingerprint import NUMBERS, Fingerprint, Print, Prints, print_of
from medtl.scans import Scan, read

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_scans = pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans of ../shared are not here")
NAN = math.nan


def told(modality: str = "", manufacturer: str = "", **numbers: float) -> Print:
    """A print of which the test says what matters; the rest is unknown."""
    return Print(tuple(float(numbers.get(name.replace(" ", "_"), NAN)) for name in NUMBERS), modality, manufacturer)


def several(**ranges: tuple[float, float]) -> Fingerprint:
    """Of 101 scans that fill these ranges evenly."""
    return Fingerprint.fit(
        told(**{name: low + share * (high - low) for name, (low, high) in ranges.items()})
        for share in np.linspace(0, 1, 101)
    )


# --- of real scans ---------------------------------------------------------------------------------------------------


@cache
def site(folder: str, name: str) -> tuple[Prints, np.ndarray]:
    """The prints of a hospital's scans, and their patients; of at most 250."""
    with (SHARED / folder / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["site"] == name]
    rows = rows[:: -(-len(rows) // 250)]
    prints = Prints.of(print_of(read(SHARED / folder / row["file"])) for row in rows)
    return prints, np.array([row["patient"] for row in rows])


HOSPITALS = [
    ("ultrasound", "brazil"),
    ("ultrasound", "egypt"),
    ("ultrasound", "poland"),
    ("tb", "new-delhi"),
    ("tb", "yakutia"),
    ("brain-mr", "hammersmith"),
]


@needs_scans
@pytest.mark.parametrize("hospital", HOSPITALS, ids="-".join)
def test_at_most_2_percent_of_the_scans_of_other_patients_of_a_hospital_lie_outside(hospital: tuple[str, str]) -> None:
    prints, patient = site(*hospital)
    shares = []
    for seed in range(20):
        names = np.unique(patient)
        np.random.default_rng(seed).shuffle(names)
        known = np.isin(patient, names[: len(names) // 2])
        fingerprint = Fingerprint.fit(prints.select(known))
        shares.append(np.mean([bool(fingerprint.outside(scan)) for scan in prints.select(~known)]))
    assert np.mean(shares) <= 0.02


@needs_scans
@pytest.mark.parametrize(
    ("known", "other", "says"),
    [
        (("ultrasound", "brazil"), ("brain-mr", "hammersmith"), "120 slices, trained on 1"),
        (("brain-mr", "hammersmith"), ("tb", "yakutia"), "1 slice, trained on 120"),
    ],
)
def test_scans_of_another_kind_lie_outside(known: tuple[str, str], other: tuple[str, str], says: str) -> None:
    fingerprint = Fingerprint.fit(site(*known)[0])
    assert all(any(says in phrase for phrase in fingerprint.outside(scan)) for scan in site(*other)[0])


# --- what is told apart ----------------------------------------------------------------------------------------------


@cache
def ct() -> Scan:
    """A real CT slice in HU."""
    pydicom = pytest.importorskip("pydicom.data")
    return read(Path(pydicom.get_testdata_file("CT_small.dcm")))


def varied(scan: Scan) -> list[Scan]:
    """The same a little brighter and darker, as of ten patients."""
    return [replace(scan, pixels=scan.pixels * np.float32(1 + share)) for share in np.linspace(-0.05, 0.05, 10)]


def windowed(scan: Scan) -> Scan:
    """As a viewer saves it: soft tissue in 8 bits."""
    pixels = np.clip((scan.pixels + 160) / 400 * 255, 0, 255).round().astype(np.float32)
    return Scan(pixels, None, "", (NAN,) * 3, {"bits": 8})


def test_hounsfield_units_and_windowed_pictures_are_told_apart() -> None:
    in_hu = Fingerprint.fit(map(print_of, varied(ct())))
    in_grey = Fingerprint.fit(print_of(windowed(scan)) for scan in varied(ct()))
    assert any("values" in phrase for phrase in in_hu.outside(print_of(windowed(ct()))))
    assert any("values" in phrase for phrase in in_grey.outside(print_of(ct())))
    assert not in_hu.outside(print_of(ct())) and not in_grey.outside(print_of(windowed(ct())))


@needs_scans
def test_twelve_bits_and_eight_are_told_apart_on_real_radiographs() -> None:
    eight, _ = site("tb", "yakutia")
    deep = Prints.of(
        Print((*(16 * number for number in scan.numbers[:3]), *scan.numbers[3:]), scan.modality) for scan in eight
    )
    assert all(Fingerprint.fit(eight).outside(scan) for scan in deep)
    assert all(Fingerprint.fit(deep).outside(scan) for scan in eight)
    assert not any(map(Fingerprint.fit(deep).outside, deep))


@pytest.mark.parametrize(
    ("fingerprint", "scan", "says"),
    [
        (
            several(spacing_of_columns=(0.05, 0.20)),
            told(spacing_of_columns=0.8),
            "spacing of columns 0.8 mm, trained on 0.05 to 0.2 mm",
        ),
        (several(spacing_of_slices=(1.0, 2.0)), told(spacing_of_slices=5.0), "spacing of slices 5 mm, trained on 1 to"),
        (several(spacing_of_rows=(0.5, 0.5)), told(spacing_of_rows=0.0005), "spacing of rows 0.0005 mm, trained on 0."),
        (several(low=(-1024, -900), high=(900, 1800)), told(low=0, high=250), "darkest values (1st percentile) 0, tr"),
        (several(low=(0, 10), high=(800, 4000)), told(low=0, high=255), "over 255, trained on 800 to 3,990"),
        (several(low=(0, 10), high=(200, 255)), told(low=0, high=4095), "brightest values (99th percentile) 4,095, tr"),
        (
            several(low=(0, 0), high=(200, 255)),
            told(low=0, high=1),
            "brightest values (99th percentile) 1, trained on 200 to 255",
        ),
        (several(rows=(500, 512)), told(rows=100), "100 rows, trained on 500 to 512"),
        (several(slices=(40, 60)), told(slices=1), "1 slice, trained on 40 to 60"),
        (several(colour=(0, 0)), told(colour=0.9), "90% of its pixels are in colour, trained on scans in grey"),
        (
            several(colour=(0.2, 0.9)),
            told(colour=0),
            "0% of its pixels are in colour, trained on scans with 20% to 90%",
        ),
    ],
)
def test_it_says_what_differs_in_the_words_of_the_field(fingerprint: Fingerprint, scan: Print, says: str) -> None:
    (phrase,) = fingerprint.outside(scan)
    assert says in phrase


@pytest.mark.parametrize(
    ("fingerprint", "scan"),
    [
        (several(spacing_of_columns=(0.05, 0.20)), told(spacing_of_columns=0.25)),
        (several(spacing_of_columns=(0.05, 0.20)), told()),  # what is unknown is not compared
        (several(high=(200, 255)), told(spacing_of_columns=0.25)),
        (several(low=(0, 10), high=(400, 1700)), told(low=0, high=3000)),  # MR has no unit
        (several(rows=(224, 224)), told(rows=512)),
    ],
)
def test_a_little_further_is_still_familiar(fingerprint: Fingerprint, scan: Print) -> None:
    assert fingerprint.outside(scan) == []


def test_square_pixels_are_said_once() -> None:
    fingerprint = several(spacing_of_rows=(0.1, 0.2), spacing_of_columns=(0.1, 0.2))
    assert len(fingerprint.outside(told(spacing_of_rows=2.0, spacing_of_columns=2.0))) == 1
    assert len(fingerprint.outside(told(spacing_of_rows=2.0, spacing_of_columns=3.0))) == 2


def test_another_modality_lies_outside_and_one_of_the_same_kind_does_not() -> None:
    fingerprint = Fingerprint.fit([told("DX"), told("")])
    assert fingerprint.outside(told("CT")) == ["modality CT, trained on DX"]
    assert fingerprint.outside(told("CR")) == fingerprint.outside(told("")) == []


def test_where_no_scan_trained_on_names_its_modality_that_of_a_scan_outside_is_said_first() -> None:
    fingerprint = several(slices=(1, 1), high=(200, 255))
    assert fingerprint.outside(told("US", slices=1, high=230)) == fingerprint.outside(told("CT")) == []
    said = fingerprint.outside(told("CT", slices=6, high=2000))
    assert said[0] == "modality CT, trained on scans that name none"
    assert said[1:] == fingerprint.outside(told(slices=6, high=2000)) and len(said) == 3


def test_a_new_manufacturer_is_said_and_does_not_make_a_scan_unfamiliar() -> None:
    fingerprint = Fingerprint.fit(
        [told(manufacturer=name) for name in ("GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "")]
    )
    assert fingerprint.new_manufacturer(told(manufacturer="Mindray")) == (
        "a machine of Mindray, trained on GE MEDICAL SYSTEMS, Philips and SIEMENS"
    )
    assert fingerprint.outside(told(manufacturer="Mindray")) == []
    for known in ("GE Healthcare", "Siemens Healthineers", "philips", ""):
        assert fingerprint.new_manufacturer(told(manufacturer=known)) == ""
    assert Fingerprint.fit([told()]).new_manufacturer(told(manufacturer="Mindray")) == ""


def test_a_few_odd_scans_of_thousands_do_not_widen_the_range() -> None:
    usual = [told(low=0, high=250)] * 5000
    fingerprint = Fingerprint.fit([*usual, *[told(low=-1000, high=60000)] * 4])
    assert fingerprint.ranges["high"] == (250, 250)
    assert fingerprint.outside(told(low=-1000, high=2000))


def test_what_few_scans_know_gives_no_range() -> None:
    assert "rows" not in Fingerprint.fit([told(rows=5), *[told()] * 10]).ranges
    assert Fingerprint.fit([told(rows=5), *[told()] * 9]).ranges["rows"] == (5, 5)


unknown_or = [st.floats(1, 1e4, width=32) | st.just(NAN)] * (len(NUMBERS) - 3)
known_prints = st.builds(
    lambda values, others, modality, manufacturer: Print((*sorted(values), *others), modality, manufacturer),
    st.tuples(*[st.floats(-2000, 5000, width=32)] * 3),
    st.tuples(*unknown_or),
    st.sampled_from(["", "CT", "US"]),
    st.sampled_from(["", "ACME", "GE"]),
)


@settings(max_examples=40)
@given(st.lists(known_prints, min_size=1, max_size=9), st.lists(known_prints, min_size=1, max_size=9))
def test_what_was_trained_on_is_never_outside_and_a_joined_range_holds_both(
    first: list[Print], second: list[Print]
) -> None:
    one, two = Fingerprint.fit(first), Fingerprint.fit(second)
    assert not any(map(one.outside, first)) and not any(map(one.new_manufacturer, first))
    both = one.joined(two)
    assert both.scans == len(first) + len(second)
    assert not any(map(both.outside, first + second)) and not any(map(both.new_manufacturer, first + second))
    assert Fingerprint.from_dict(json.loads(json.dumps(both.to_dict()))) == both


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved.pop("ranges"),
        lambda saved: saved.update(ranges={"rows": [1]}),
        lambda saved: saved.update(ranges={"weight": [1, 2]}),
        lambda saved: saved.update(modalities=3),
        lambda saved: saved.update(scans="many"),
    ],
)
def test_what_is_damaged_is_refused(change: Callable[[dict[str, object]], object]) -> None:
    saved = several(rows=(1, 2)).to_dict()
    change(saved)
    with pytest.raises(InputError, match="fingerprint"):
        Fingerprint.from_dict(saved)
