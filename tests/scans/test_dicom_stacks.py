"""One series, several stacks: what is told apart, in which order, and what is found missing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans.dicom import read_dicom
from medtl.scans.dicom_place import Kind, Plane, planes_of, renumber
from medtl.scans.dicom_resample import Grid, resample
from medtl.scans.dicom_stacks import Stack, split_stacks

Phantom = Any  # of conftest.py
Save = Callable[..., list[Path]]
FILES = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
SAGITTAL, CORONAL = (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
TILTED = (1, 0, 0, 0, np.cos(np.radians(15)), np.sin(np.radians(15)))


def stacks_of(datasets: list[Any], on_gap: Any = "error") -> list[Stack]:
    return split_stacks(renumber([planes_of(dataset, 0) for dataset in datasets]), on_gap)


def names(datasets: list[Any]) -> list[str]:
    stacks = stacks_of(datasets)
    assert not any(stack.problem for stack in stacks), [stack.problem for stack in stacks]
    return [stack.name for stack in stacks]


def numbers(stack: Stack) -> list[int]:
    return [int(plane.order) for plane in stack.planes]


def test_one_stack_in_every_order_of_its_files(phantom: Phantom, save: Save) -> None:
    files = save(phantom.stack(4, step=(0, 0, -3)))
    for order in itertools.permutations(files):
        scan = read_dicom(order)
        phantom.assert_true(scan)
        assert scan.affine[2, 0] == 3  # up along the normal, though the instance numbers go down


def test_localisers_in_three_directions(phantom: Phantom, save: Save) -> None:
    kind = ("ORIGINAL", "PRIMARY", "LOCALIZER")
    datasets = [
        *phantom.stack(3, ImageType=kind, modality="MR"),
        *phantom.stack(3, (4, 0, 0), orientation=SAGITTAL, first=4, ImageType=kind, modality="MR"),
        *phantom.stack(3, (0, 4, 0), orientation=CORONAL, first=7, ImageType=kind, modality="MR"),
    ]
    assert names(datasets) == ["localiser 1 of 3", "localiser 2 of 3", "localiser 3 of 3"]
    files = save(datasets)
    for volume in range(3):
        phantom.assert_true(read_dicom(files[::-1], volume=volume))
    with pytest.raises(ScanError, match="holds 3 stacks"):
        read_dicom(files)
    with pytest.raises(ScanError, match="no volume 3"):
        read_dicom(files, volume=3)


def test_directions_are_named_by_their_plane(phantom: Phantom) -> None:
    datasets = [*phantom.stack(2, first=5), *phantom.stack(2, (4, 0, 0), orientation=SAGITTAL)]
    assert names(datasets) == ["sagittal", "axial"]


def test_directions_that_rounding_sets_apart_are_one(phantom: Phantom) -> None:
    angles = [0.0004999, 0.0005001, 0.00045, 0.0005]  # to three decimals, these are two directions
    datasets = [
        phantom.dataset((0, 0, 3 * k), (np.cos(a), np.sin(a), 0, -np.sin(a), np.cos(a), 0), number=k)
        for k, a in enumerate(angles)
    ]
    assert names(datasets) == [""]


def test_matrix_and_pixel_size(phantom: Phantom) -> None:
    datasets = [
        *phantom.stack(2),
        *phantom.stack(2, first=3, size=(4, 4)),
        *phantom.stack(2, first=5, spacing=(1.0, 1.0)),
    ]
    assert names(datasets) == ["6 x 8 pixels, pixels of 2 x 1 mm", "4 x 4 pixels", "6 x 8 pixels, pixels of 1 x 1 mm"]


def test_echoes(phantom: Phantom, save: Save) -> None:
    times = {4.6: 200.0, 2.3: 0.0, 6.9: 100.0}
    datasets = [
        dataset
        for number, (echo, add) in enumerate(times.items())
        for dataset in phantom.stack(4, first=1 + 4 * number, EchoTime=echo, modality="MR", add=add)
    ]
    assert names(datasets) == ["echo 1 of 3", "echo 2 of 3", "echo 3 of 3"]
    files = save(datasets)
    for volume, add in enumerate([0.0, 200.0, 100.0]):  # the shortest first
        phantom.assert_true(read_dicom(files, volume=volume), add)
    first = read_dicom(files)
    assert first.header["volumes"] == 3
    phantom.assert_true(first)


def test_magnitude_and_phase(phantom: Phantom) -> None:
    for kind in (["ORIGINAL", "PRIMARY", "{}", "NONE"], ["ORIGINAL", "PRIMARY", "T1", "{}", "FFE"]):
        datasets = [
            *phantom.stack(3, modality="MR", ImageType=tuple(word.format("M") for word in kind)),
            *phantom.stack(3, modality="MR", ImageType=tuple(word.format("P") for word in kind), first=4),
        ]
        assert names(datasets) == ["magnitude", "phase"]
        assert {stack.place for stack in stacks_of(datasets)} == {0}


def test_parts_of_ge_stand_in_a_private_field(phantom: Phantom) -> None:
    datasets = []
    for part in range(4):
        for dataset in phantom.stack(2, modality="MR", first=1 + 2 * part, Manufacturer="GE MEDICAL SYSTEMS"):
            dataset.private_block(0x43, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", part)
            datasets.append(dataset)
    assert names(datasets) == ["magnitude", "phase", "real", "imaginary"]


def test_the_makers_own_words_of_image_type(phantom: Phantom) -> None:
    words = ["WATER", "FAT", "IN_PHASE"]
    datasets = [
        dataset
        for number, word in enumerate(words)
        for dataset in phantom.stack(
            3, modality="MR", ImageType=("DERIVED", "PRIMARY", "DIXON", word), first=1 + 3 * number
        )
    ]
    assert names(datasets) == ["water", "fat", "in_phase"]


def test_single_derived_slices_belong_to_the_others_though_one_is_missing(phantom: Phantom) -> None:
    types = [["DERIVED" if k in (2, 7) else "ORIGINAL", "PRIMARY", "AXIAL"] for k in range(10)]
    datasets = phantom.stack(10, ImageType=types)
    del datasets[4]
    (stack,) = stacks_of(datasets)
    assert stack.problem.startswith("slice 5 of 10 is missing")


def test_slices_closer_than_positions_are_usually_rounded(phantom: Phantom) -> None:
    datasets = phantom.stack(6, (0, 0, 0.004), modality="OPT")
    (stack,) = stacks_of(datasets)
    assert not stack.problem and stack.spacing[0] == pytest.approx(0.004)


def test_original_and_derived_at_one_place(phantom: Phantom) -> None:
    datasets = [
        *phantom.stack(4, ImageType=("ORIGINAL", "PRIMARY", "AXIAL")),
        *phantom.stack(4, ImageType=("DERIVED", "PRIMARY", "AXIAL"), first=5),
    ]
    assert names(datasets) == ["original", "derived"]


def test_reformats_beside_their_source(phantom: Phantom) -> None:
    datasets = [
        *phantom.stack(5, ImageType=("ORIGINAL", "PRIMARY", "AXIAL")),
        *phantom.stack(3, step=(0, 0, 5), first=6, ImageType=("DERIVED", "SECONDARY", "MPR")),
    ]
    assert names(datasets) == ["original primary axial", "derived secondary mpr"]


@pytest.mark.parametrize("maker", ["standard", "SIEMENS", "GE MEDICAL SYSTEMS", "as text", "GE as text"])
def test_b_values_and_directions(phantom: Phantom, maker: str) -> None:
    directions = [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)]
    volumes: list[tuple[int, Any]] = [(0, None), *((1000, direction) for direction in directions)]
    datasets = []
    for number, (b_value, direction) in enumerate(volumes):
        for dataset in phantom.stack(3, modality="MR", first=1 + 3 * number):
            if maker == "standard":
                dataset.DiffusionBValue = float(b_value)
                if direction:
                    dataset.DiffusionGradientOrientation = list(direction)
            elif maker in ("SIEMENS", "as text"):
                dataset.Manufacturer = "SIEMENS"
                block = dataset.private_block(0x19, "SIEMENS MR HEADER", create=True)
                block.add_new(0x0C, *(("UN", f"{b_value} ".encode()) if maker == "as text" else ("IS", b_value)))
                if direction:
                    block.add_new(0x0E, "UN" if maker == "as text" else "FD", _packed(direction, maker == "as text"))
            else:
                dataset.Manufacturer = "GE MEDICAL SYSTEMS"
                block = dataset.private_block(0x43, "GEMS_PARM_01", create=True)
                values = [1_000_000_000 + b_value if b_value else 0, 8, 0, 0]
                text = "\\".join(map(str, values)).encode()
                block.add_new(0x39, *(("UN", text) if maker == "GE as text" else ("IS", values)))
            datasets.append(dataset)
    each = "time" if maker.startswith("GE") else "direction"
    assert names(datasets) == ["b = 0", *(f"b = 1000, {each} {number} of 3" for number in (1, 2, 3))]


def _packed(values: Any, packed: bool) -> Any:
    return np.array(values, "<f8").tobytes() if packed else list(values)


@pytest.mark.parametrize(
    "field", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "AcquisitionTime", "ContentTime", None]
)
@pytest.mark.parametrize("by_slice", [False, True])
def test_time_points(phantom: Phantom, save: Save, field: str | None, by_slice: bool) -> None:
    """In the order of the field, whatever the instance numbers say; by those, where there is no field."""
    datasets = []
    for time in range(3):
        for slice_ in range(4):
            later = time if field is None else 2 - time  # the numbers count against the time
            number = 1 + (slice_ * 3 + later if by_slice else later * 4 + slice_)
            fields = (
                {} if field is None else {field: f"1200{10 + time}" if "Acq" in field or "Con" in field else time + 1}
            )
            datasets.append(
                phantom.dataset((0, 0, 3.0 * slice_), modality="MR", number=number, add=100.0 * time, **fields)
            )
    stacks = stacks_of(datasets)
    assert [stack.name for stack in stacks] == ["time 1 of 3", "time 2 of 3", "time 3 of 3"]
    files = save(datasets)
    for volume in range(3):
        phantom.assert_true(read_dicom(files, volume=volume), add=100.0 * volume)


def files_of(stacks: list[Stack]) -> list[list[int]]:
    return [[plane.file for plane in stack.planes] for stack in stacks]


def philips(datasets: list[Any], b_value: float) -> list[Any]:
    for dataset in datasets:
        dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(3, "FL", b_value)
    return datasets


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("modality", "one", "other", "expected"),
    [
        ("CT", {"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}, ["kernel B30f", "kernel B70f"]),
        ("CT", {"ConvolutionKernel": ("I30f", "2")}, {"ConvolutionKernel": ("I70f", "2")},
         ["kernel I30f 2", "kernel I70f 2"]),
        ("CT", {"KVP": 80}, {"KVP": 140}, ["80 kV", "140 kV"]),
        ("CT", {"TriggerTime": 100}, {"TriggerTime": 400}, ["phase 1 of 2", "phase 2 of 2"]),
        ("PT", {"FrameReferenceTime": 9, "TriggerTime": 0}, {"FrameReferenceTime": 9, "TriggerTime": 500},
         ["phase 1 of 2", "phase 2 of 2"]),
        ("MR", {"InversionTime": 100}, {"InversionTime": 2500}, ["inversion time 100 ms", "inversion time 2500 ms"]),
        ("MR", {"FlipAngle": 5}, {"FlipAngle": 15}, ["flip angle 5", "flip angle 15"]),
        ("MR", {"EchoTime": 80, "EchoNumbers": 1}, {"EchoTime": 81, "EchoNumbers": 2}, ["echo 1 of 2", "echo 2 of 2"]),
        ("MR", {"EchoTime": 80}, {"EchoTime": 81}, ["echo 1 of 2", "echo 2 of 2"]),
        ("MR", {"EchoTime": 5, "EchoNumbers": 1}, {"EchoTime": 5, "EchoNumbers": 2}, ["echo 1 of 2", "echo 2 of 2"]),
        ("MR", {"EchoTime": 0, "EchoNumbers": 1}, {"EchoTime": 0, "EchoNumbers": 2}, ["echo 1 of 2", "echo 2 of 2"]),
        ("MR", {"Manufacturer": "Philips"}, {"Manufacturer": "Philips"}, ["b = 0", "b = 1000"]),
    ],
)  # fmt: skip
def test_two_volumes_are_never_mixed_whether_their_numbers_restart_or_alternate(
    phantom: Phantom, restart: bool, modality: str, one: Any, other: Any, expected: list[str]
) -> None:
    first, second = phantom.stack(9, modality=modality, **one), phantom.stack(9, modality=modality, **other)
    if not restart:  # now the one is first, now the other
        for k in range(9):
            first[k].InstanceNumber, second[k].InstanceNumber = 2 * k + k % 2, 2 * k + 1 - k % 2
    if "Manufacturer" in one:
        first, second = philips(first, 0), philips(second, 1000)
    for turned in (False, True):
        datasets = [*second, *first] if turned else [*first, *second]
        assert names(datasets) == expected
        own = [list(range(9)), list(range(9, 18))]
        assert files_of(stacks_of(datasets)) == (own[::-1] if turned else own)


@pytest.mark.parametrize("on_gap", ["error", "resample", "keep"])
@pytest.mark.parametrize("numbered", ["anew", "not", "all alike", "without order"])
def test_volumes_that_nothing_tells_apart_are_refused_whatever_is_asked(
    phantom: Phantom, save: Save, numbered: str, on_gap: Any
) -> None:
    datasets = phantom.stack(6) + phantom.stack(6)
    for k, dataset in enumerate(datasets):
        if numbered == "not":
            del dataset.InstanceNumber
        elif numbered == "all alike":
            dataset.InstanceNumber = 1
        elif numbered == "without order":
            dataset.InstanceNumber = [1, 2, 5, 6, 9, 10, 3, 4, 7, 8, 11, 12][k]
    with pytest.raises(
        ScanError, match="slices 1 to 6 of 6 are there more than once, and nothing in the headers tells"
    ):
        read_dicom(save(datasets), on_gap=on_gap)


@pytest.mark.parametrize("order", ["time", "place", "anew at each place", "echo by echo", "there and back"])
def test_numbers_that_run_in_an_order_tell_time_points_apart(phantom: Phantom, order: str) -> None:
    datasets = []
    for time in range(4):
        for k in range(5):
            number = {
                "time": 5 * time + k,
                "place": 4 * k + time,
                "anew at each place": time,
                "echo by echo": 10 * (time // 2) + 2 * k + time % 2,
                "there and back": 5 * time + (4 - k if time % 2 else k),
            }[order]
            datasets.append(phantom.dataset((0, 0, 3.0 * k), modality="MR", number=number + 1))
    stacks = stacks_of(datasets)
    assert [stack.name for stack in stacks] == [f"time {number} of 4" for number in (1, 2, 3, 4)]
    assert files_of(stacks) == [list(range(5 * time, 5 * time + 5)) for time in range(4)]


def test_a_loop_at_each_place_though_its_beats_differ_and_one_was_scanned_again(phantom: Phantom) -> None:
    """A cine: each place in its own breath, the third place at the end; phases overlap in time."""
    places = [0, 1, 3, 4, 2]
    for again in (False, True):
        datasets = []
        for number, k in enumerate(places):
            for phase in range(8):
                count = 8 * number + phase if not again or k == 2 else 4 * phase + number
                trigger = float(phase * (30 + 7 * k))
                fields = {"modality": "MR", "number": 1 + count, "TriggerTime": trigger}
                datasets.append(phantom.dataset((0, 0, 8.0 * k), **fields))
        stacks = stacks_of(datasets)
        assert [stack.name for stack in stacks] == [f"time {number} of 8" for number in range(1, 9)]
        assert all({file % 8 for file in files} == {phase} for phase, files in enumerate(files_of(stacks)))


def test_a_loop_that_is_a_picture_longer_at_one_place(phantom: Phantom) -> None:
    datasets, number = [], 0
    for k, phases in enumerate((5, 6, 5)):
        for phase in range(phases):
            number += 1
            fields = {"modality": "MR", "number": number, "TriggerTime": 30.0 * phase + k}
            datasets.append(phantom.dataset((0, 0, 8.0 * k), **fields))
    *whole, last = stacks_of(datasets)
    assert files_of(whole) == [[phase, 5 + phase, 11 + phase] for phase in range(5)]
    assert not any(stack.problem for stack in whole) and "missing" in last.problem


def test_acquisitions_of_different_length(phantom: Phantom, save: Save) -> None:
    for counts in ((8, 12), (8, 12, 8), (12, 12, 8)):
        datasets = [
            dataset
            for time, count in enumerate(counts)
            for dataset in phantom.stack(count, AcquisitionNumber=time + 1, first=1 + 12 * time, add=100.0 * time)
        ]
        stacks = stacks_of(datasets)
        assert not any(stack.problem for stack in stacks)
        assert sorted(stack.name for stack in stacks) == [f"time {n + 1} of {len(counts)}" for n in range(len(counts))]
        assert all(len({int(plane.times[1]) for plane in stack.planes}) == 1 for stack in stacks)
        assert sorted(len(stack.planes) for stack in stacks) == sorted(counts)
    two = phantom.stack(8, AcquisitionNumber=1) + phantom.stack(12, AcquisitionNumber=2, first=9, add=100.0)
    files = save(two)
    for on_gap in ("error", "keep"):
        for volume in range(2):
            phantom.assert_true(read_dicom(files, volume=volume, on_gap=on_gap), 100.0 * volume)  # type: ignore[arg-type]
    with pytest.raises(ScanError, match="holds 2 stacks"):
        read_dicom(files)  # which cover different slices


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_one_acquisition_lacks_a_slice(phantom: Phantom, modality: str) -> None:
    datasets = [
        *phantom.stack(8, AcquisitionNumber=1, modality=modality),
        *phantom.stack(8, AcquisitionNumber=2, modality=modality, first=9),
    ]
    del datasets[5]
    first, second = sorted(stacks_of(datasets), key=lambda stack: len(stack.planes))
    assert first.problem.startswith("slice 6 of 8 is missing") and not second.problem
    assert sorted(files_of([first, second])) == [list(range(7)), list(range(7, 15))]


def test_what_is_kept_is_of_one_acquisition_where_one_covers_every_place(phantom: Phantom, save: Save) -> None:
    """A scan broken off after two slices and begun anew: none of these two stands among those of the whole one."""
    datasets = [*phantom.stack(2, AcquisitionNumber=1), *phantom.stack(8, AcquisitionNumber=2, first=3, add=100.0)]
    (stack,) = stacks_of(datasets)
    assert stack.problem.startswith("slices 1 to 2 of 8 are there more than once")
    phantom.assert_true(read_dicom(save(datasets), on_gap="keep"), 100.0)


def test_one_rotation_done_twice_does_not_tear_the_others(phantom: Phantom) -> None:
    datasets = [
        dataset
        for rotation, k in enumerate((0, 1, 1, 2, 3))
        for dataset in phantom.stack(
            4, position=(-8, -6, 12.0 * k), AcquisitionNumber=rotation + 1, first=1 + 4 * rotation
        )
    ]
    (stack,) = stacks_of(datasets)
    assert stack.problem.startswith("slices 5 to 8 of 16 are there more than once")


def test_a_volume_scanned_in_two_acquisitions_again_and_again(phantom: Phantom) -> None:
    """The table goes to and fro: each time point is an acquisition of the lower half and one of the upper."""
    datasets = []
    for time in range(4):
        for number in range(10):
            k = 9 - number if time % 2 else number
            datasets.append(
                phantom.dataset(
                    (0, 0, 5.0 * k), number=1 + 10 * time + number, AcquisitionNumber=1 + 2 * time + number // 5
                )
            )
    stacks = stacks_of(datasets)
    assert [{file // 10 for file in files} for files in files_of(stacks)] == [{0}, {1}, {2}, {3}]
    assert all(len(stack.planes) == 10 and not stack.problem for stack in stacks)


@pytest.mark.parametrize("short", [False, True])
def test_acquisitions_with_a_tilted_gantry(phantom: Phantom, short: bool) -> None:
    fields = {"step": (0, 0, 4.0), "orientation": TILTED}
    datasets = [
        *phantom.stack(8, AcquisitionNumber=1, **fields),
        *phantom.stack(8 - 3 * short, AcquisitionNumber=2, first=9, **fields),
    ]
    stacks = stacks_of(datasets)
    assert [len(stack.planes) for stack in stacks] == [8, 8 - 3 * short]
    assert all("gantry was tilted" in stack.problem for stack in stacks)
    apart = [
        *phantom.stack(8, KVP=80, **fields),
        *phantom.stack(8, position=(-8, -6, 2.0), KVP=140, first=9, **fields),
    ]
    assert files_of(stacks_of(apart)) == [list(range(8)), list(range(8, 16))]


def test_one_reconstruction_lacks_a_slice(phantom: Phantom) -> None:
    datasets = phantom.stack(8, ConvolutionKernel="B30f") + phantom.stack(8, ConvolutionKernel="B70f", first=9)
    del datasets[13]
    soft, sharp = stacks_of(datasets)
    assert (soft.name, soft.problem, len(soft.planes)) == ("kernel B30f", "", 8)
    assert sharp.name == "kernel B70f" and sharp.problem.startswith("slice 6 of 8 is missing")


BETWEEN = [
    ({"EchoTime": 10.0}, {"EchoTime": 90.0}, "MR", 2.5),
    ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}, "MR", 2.5),
    ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}, "MR", 0.05),  # corrected for motion
    ({"FlipAngle": 5}, {"FlipAngle": 15}, "MR", 2.5),
    ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, "CT", 2.5),
    ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, "CT", 0.3),
    ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, "MR", 0.3),
    ({"KVP": 80}, {"KVP": 140}, "CT", 2.6),
    ({"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, {"ImageType": ("DERIVED", "PRIMARY", "AXIAL")}, "CT", 2.5),
]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("one", "other", "modality", "offset"), BETWEEN)
def test_stacks_between_each_others_slices(
    phantom: Phantom, save: Save, restart: bool, one: Any, other: Any, modality: str, offset: float
) -> None:
    """One begins a part of a step above the other: two volumes, not one of twice as many slices."""
    step, first = (0, 0, 5.0), 1 if restart else 7
    datasets = [
        *phantom.stack(6, step, modality=modality, **one),
        *phantom.stack(6, step, modality=modality, position=(-8, -6, offset), first=first, add=100.0, **other),
    ]
    assert files_of(stacks_of(datasets)) == [list(range(6)), list(range(6, 12))]
    assert len(set(names(datasets))) == 2
    files = save(datasets)
    for on_gap in ("error", "resample", "keep"):
        for volume in range(2):
            phantom.assert_true(read_dicom(files, volume=volume, on_gap=on_gap), 100.0 * volume)  # type: ignore[arg-type]
    with pytest.raises(ScanError, match="holds 2 stacks"):
        read_dicom(files)


@pytest.mark.parametrize("field", ["SliceThickness", "ConvolutionKernel"])
def test_thin_and_thick_slices_of_one_scan(phantom: Phantom, save: Save, field: str) -> None:
    one, other = {"SliceThickness": (1.0, 5.0), "ConvolutionKernel": ("B70f", "B30f")}[field]
    for start in (2.0, 2.5):  # with places in common, and without
        datasets = [
            *phantom.stack(20, (0, 0, 1.0), **{field: one}),
            *phantom.stack(4, (0, 0, 5.0), position=(-8, -6, start), first=21, add=100.0, **{field: other}),
        ]
        assert sorted(map(len, files_of(stacks_of(datasets)))) == [4, 20]
        assert len(names(datasets)) == 2


def test_stacks_between_stacks_between_stacks(phantom: Phantom) -> None:
    """Diffusion, corrected for motion: each direction stands a little aside."""
    datasets = []
    for number, (b_value, direction) in enumerate(
        [(0.0, None), (1e3, (1.0, 0, 0)), (1e3, (0, 1.0, 0)), (2e3, (0, 0, 1.0))]
    ):
        fields: dict[str, Any] = {"DiffusionBValue": b_value}
        if direction:
            fields["DiffusionGradientOrientation"] = direction
        place = (-8, -6, 0.1 * number)
        datasets += phantom.stack(5, modality="MR", position=place, first=1 + 5 * number, **fields)
    assert names(datasets) == ["b = 0", "b = 1000, direction 1 of 2", "b = 1000, direction 2 of 2", "b = 2000"]


@pytest.mark.parametrize(
    "fields",
    [
        {"AcquisitionNumber": [1 + k // 6 for k in range(12)]},  # a helical scan that counts anew midway
        {"AcquisitionNumber": [1 + k // 4 for k in range(12)]},
        {"AcquisitionNumber": [1 + k % 2 for k in range(12)], "SliceThickness": 3.0, "modality": "MR"},
        {"TemporalPositionIdentifier": [1 + k % 2 for k in range(12)], "InstanceNumber": 1, "modality": "MR"},
        {"TemporalPositionIdentifier": [1 + k % 2 for k in range(12)], "InstanceNumber": None, "modality": "MR"},
        {"EchoTime": [2.0 + k % 2 for k in range(12)], "modality": "MR"},
        {"FlipAngle": [60.0 + k for k in range(12)], "modality": "MR"},
        {"KVP": [120 if k < 5 else 100 for k in range(12)]},
        {"ConvolutionKernel": ["H30s" if k < 5 else "H40s" for k in range(12)]},
        {"ImageType": [["ORIGINAL" if k < 7 else "DERIVED", "PRIMARY", "AXIAL"] for k in range(12)]},
        {"TriggerTime": [700.0 + 3 * k for k in range(12)]},
    ],
)
def test_no_fact_tears_slices_that_do_not_lie_between_each_other(phantom: Phantom, fields: dict[str, Any]) -> None:
    (stack,) = stacks_of(phantom.stack(12, **fields))
    assert len(stack.planes) == 12 and stack.problem == stack.name == ""


@pytest.mark.parametrize("thickness", [2.5, 2.0, None])
def test_mr_slices_scanned_in_turns_are_one_stack_however_numbered(phantom: Phantom, thickness: float | None) -> None:
    """Every second slice first, then those between, each turn an acquisition and a run of numbers."""
    fields = {"modality": "MR", "SliceThickness": thickness}
    datasets = [
        *phantom.stack(6, (0, 0, 5.0), AcquisitionNumber=1, **fields),
        *phantom.stack(6, (0, 0, 5.0), position=(-8, -6, 2.5), first=7, AcquisitionNumber=2, **fields),
    ]
    assert names(datasets) == [""]
    for lost in (4, 10):
        (stack,) = stacks_of(datasets[:lost] + datasets[lost + 1 :])
        assert "is missing" in stack.problem


def test_thin_slices_of_which_one_is_missing_are_not_filled_from_the_thick_ones(phantom: Phantom, save: Save) -> None:
    thin, thick = (
        phantom.stack(20, (0, 0, 1.0), SliceThickness=1.0),
        phantom.stack(4, (0, 0, 5.0), position=(-8, -6, 2.5), first=21, add=100.0, SliceThickness=5.0),
    )
    datasets = [*thin[:9], *thin[10:], *thick]
    first, second = stacks_of(datasets)
    assert first.problem.startswith("slice 10 of 20 is missing") and not second.problem
    phantom.assert_true(read_dicom(save(datasets), volume=0, on_gap="resample"))


def test_across_midnight(phantom: Phantom) -> None:
    for clock in ("Acquisition", "Content"):
        datasets = []
        for number, (date, time) in enumerate([("20200102", "000003"), ("20200101", "235958.5")]):
            fields = {f"{clock}Date": date, f"{clock}Time": time}
            datasets += phantom.stack(4, modality="MR", first=1 + 4 * number, **fields)
        assert files_of(stacks_of(datasets)) == [[4, 5, 6, 7], [0, 1, 2, 3]]
    clocks = ["20200102000003+0000", "20200101235958+0000", "20200102000001+0100"]
    datasets = [
        dataset
        for number, at in enumerate(clocks)
        for dataset in phantom.stack(4, modality="MR", first=1 + 4 * number, AcquisitionDateTime=at)
    ]
    assert [files[0] // 4 for files in files_of(stacks_of(datasets))] == [2, 1, 0]


def test_echoes_at_several_times(phantom: Phantom) -> None:
    datasets = [
        dataset
        for time in range(2)
        for echo in (2.0, 4.0)
        for dataset in phantom.stack(3, modality="MR", EchoTime=echo, TemporalPositionIdentifier=time)
    ]
    assert names(datasets) == [f"echo {e} of 2, time {t} of 2" for e in (1, 2) for t in (1, 2)]


@pytest.mark.parametrize(
    "fields",
    [
        {"AcquisitionNumber": [1, 2, 3, 4, 5]},  # an axial CT counts its slices
        {"AcquisitionTime": ["120000", "120001", "120002", "120003", "120004"]},
        {"ImageType": [["ORIGINAL", "PRIMARY", "AXIAL", f"CT_{k}"] for k in range(5)]},
        {"ImageType": [["ORIGINAL", "PRIMARY", f"AXIAL{k}"] for k in range(5)]},
        {"ImageType": [["DERIVED" if k % 2 else "ORIGINAL", "PRIMARY", "AXIAL"] for k in range(5)]},
        {"EchoTime": [2.0, 2.1, 2.2, 2.3, 2.4], "modality": "MR"},
        {"DiffusionBValue": [0.0, 500.0, 1000.0, 0.0, 50.0], "modality": "MR"},
        {"SliceThickness": [3.0, 3.0, 5.0, 5.0, 3.0]},
        {"TemporalPositionIdentifier": [1, 2, 1, 2, 1], "modality": "MR"},
    ],
)
def test_what_differs_from_slice_to_slice_tears_no_stack(phantom: Phantom, fields: dict[str, Any]) -> None:
    (stack,) = stacks_of(phantom.stack(5, **fields))
    assert numbers(stack) == [1, 2, 3, 4, 5]
    assert stack.problem == stack.name == ""


def test_volumes_do_not_hang_on_what_differs_by_slice(phantom: Phantom) -> None:
    datasets = [
        dataset
        for time in range(4)
        for dataset in phantom.stack(
            3, modality="MR", first=1 + 3 * time, EchoTime=[2.0, 2.1, 2.2], AcquisitionNumber=[3, 1, 2]
        )
    ]
    stacks = stacks_of(datasets)
    assert [numbers(stack) for stack in stacks] == [[1 + 3 * t, 2 + 3 * t, 3 + 3 * t] for t in range(4)]


def test_a_run_cut_off_lacks_slices_of_its_last_volume_only(phantom: Phantom) -> None:
    datasets = [dataset for time in range(3) for dataset in phantom.stack(5, modality="MR", first=1 + 5 * time)][:-2]
    stacks = stacks_of(datasets)
    assert [stack.name for stack in stacks] == ["time 1 of 3", "time 2 of 3", "time 3 of 3"]
    assert [len(stack.planes) for stack in stacks] == [5, 5, 3]
    assert [bool(stack.problem) for stack in stacks] == [False, False, True]
    assert "slices 4 to 5 of 5 are missing" in stacks[2].problem


def test_a_volume_of_few_slices_is_refused_though_they_are_even(phantom: Phantom) -> None:
    datasets = [dataset for time in range(3) for dataset in phantom.stack(9, modality="MR", first=1 + 9 * time)][:-6]
    assert stacks_of(datasets)[2].problem.startswith("slices 4 to 9 of 9 are missing, where the rest of the series has")
    echoes = [*phantom.stack(5, EchoTime=2.0, modality="MR"), *phantom.stack(4, EchoTime=4.0, modality="MR", first=6)]
    first, second = stacks_of(echoes)
    assert not first.problem and second.problem.startswith("slice 5 of 5 is missing, where the rest of the series has")
    assert second.notes == ("missing slices: 5 of 5",)


def test_a_missing_slice_is_named(phantom: Phantom, save: Save) -> None:
    datasets = phantom.stack(20)
    del datasets[13]
    (stack,) = stacks_of(datasets)
    assert stack.problem == (
        "slice 14 of 20 is missing (a gap of 6.0 mm where slices stand 3.0 mm apart): "
        "export the whole series, or give --on-gap resample or --on-gap keep"
    )
    assert stack.notes == ("missing slices: 14 of 20",)
    files = save(datasets)
    with pytest.raises(ScanError, match="slice 14 of 20 is missing"):
        read_dicom(files)
    filled = read_dicom(files, on_gap="resample")
    assert len(filled.pixels) == 20
    phantom.assert_true(filled)
    kept = read_dicom(files, on_gap="keep")
    assert len(kept.pixels) == 19 and kept.affine is None and np.isnan(kept.spacing[0])


@pytest.mark.parametrize(
    ("absent", "words"),
    [([3, 4], "slices 4 to 5 of 10 are"), ([2, 5, 7], "slices 3, 6 and 8 of 10 are")],
)
def test_several_missing_slices(phantom: Phantom, absent: list[int], words: str) -> None:
    datasets = [dataset for k, dataset in enumerate(phantom.stack(10)) if k not in absent]
    assert stacks_of(datasets)[0].problem.startswith(words)


def test_more_missing_than_there_is_is_not_made_up(phantom: Phantom) -> None:
    datasets = phantom.stack(30)[:3] + phantom.stack(30)[-3:]
    assert "more slices are missing than are there" in stacks_of(datasets, "resample")[0].problem


def test_uneven_spacing(phantom: Phantom, save: Save) -> None:
    heights = [0.0, 3.0, 6.0, 9.0, 11.0, 13.5, 16.5]
    files = save([phantom.dataset((0, 0, z), number=k) for k, z in enumerate(heights)])
    with pytest.raises(ScanError, match=r"unevenly spaced \(2\.00 to 3\.00 mm apart; slices 4 and 5 of 7 stand out"):
        read_dicom(files)
    scan = read_dicom(files, on_gap="resample")
    phantom.assert_true(scan)
    assert scan.affine[2, 0] == pytest.approx(16.5 / 6) or scan.affine[2, 0] == pytest.approx(16.5 / 5)
    assert any(note.startswith("uneven spacing") for note in scan.header["notes"])
    assert read_dicom(files, on_gap="keep").affine is None


def test_a_drift_that_no_single_step_shows(phantom: Phantom) -> None:
    heights = np.concatenate([np.arange(30) * 2.5, 29 * 2.5 + np.arange(1, 30) * 2.7])
    (stack,) = stacks_of([phantom.dataset((0, 0, z), number=k) for k, z in enumerate(heights)])
    assert "unevenly spaced" in stack.problem


def test_two_pictures_of_one_place(phantom: Phantom, save: Save) -> None:
    datasets = [*phantom.stack(6), phantom.dataset((-8, -6, 9), number=40, add=100)]
    (stack,) = stacks_of(datasets)
    assert stack.problem.startswith("slice 4 of 6 is there more than once, with different pictures")
    files = save(datasets)
    for on_gap in ("keep", "resample"):
        scan = read_dicom(files[::-1], on_gap=on_gap)  # type: ignore[arg-type]
        assert len(scan.pixels) == 6
        phantom.assert_true(scan)  # the first by instance number


def test_a_slice_sent_twice_is_one_slice(phantom: Phantom) -> None:
    datasets = phantom.stack(5)
    assert names([*datasets, datasets[2], datasets[4]]) == [""]


def test_gantry_tilt(phantom: Phantom, save: Save) -> None:
    files = save(phantom.stack(8, step=(0, 0, 4.0), orientation=TILTED, size=(24, 8), spacing=(1.0, 1.0)))
    with pytest.raises(ScanError, match=r"the gantry was tilted by 15\.0 degrees"):
        read_dicom(files)
    kept = read_dicom(files, on_gap="keep")
    phantom.assert_true(kept)  # the sheared affine is the true one
    upright = read_dicom(files, on_gap="resample")
    axes = upright.affine[:3, :3] / upright.spacing
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert upright.pixels.shape[1] == 24 + 8  # as many rows as all slices take together: 7 x 4 mm x sin 15°
    middle = upright.pixels[:, 8:24]
    ras = np.stack(np.meshgrid(*map(np.arange, upright.pixels.shape), indexing="ij"), -1)[:, 8:24]
    ras = ras @ upright.affine[:3, :3].T + upright.affine[:3, 3]
    np.testing.assert_allclose(middle, ras * [-1, -1, 1] @ phantom.gradient, atol=0.03)
    assert upright.pixels.min() == kept.pixels.min()  # outside the slices
    assert "gantry tilt: 15.0 degrees" in upright.header["notes"]


def test_rounded_positions_of_a_thin_stack_are_no_tilt(phantom: Phantom) -> None:
    oblique = (1, 0, 0, 0, np.cos(0.3), np.sin(0.3))
    normal = np.cross(oblique[:3], oblique[3:])
    for count in (2, 3, 5):
        datasets = [
            phantom.dataset(np.round(k * 0.5 * normal, 1), oblique, spacing=(0.3, 0.3), number=k) for k in range(count)
        ]
        assert all("tilt" not in note for note in stacks_of(datasets)[0].notes)


def test_slices_shifted_against_one_another(phantom: Phantom, save: Save) -> None:
    places = [(0, 0, 0), (0, 0, 3), (4, 2, 6), (0, 0, 9), (0, 0, 12)]
    files = save([phantom.dataset(place, number=k, size=(12, 12)) for k, place in enumerate(places)])
    with pytest.raises(ScanError, match=r"do not lie above one another \(slice 3 of 5"):
        read_dicom(files)
    assert read_dicom(files, on_gap="keep").affine is None
    phantom.assert_true(read_dicom(files, on_gap="resample"), inside=4)


def test_two_fields_beside_each_other(phantom: Phantom) -> None:
    datasets = [*phantom.stack(4), *phantom.stack(4, position=(40, -6, 0), first=5)]
    assert names(datasets) == ["field 1 of 2", "field 2 of 2"]


def test_overlap_is_a_note(phantom: Phantom) -> None:
    (stack,) = stacks_of(phantom.stack(5, SliceThickness=5.0))
    assert not stack.problem and stack.notes == ("overlapping slices: 5 mm thick, 3 mm apart",)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_slices_that_do_not_say_where_they_lie(phantom: Phantom, save: Save, modality: str) -> None:
    files = save([phantom.dataset(None, number=number, add=number, modality=modality) for number in (3, 1, 2)])
    for on_gap in ("error", "resample"):
        with pytest.raises(ScanError, match="do not say where they lie in the patient"):
            read_dicom(files, on_gap=on_gap)  # type: ignore[arg-type]
    scan = read_dicom(files, on_gap="keep")
    assert scan.affine is None
    assert (np.diff(scan.pixels[:, 0, 0]) == 1).all()  # in the order of their numbers


def test_one_picture_without_a_place_is_a_picture(phantom: Phantom, save: Save) -> None:
    assert read_dicom(save([phantom.dataset(None)])).affine is None


def test_views_of_a_radiograph_are_a_picture_each(phantom: Phantom) -> None:
    datasets = [phantom.dataset(None, modality="DX", number=number) for number in (1, 2)]
    assert names(datasets) == ["picture 1 of 2", "picture 2 of 2"]
    assert len({stack.place for stack in stacks_of(datasets)}) == 2


def test_a_screenshot_without_a_uid_and_a_slice_without_one_of_the_same_number(phantom: Phantom) -> None:
    datasets = [*phantom.stack(4), phantom.dataset(None, size=(20, 20), number=1)]
    for dataset in datasets:
        del dataset.SOPInstanceUID
    assert names(datasets) == ["picture", "volume"]


def test_a_screenshot_among_slices_is_a_stack_of_its_own(phantom: Phantom) -> None:
    datasets = [*phantom.stack(4), phantom.dataset(None, size=(20, 20), number=99)]
    assert names(datasets) == ["volume", "picture"]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("98892001/CT2N", ["localiser 1 of 2", "localiser 2 of 2"]),
        ("98892001/CT5N", [""]),
    ],
)
def test_real_series(series: str, expected: list[str]) -> None:
    datasets = [pydicom.dcmread(file) for file in sorted((FILES / series).iterdir())]
    assert names(datasets) == expected


def test_real_projections_around_an_axis_are_a_stack_each() -> None:
    datasets = [pydicom.dcmread(file) for file in sorted((FILES / "98892003" / "MR700").iterdir())]
    assert len(stacks_of(datasets)) == 7


def _rotation(angles: tuple[float, float, float]) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        one, other = [k for k in range(3) if k != axis]
        turn[[one, other], [one, other]] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


@settings(max_examples=40, deadline=None)
@given(
    slices=st.integers(1, 7),
    echoes=st.integers(1, 3),
    times=st.integers(1, 4),
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    distance=st.floats(0.5, 9),
    shuffle=st.randoms(use_true_random=False),
    field=st.sampled_from(["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", None]),
    numbered=st.sampled_from(["in blocks", "anew", "by chance"]),
)
def test_any_series_is_split_alike_in_any_order_of_its_files(
    phantom: Phantom,
    slices: int,
    echoes: int,
    times: int,
    angles: tuple[float, float, float],
    distance: float,
    shuffle: Any,
    field: str | None,
    numbered: str,
) -> None:
    """Where a field tells the times, whatever the instance numbers are; by these, where they run in blocks."""
    row, column, normal = _rotation(angles).T
    datasets = [
        phantom.dataset(
            k * distance * normal,
            (*row, *column),
            number=1 + k + slices * (time + times * echo),
            modality="MR",
            EchoTime=2.0 + echo,
            ContentTime=f"{100000 + k}",
            SliceThickness=1.0,
            **({field: time + 1} if field else {}),
        )
        for echo in range(echoes)
        for time in range(times)
        for k in range(slices)
    ]
    true = {dataset.SOPInstanceUID: place for place, dataset in enumerate(datasets)}
    if field and numbered != "in blocks":
        for place, dataset in enumerate(datasets):
            dataset.InstanceNumber = 1 + place % slices if numbered == "anew" else shuffle.randint(1, len(datasets))
    shuffle.shuffle(datasets)
    stacks = stacks_of(datasets)
    assert len(stacks) == echoes * times
    for number, stack in enumerate(stacks):
        assert not stack.problem
        held = [true[datasets[plane.file].SOPInstanceUID] for plane in stack.planes]
        assert held == list(range(number * slices, (number + 1) * slices))
        np.testing.assert_allclose(
            stack.affine[:3, 0] * [-1, -1, 1], normal * (distance if slices > 1 else 1), atol=1e-4
        )


WORDS = ["ORIGINAL", "DERIVED", "M", "P", "AXIAL", "LOCALIZER"]
ANY_PLANE = st.builds(
    Plane,
    file=st.just(0),
    frame=st.just(0),
    order=st.integers(0, 6).map(float),
    position=st.none() | st.tuples(*[st.sampled_from([0.0, 0.004, 1.0, 5.0, 5.001, 40.0, -1e6])] * 3),
    orientation=st.none()
    | st.sampled_from([(1.0, 0, 0, 0, 1.0, 0), (0, 1.0, 0, 0, 0, -1.0), (1.0, 1e-4, 0, -1e-4, 1.0, 0)]),
    spacing=st.sampled_from([(1.0, 1.0), (2.0, 1.0), (float("nan"), float("nan"))]),
    thickness=st.sampled_from([float("nan"), 1.0, 5.0]),
    between=st.sampled_from([float("nan"), 1.0]),
    size=st.sampled_from([(4, 4), (4, 4), (8, 4)]),
    kind=st.builds(
        Kind,
        type=st.lists(st.sampled_from(WORDS), max_size=3).map(tuple),
        extras=st.lists(st.sampled_from(WORDS), max_size=2).map(tuple),
        stack=st.sampled_from(["", "1", "2"]),
        echo=st.sampled_from([-1.0, 2.0, 2.01, 4.0]),
        b_value=st.sampled_from([-1.0, 0.0, 1000.0]),
        direction=st.sampled_from([(), (1.0, 0, 0), (0, 1.0, 0)]),
        window=st.just(-1.0),
        echo_number=st.sampled_from([-1.0, 1.0, 2.0]),
        inversion=st.sampled_from([-1.0, 100.0]),
        flip=st.sampled_from([-1.0, 5.0, 15.0]),
        kernel=st.sampled_from(["", "B30f", "B70f"]),
        voltage=st.sampled_from([-1.0, 80.0, 140.0]),
        phase=st.sampled_from([-1.0, 0.0, 400.0]),
    ),
    times=st.tuples(*[st.sampled_from([-1.0, 1.0, 2.0])] * 4),
    modality=st.sampled_from(["CT", "MR", "US"]),
)


@settings(max_examples=120, deadline=None)
@given(
    planes=st.lists(ANY_PLANE, min_size=1, max_size=14),
    shuffle=st.randoms(use_true_random=False),
    on_gap=st.sampled_from(["error", "resample", "keep"]),
)
def test_whatever_the_headers_say_each_slice_is_in_one_stack_whatever_the_order(
    planes: list[Plane], shuffle: Any, on_gap: Any
) -> None:
    planes = [replace(plane, file=number, copy=number + 1) for number, plane in enumerate(planes)]
    stacks = split_stacks(planes, on_gap)
    held = [plane.copy for stack in stacks for plane in stack.planes]
    assert len(held) == len(set(held)) and set(held) <= set(range(1, len(planes) + 1))
    if not any("duplicate" in note for stack in stacks for note in stack.notes):
        assert len(held) == len(planes)
    assert len({stack.name for stack in stacks}) == len(stacks)
    for stack in stacks:
        assert min(stack.size) > 0 and max(stack.size) < 10**7
        assert stack.affine is None or np.isfinite(stack.affine).all()
    other = list(planes)
    shuffle.shuffle(other)
    again = split_stacks([replace(plane, file=number) for number, plane in enumerate(other)], on_gap)

    def told(stacks: list[Stack]) -> list[Any]:
        return [(s.name, s.problem, s.notes, s.size, s.place, [p.copy for p in s.planes]) for s in stacks]

    assert told(again) == told(stacks)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.floats(0.8, 3), min_size=2, max_size=6),
    lean=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
)
def test_resampling_gives_the_value_of_the_place(
    phantom: Phantom, steps: list[float], lean: tuple[float, float], size: tuple[int, int]
) -> None:
    """Linear interpolation of a linear phantom is exact, wherever both slices beside a place reach."""
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    sideways = np.outer(heights, lean)
    shift = np.round(sideways - sideways.min(axis=0), 4)
    more = np.ceil(shift.max(axis=0)).astype(int)
    grid = Grid(
        tuple(heights), tuple(shift[:, 0]), tuple(shift[:, 1]), (len(heights) + 1, size[0] + more[0], size[1] + more[1])
    )
    pixels = np.stack(
        [
            1e3 + phantom.values((right, down, height), phantom.axial, (1, 1), size)
            for height, (down, right) in zip(heights, shift, strict=True)
        ]
    ).astype(np.float32)
    result = resample(pixels, grid)
    assert result.shape == grid.size and result.dtype == np.float32
    inside = 0
    for number, height in enumerate(np.linspace(0, heights[-1], grid.size[0])):
        expected = 1e3 + phantom.values((0, 0, height), phantom.axial, (1, 1), grid.size[1:])
        below = min(int(np.searchsorted(heights, height, side="right")) - 1, len(heights) - 2)
        beside = shift[below : below + 2]
        low, high = (
            np.ceil(beside.max(axis=0)).astype(int),
            np.floor(beside.min(axis=0) + np.array(size) - 1).astype(int),
        )
        here = np.s_[low[0] : max(high[0] + 1, low[0]), low[1] : max(high[1] + 1, low[1])]
        np.testing.assert_allclose(result[number][here], expected[here], atol=5e-3)
        inside += expected[here].size
    assert inside or max(more) > min(size) / 2


def test_an_even_upright_grid_gives_the_pixels_back_in_colour_too() -> None:
    for shape in ((4, 5, 6), (4, 5, 6, 3)):
        pixels = np.random.default_rng(0).random(shape).astype(np.float32)
        grid = Grid((0.0, 2.0, 4.0, 6.0), (0.0,) * 4, (0.0,) * 4, (4, 5, 6))
        np.testing.assert_allclose(resample(pixels, grid), pixels, rtol=1e-6)
        moved = Grid((0.0, 2.0, 4.0, 6.0), (0.0, 1.0, 2.0, 3.0), (0.0,) * 4, (4, 8, 6))
        result = resample(pixels, moved)
        for slice_ in range(4):
            np.testing.assert_allclose(result[slice_, slice_ : slice_ + 5], pixels[slice_], rtol=1e-6)
        assert (result[0, 5:] == pixels.min()).all()
