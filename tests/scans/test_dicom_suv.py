"""SUV factors against numbers worked out by hand: a half-life of an hour, 80 kg, 400 MBq."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from medtl.scans.dicom_facts import facts
from medtl.scans.dicom_header import read_elements
from medtl.scans.dicom_suv import suv_facts

HOUR, WEIGHT, DOSE = 3600.0, 80.0, 4e8
UNDECAYED = 2e-4  # 80,000 g / 4e8 Bq
DECAYED = 4e-4  # an hour later half of the dose is left


def a_pet(phantom: Any, **fields: Any) -> Dataset:
    """Scanned at 11:00, an hour after the injection. Fields set to None are left out."""
    injected = Dataset()
    injected.RadiopharmaceuticalStartDateTime = "20260301100000.00"
    injected.RadionuclideTotalDose, injected.RadionuclideHalfLife = DOSE, HOUR
    given = {
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY", "SCAT"],
        "DecayCorrection": "START",
        "PatientWeight": WEIGHT,
        "SeriesDate": "20260301",
        "SeriesTime": "110000",
        "AcquisitionDate": "20260301",
        "AcquisitionTime": "110500.25",
        **fields,
    }
    for keyword in [name for name in given if name.startswith("Radio")]:
        value = given.pop(keyword)
        delattr(injected, keyword) if value is None else setattr(injected, keyword, value)
    dataset = phantom.dataset(modality="PT", **{name: value for name, value in given.items() if value is not None})
    dataset.RadiopharmaceuticalInformationSequence = Sequence([injected])
    return dataset


def found(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """By our own reader of headers, from a file."""
    dataset.save_as(folder / "pet.dcm", enforce_file_format=True)
    return facts(read_elements(folder / "pet.dcm", pixels=True), None)


@pytest.mark.parametrize(
    ("fields", "factor"),
    [
        ({}, DECAYED),
        ({"DecayCorrection": "ADMIN"}, UNDECAYED),
        ({"Units": "GML", "PatientWeight": None, "DecayCorrection": None}, 1.0),
        ({"Units": "GML", "SUVType": "BW"}, 1.0),
        # one hour over midnight, by dates; and without any date
        (
            {
                "RadiopharmaceuticalStartDateTime": "20260228233000",
                "SeriesTime": "003000",
                "AcquisitionTime": "003100",
            },
            DECAYED,
        ),
        (
            {
                "RadiopharmaceuticalStartDateTime": None,
                "RadiopharmaceuticalStartTime": "233000",
                "SeriesTime": "003000.000",
                "AcquisitionTime": "003100",
            },
            DECAYED,
        ),
        # only the time of the injection, as most files have it; with an offset from UTC; in the notation of old files
        ({"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "100000.00"}, DECAYED),
        ({"RadiopharmaceuticalStartDateTime": "20260301100000.000000-0500"}, DECAYED),
        # the injection two hours before
        ({"RadiopharmaceuticalStartDateTime": "20260301090000"}, 8e-4),
        # dates were taken away, times were not
        ({"SeriesDate": None, "AcquisitionDate": None}, DECAYED),
        ({"AcquisitionTime": None}, DECAYED),
    ],
)
def test_the_factor_is_the_one_worked_out_by_hand(phantom: Any, tmp_path: Path, fields: dict, factor: float) -> None:
    assert found(a_pet(phantom, **fields), tmp_path)["suv"] == pytest.approx(factor, rel=1e-9)


def test_fluorine_18(phantom: Any, tmp_path: Path) -> None:
    """70 kg, 370 MBq, 109.77 minutes, scanned after 60: 70,000 / (370e6 * 0.684637) = 2.76338e-4."""
    pet = a_pet(phantom, PatientWeight=70, RadionuclideTotalDose=370e6, RadionuclideHalfLife=6586.2)
    assert found(pet, tmp_path)["suv"] == pytest.approx(2.76338e-4, rel=1e-5)


def test_a_series_made_later_is_timed_by_its_frame(phantom: Any, tmp_path: Path) -> None:
    """A bed position that began 10 minutes after the scan and took one half-life.

    Its mean rate lies ln(2 ln 2) / ln 2 = 0.47123 half-lives after its start.
    """
    reference = 600 + HOUR * math.log(2 * math.log(2)) / math.log(2)
    pet = a_pet(
        phantom,
        SeriesTime="170000",
        AcquisitionTime="111000",
        FrameReferenceTime=reference * 1000,
        ActualFrameDuration=int(HOUR * 1000),
    )
    assert found(pet, tmp_path)["suv"] == pytest.approx(DECAYED, rel=1e-6)


def test_a_series_that_ge_made_later_is_timed_by_its_private_field(phantom: Any, tmp_path: Path) -> None:
    pet = a_pet(phantom, SeriesTime="170000")
    block = pet.private_block(0x0009, "GEMS_PETD_01", create=True)
    block.add_new(0x0D, "DT", "20260301110000.00")
    assert found(pet, tmp_path)["suv"] == pytest.approx(DECAYED)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("others", [0, 2])
def test_philips_counts(phantom: Any, tmp_path: Path, implicit: bool, others: int) -> None:
    """By either private factor, wherever its creator reserved its block."""
    for private, value, factor in ((0x00, 0.00127, 0.00127), (0x09, 2.5, 2.5 * DECAYED)):
        pet = a_pet(phantom, Units="CNTS")
        for other in range(others):
            pet.private_block(0x7053, f"Other {other}", create=True).add_new(0x00, "DS", "9")
        pet.private_block(0x7053, "Philips PET Private Group", create=True).add_new(private, "DS", str(value))
        if implicit:
            pet.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        assert found(pet, tmp_path)["suv"] == pytest.approx(factor)


@pytest.mark.filterwarnings("ignore:Invalid value for VR DT")
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"PatientWeight": None}, "PatientWeight (0010,1030) is missing"),
        ({"PatientWeight": 0}, "PatientWeight (0010,1030) is 0"),
        ({"Units": None}, "Units (0054,1001) is missing"),
        ({"Units": "PROPCNTS"}, "Units (0054,1001) is PROPCNTS"),
        ({"Units": "CNTS"}, "(7053,xx00)"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType (0054,1006) is LBM"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose (0018,1074) is missing"),
        ({"RadionuclideTotalDose": 400}, "RadionuclideTotalDose (0018,1074) is 400"),  # MBq
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife (0018,1075) is missing"),
        ({"RadiopharmaceuticalStartDateTime": None}, "RadiopharmaceuticalStartTime (0018,1072) are missing"),
        ({"RadiopharmaceuticalStartDateTime": "20260301120000"}, "lies after the scan"),
        ({"RadiopharmaceuticalStartDateTime": "20260201100000"}, "too long before"),
        ({"RadiopharmaceuticalStartDateTime": "20261332100000"}, "a date"),
        ({"SeriesTime": None, "AcquisitionTime": None}, "SeriesTime (0008,0031)"),
        ({"SeriesTime": "170000"}, "FrameReferenceTime (0054,1300)"),
        ({"CorrectedImage": None}, "CorrectedImage (0028,0051) is missing"),
        ({"CorrectedImage": ["SCAT", "DECY"]}, "lacks ATTN"),
        ({"CorrectedImage": "ATTN"}, "lacks DECY"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection (0054,1102) is NONE"),
        ({"DecayCorrection": None}, "DecayCorrection (0054,1102) is missing"),
    ],
)
def test_what_is_missing_is_named(phantom: Any, tmp_path: Path, fields: dict, says: str) -> None:
    told = found(a_pet(phantom, **fields), tmp_path)
    assert says in told["suv_missing"] and "suv" not in told


def test_no_sequence_of_the_injection(phantom: Any, tmp_path: Path) -> None:
    pet = a_pet(phantom)
    del pet.RadiopharmaceuticalInformationSequence
    assert "RadiopharmaceuticalInformationSequence (0054,0016)" in found(pet, tmp_path)["suv_missing"]


def test_a_turned_picture_and_other_modalities(phantom: Any, tmp_path: Path) -> None:
    a_pet(phantom).save_as(tmp_path / "pet.dcm", enforce_file_format=True)
    assert "MONOCHROME1" in suv_facts(read_elements(tmp_path / "pet.dcm", pixels=True), turned=True)["suv_missing"]
    ct = a_pet(phantom)
    ct.Modality = "CT"
    assert not {"suv", "suv_missing"} & set(found(ct, tmp_path))


VALUES = st.one_of(
    st.none(), st.text(max_size=16), st.floats(), st.binary(max_size=8), st.lists(st.text(max_size=4), max_size=3)
)
KEYWORDS = (
    "Units", "SUVType", "CorrectedImage", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime",
    "AcquisitionDate", "AcquisitionTime", "FrameReferenceTime", "ActualFrameDuration",
)  # fmt: skip
INJECTED = (
    "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime",
)  # fmt: skip
SOUND = {
    "Units": "BQML", "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START", "PatientWeight": WEIGHT,
    "SeriesDate": "20260301", "SeriesTime": "110000",
}  # fmt: skip
SOUND_INJECTED = {
    "RadionuclideTotalDose": DOSE, "RadionuclideHalfLife": HOUR, "RadiopharmaceuticalStartTime": "100000",
}  # fmt: skip


@given(
    fields=st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=3),
    injected=st.dictionaries(st.sampled_from(INJECTED), VALUES, max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_header_holds_a_factor_or_a_reason(fields: dict, injected: dict) -> None:
    header = {**SOUND, **fields, "RadiopharmaceuticalInformationSequence": [{**SOUND_INJECTED, **injected}]}
    told = suv_facts(header)
    assert len(told) == 1
    assert told["suv_missing"] if "suv_missing" in told else math.isfinite(told["suv"]) and told["suv"] > 0
