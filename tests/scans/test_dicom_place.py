"""Where slices lie, from every place in which a DICOM header may say it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medtl.errors import ScanError
from medtl.scans.dicom import read_dicom
from medtl.scans.dicom_header import read_elements, read_header
from medtl.scans.dicom_place import moment, planes_of, renumber
from medtl.scans.dicom_stacks import split_stacks
from medtl.scans.quiet import without_warnings

Phantom = Any  # of conftest.py
Save = Callable[..., list[Path]]
FILES = Path(pydicom.data.__file__).parent / "test_files"
OBLIQUE = (0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def item(**fields: Any) -> Dataset:
    result = Dataset()
    for keyword, value in fields.items():
        setattr(result, keyword, Items(value) if keyword.endswith("Sequence") else value)
    return result


def frames_of(slices: list[Dataset], **fields: Any) -> Dataset:
    """A multi-frame object of the slices' pixels, with nothing in it about their places."""
    result = slices[0]
    result.NumberOfFrames, result.PixelData = len(slices), b"".join(slice_.PixelData for slice_ in slices)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if keyword in result:
            delattr(result, keyword)
    for keyword, value in fields.items():
        setattr(result, keyword, Items(value) if keyword.endswith("Sequence") else value)
    return result


def enhanced(slices: list[Dataset], shared: dict[str, Any], own: list[dict[str, Any]]) -> Dataset:
    return frames_of(
        slices,
        SharedFunctionalGroupsSequence=[item(**shared)],
        PerFrameFunctionalGroupsSequence=[item(**groups) for groups in own],
    )


def position(slice_: Dataset) -> list[Dataset]:
    return [item(ImagePositionPatient=slice_.ImagePositionPatient)]


def test_a_plain_slice(phantom: Phantom) -> None:
    (plane,) = planes_of(
        phantom.dataset(
            (1, 2, 3), OBLIQUE, (0.5, 0.25), number=7, modality="MR", SliceThickness=5, SpacingBetweenSlices=-6,
            EchoTime=12.5, EchoNumbers=2, ImageType=("ORIGINAL", "PRIMARY", "M", "ND"), TemporalPositionIdentifier=4,
        ),
        3,
    )  # fmt: skip
    assert (plane.file, plane.frame, plane.order, plane.modality, plane.size) == (3, 0, 7, "MR", (6, 8))
    assert (plane.position, plane.orientation, plane.spacing) == ((1, 2, 3), OBLIQUE, (0.5, 0.25))
    assert (plane.thickness, plane.between, plane.kind.echo) == (5, 6, 12.5)
    assert (plane.kind.type, plane.kind.extras) == (("ORIGINAL", "PRIMARY", "M"), ("ND",))
    assert plane.times[0] == 4 and plane.placed and plane.in_patient


@pytest.mark.parametrize(
    "bad",
    [
        {"ImagePositionPatient": [1.0, 2.0]},
        {"ImageOrientationPatient": [1.0, 0, 0, 1.0, 0, 0]},
        {"ImageOrientationPatient": [0.0, 0, 0, 0, 0, 0]},
        {"PixelSpacing": [0.0, 1.0]},
        {"PixelSpacing": [1.0]},
    ],
)
def test_a_place_that_makes_no_sense_is_none(phantom: Phantom, save: Save, bad: dict[str, Any]) -> None:
    files = save([phantom.dataset(**bad)])
    assert not read_header(files[0]).planes[0].placed
    assert read_dicom(files).affine is None


def test_the_same_planes_by_either_reader() -> None:
    """`Elements` and pydicom give the same place, on every image that pydicom ships."""
    count = 0
    for path in sorted(file for file in FILES.rglob("*") if file.is_file()):
        try:
            header = read_header(path)
        except ScanError:
            continue
        if header.kind == "image" and path.suffix != ".gz":
            with without_warnings:
                expected = planes_of(pydicom.dcmread(path, force=True), 0)
            assert repr(list(header.planes)) == repr(expected), path.name  # repr: nan is equal to nan
            count += 1
    assert count > 60


def test_enhanced_with_all_in_shared_or_in_own_groups(phantom: Phantom, save: Save) -> None:
    direction = [item(ImageOrientationPatient=list(OBLIQUE))]
    measures = [item(PixelSpacing=[2.0, 1.0], SliceThickness=2.5)]
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    for in_shared in (True, False):
        slices = phantom.stack(5, 2.5 * normal, orientation=OBLIQUE)
        slices = [slices[k] for k in (3, 0, 4, 1, 2)]
        both = {"PlaneOrientationSequence": direction, "PixelMeasuresSequence": measures}
        file = enhanced(
            slices,
            both if in_shared else {},
            [{"PlanePositionSequence": position(s)} | ({} if in_shared else both) for s in slices],
        )
        scan = read_dicom(save([file]))
        phantom.assert_true(scan)
        assert scan.pixels.shape == (5, 6, 8)


def test_enhanced_with_echoes_times_and_stacks(phantom: Phantom, save: Save) -> None:
    slices, groups = [], []
    for time in (2, 1):
        for echo, effective in ((1, 30.0), (0, 10.0)):
            for k, slice_ in enumerate(phantom.stack(3, add=100.0 * echo + 50.0 * time)):
                slices.append(slice_)
                groups.append(
                    {
                        "PlanePositionSequence": position(slice_),
                        "MREchoSequence": [item(EffectiveEchoTime=effective)],
                        "FrameContentSequence": [
                            item(StackID="1", InStackPositionNumber=k + 1, TemporalPositionIndex=time)
                        ],
                    }
                )
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0], SliceThickness=3.0)],
    }
    file = enhanced(slices, shared, groups)
    file.Modality = "MR"
    files = save([file])
    stacks = split_stacks(read_header(files[0]).planes)
    assert [stack.name for stack in stacks] == [f"echo {e} of 2, time {t} of 2" for e in (1, 2) for t in (1, 2)]
    for volume, (echo, time) in enumerate([(0, 1), (0, 2), (1, 1), (1, 2)]):
        phantom.assert_true(read_dicom(files, volume=volume), add=100.0 * echo + 50.0 * time)


@pytest.mark.parametrize("compressed", [False, True])
def test_one_volume_of_many_in_a_file_each_frame_with_its_own_slope(
    phantom: Phantom, save: Save, compressed: bool
) -> None:
    slices, groups = [], []
    for time in (1, 2, 3):
        for slice_ in phantom.stack(4, (0, 0, -3), add=10.0 * time):
            slope = float(len(slices) % 5 + 1)
            stored = np.frombuffer(slice_.PixelData, "<i2") // slope
            slice_.PixelData = stored.astype("<i2").tobytes()
            slices.append(slice_)
            values = item(RescaleSlope=slope / 64, RescaleIntercept=0.0, RescaleType="US")
            groups.append(
                {
                    "PlanePositionSequence": position(slice_),
                    "FrameContentSequence": [item(TemporalPositionIndex=time)],
                    "PixelValueTransformationSequence": [values],
                }
            )
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    file = enhanced(slices, shared, groups)
    del file.RescaleSlope, file.RescaleIntercept
    if compressed:
        file.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    files = save([file])
    for volume in range(3):
        phantom.assert_true(read_dicom(files, volume=volume), add=10.0 * (volume + 1), atol=0.1)


def test_enhanced_diffusion(phantom: Phantom) -> None:
    slices, groups = [], []
    for b_value, direction in ((0.0, None), (800.0, (1.0, 0.0, 0.0)), (800.0, (0.0, 1.0, 0.0))):
        for slice_ in phantom.stack(2, modality="MR"):
            gradient = [item(DiffusionGradientOrientation=list(direction))] if direction else []
            diffusion = item(DiffusionBValue=b_value, DiffusionGradientDirectionSequence=gradient)
            slices.append(slice_)
            groups.append({"PlanePositionSequence": position(slice_), "MRDiffusionSequence": [diffusion]})
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    stacks = split_stacks(planes_of(enhanced(slices, shared, groups), 0))
    names = [stack.name for stack in stacks]
    assert names == ["b = 0", "b = 800, direction 1 of 2", "b = 800, direction 2 of 2"]


@pytest.mark.parametrize(
    ("modality", "sequence", "keyword", "values", "names"),
    [
        ("CT", "CTReconstructionSequence", "ConvolutionKernel", ("B70f", "B30f"), ["kernel B30f", "kernel B70f"]),
        ("CT", "CTXRayDetailsSequence", "KVP", (140, 80), ["80 kV", "140 kV"]),
        ("MR", "MRTimingAndRelatedParametersSequence", "FlipAngle", (15, 5), ["flip angle 5", "flip angle 15"]),
        ("MR", "MRModifierSequence", "InversionTimes", (200, 50), ["inversion time 50 ms", "inversion time 200 ms"]),
    ],
)
def test_enhanced_frames_of_several_reconstructions_or_settings(
    phantom: Phantom, modality: str, sequence: str, keyword: str, values: Any, names: list[str]
) -> None:
    slices, groups = [], []
    for value in values:
        for slice_ in phantom.stack(3, modality=modality):
            slices.append(slice_)
            groups.append({"PlanePositionSequence": position(slice_), sequence: [item(**{keyword: value})]})
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    stacks = split_stacks(planes_of(enhanced(slices, shared, groups), 0))
    assert [stack.name for stack in stacks] == names
    assert [[plane.frame for plane in stack.planes] for stack in stacks] == [[3, 4, 5], [0, 1, 2]]


def test_enhanced_frames_in_the_order_of_their_own_clock(phantom: Phantom) -> None:
    """Its date and its zone count: the later volume is the one at half past midnight, an hour further east."""
    slices, groups = [], []
    for clock in ("20200102003000.50+0200", "20200101211500.50+0000"):
        for slice_ in phantom.stack(3, modality="MR"):
            slices.append(slice_)
            content = [item(FrameAcquisitionDateTime=clock)]
            groups.append({"PlanePositionSequence": position(slice_), "FrameContentSequence": content})
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    stacks = split_stacks(planes_of(enhanced(slices, shared, groups), 0))
    assert [[plane.frame for plane in stack.planes] for stack in stacks] == [[3, 4, 5], [0, 1, 2]]


def test_moments_are_in_the_order_of_time() -> None:
    clocks = [
        "19991231235959", "20200101", "202001010000.5", "20200101000003", "20200101000003.000100",
        "20200102003000+0200", "20200101230000+0000", "20200101180001-0500", "20200102000000", "20200102003000",
    ]  # fmt: skip
    moments = [moment(clock) for clock in clocks]
    assert all(a < b for a, b in pairwise(moments)) and moments[0] != -1
    assert moment("20200102003000+0200") == moment("20200101223000+0000") == moment("20200101223000")
    assert {
        moment(clock) for clock in ("", "yesterday", "2020010112000O", "20200101120000+xx", "20209901120000+0100")
    } == {-1}


def test_private_fields_count_only_under_their_makers_name(phantom: Phantom) -> None:
    fields = {
        "SIEMENS": (0x19, "SIEMENS MR HEADER", 0x0C, "IS"),
        "GE MEDICAL SYSTEMS": (0x43, "GEMS_PARM_01", 0x39, "IS"),
        "Philips Medical Systems": (0x2001, "Philips Imaging DD 001", 0x03, "FL"),
    }
    for maker, (group, creator, element, vr) in fields.items():
        foreign = phantom.dataset(modality="MR", Manufacturer=maker)
        foreign.private_block(group, "SOMEBODY ELSE", create=True).add_new(element, vr, 7)
        assert planes_of(foreign, 0)[0].kind.b_value == -1
        foreign.private_block(group, creator, create=True).add_new(element, vr, 700)
        assert foreign[group, 0x1100 + element].value == 700
        assert planes_of(foreign, 0)[0].kind.b_value == 700


def test_a_philips_b_value_whose_type_an_export_forgot(phantom: Phantom) -> None:
    dataset = phantom.dataset(modality="MR", Manufacturer="Philips")
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "UN", b"\0\0\x7a\x44")
    assert planes_of(dataset, 0)[0].kind.b_value == 1000


def test_what_an_index_keeps_of_an_objects_uid_says_nothing_without_the_key(
    phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, other = phantom.stack(2)
    monkeypatch.setenv("MEDTL_KEY", "one")
    first = planes_of(dataset, 0)[0].copy
    assert first == planes_of(dataset, 1)[0].copy != planes_of(other, 0)[0].copy
    monkeypatch.setenv("MEDTL_KEY", "two")
    assert planes_of(dataset, 0)[0].copy != first
    uid = dataset.SOPInstanceUID.encode()
    guesses = [
        zlib.crc32(uid),
        *(int.from_bytes(hashlib.blake2b(uid, digest_size=size).digest(), "big") for size in (6, 8)),
    ]
    assert first not in guesses
    del dataset.SOPInstanceUID
    assert planes_of(dataset, 0)[0].copy == 0


def test_enhanced_frames_told_apart_by_their_own_dimension_only(phantom: Phantom) -> None:
    slices, groups = [], []
    for contrast in (2, 1):
        for k, slice_ in enumerate(phantom.stack(3, modality="MR")):
            slices.append(slice_)
            content = [item(DimensionIndexValues=[k + 1, contrast])]
            groups.append({"PlanePositionSequence": position(slice_), "FrameContentSequence": content})
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    stacks = split_stacks(planes_of(enhanced(slices, shared, groups), 0))
    assert [[plane.frame for plane in stack.planes] for stack in stacks] == [[3, 4, 5], [0, 1, 2]]


def test_several_enhanced_files_are_one_series(phantom: Phantom, save: Save) -> None:
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    files = []
    for time in range(2):
        slices = phantom.stack(3, add=100.0 * time)
        groups = [
            {
                "PlanePositionSequence": position(s),
                "FrameContentSequence": [item(TemporalPositionIndex=time + 1)],
            }
            for s in slices
        ]
        file = enhanced(slices, shared, groups)
        file.InstanceNumber = 2 - time
        files += save([file])
    for volume in range(2):
        phantom.assert_true(read_dicom(files[::-1], volume=volume), add=100.0 * volume)


def test_a_volume_that_is_not_placed_in_the_patient_has_spacing_but_no_affine(phantom: Phantom, save: Save) -> None:
    """An ultrasound volume: positions are those of the transducer's volume, which lies nowhere known."""
    slices = phantom.stack(4)
    groups = [{"PlanePositionVolumeSequence": [item(ImagePositionVolume=s.ImagePositionPatient)]} for s in slices[::-1]]
    shared = {
        "PlaneOrientationVolumeSequence": [item(ImageOrientationVolume=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    file = enhanced(slices[::-1], shared, groups)
    scan = read_dicom(save([file]))
    assert scan.affine is None and scan.spacing == (3, 2, 1)
    assert (np.diff(scan.pixels[:, 0, 0]) == 3).all()


def test_a_frame_without_its_position_is_refused_or_left_unplaced(phantom: Phantom) -> None:
    shared = {
        "PlaneOrientationSequence": [item(ImageOrientationPatient=list(phantom.axial))],
        "PixelMeasuresSequence": [item(PixelSpacing=[2.0, 1.0])],
    }
    slices = phantom.stack(3)
    none = planes_of(enhanced(slices, shared, [{} for _ in slices]), 0)
    (stack,) = split_stacks(none)
    assert stack.affine is None and not stack.problem  # frames, as they come

    slices = phantom.stack(3)
    groups = [{"PlanePositionSequence": position(s)} for s in slices]
    groups[1] = {}
    some = split_stacks(planes_of(enhanced(slices, shared, groups), 0))
    assert any("do not say where they lie" in stack.problem for stack in some)


def _mosaic(shared_data: Path) -> Dataset:
    return pydicom.dcmread(shared_data / "dicom" / "dcm_qa_ts" / "In" / "1.dcm")


def test_a_mosaic_is_its_slices_wherever_the_private_header_lies(shared_data: Path) -> None:
    expected = planes_of(_mosaic(shared_data), 0)
    assert len(expected) == 35 and {plane.size for plane in expected} == {(64, 64)}
    moved = _mosaic(shared_data)
    header = moved[0x0029, 0x1010].value
    del moved[0x0029, 0x1010], moved[0x0029, 0x0010]
    moved.private_block(0x29, "SOMEBODY ELSE", create=True).add_new(0x10, "OB", b"nothing")
    moved.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    assert planes_of(moved, 0) == expected


@pytest.mark.parametrize("content", [None, b"", b"SV10" + bytes(100), b"\xff" * 400])
def test_a_mosaic_without_its_private_header_is_refused(shared_data: Path, save: Save, content: bytes | None) -> None:
    dataset = _mosaic(shared_data)
    if content is None:
        dataset.remove_private_tags()
    else:
        dataset[0x0029, 0x1010].value = content
    (file,) = save([dataset])
    for refused in (read_header, lambda file: read_dicom([file])):
        with pytest.raises(ScanError, match="a Siemens mosaic without the private header"):
            refused(file)


@pytest.mark.parametrize("step", [4.0, -4.0])
def test_reconstructed_nuclear_medicine(phantom: Phantom, save: Save, step: float) -> None:
    slices = phantom.stack(4, (0, 0, step), modality="NM")
    place = item(ImagePositionPatient=[-8.0, -6.0, 0.0], ImageOrientationPatient=list(phantom.axial))
    file = frames_of(
        slices,
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        SliceVector=[1, 2, 3, 4],
        SpacingBetweenSlices=step,
        PixelSpacing=[2.0, 1.0],
        DetectorInformationSequence=[place],
    )
    phantom.assert_true(read_dicom(save([file])))


def test_gated_nuclear_medicine_has_a_volume_a_time_slot(phantom: Phantom) -> None:
    slices = [*phantom.stack(3, modality="NM"), *phantom.stack(3, modality="NM")]
    place = item(ImagePositionPatient=[-8.0, -6.0, 0.0], ImageOrientationPatient=list(phantom.axial))
    file = frames_of(
        slices,
        SliceVector=[1, 2, 3] * 2,
        TimeSlotVector=[2] * 3 + [1] * 3,
        SpacingBetweenSlices=3.0,
        PixelSpacing=[2.0, 1.0],
        DetectorInformationSequence=[place],
    )
    stacks = split_stacks(planes_of(file, 0))
    assert [[plane.frame for plane in stack.planes] for stack in stacks] == [[3, 4, 5], [0, 1, 2]]


def test_projections_of_nuclear_medicine_lie_nowhere(phantom: Phantom) -> None:
    file = frames_of(phantom.stack(4, modality="NM"), DetectorVector=[1, 1, 2, 2], SpacingBetweenSlices=3.0)
    (stack,) = split_stacks(planes_of(file, 0))
    assert stack.affine is None and len(stack.planes) == 4


def test_frames_of_a_loop_lie_nowhere_though_the_file_has_one_place(phantom: Phantom, save: Save) -> None:
    slices = phantom.stack(4)
    place, direction = slices[0].ImagePositionPatient, slices[0].ImageOrientationPatient
    file = frames_of(slices, PixelSpacing=[2.0, 1.0])
    file.ImagePositionPatient, file.ImageOrientationPatient = place, direction
    scan = read_dicom(save([file]))
    assert scan.affine is None and scan.pixels.shape == (4, 6, 8)
    assert np.isnan(scan.spacing[0]) and scan.spacing[1:] == (2.0, 1.0)


def test_absurdly_many_frames_are_refused_at_once(phantom: Phantom) -> None:
    with pytest.raises(ScanError, match="far more frames"):
        planes_of(phantom.dataset(NumberOfFrames=10**6), 0)


def test_renumber_gives_each_file_its_place_in_the_list(phantom: Phantom) -> None:
    planes = renumber([planes_of(dataset, 0) for dataset in phantom.stack(3)])
    assert [plane.file for plane in planes] == [0, 1, 2]


def test_planes_of_a_large_index_are_small(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom" / "dcm_qa_nih" / "In" / "20180918GE" / "mr_0004").glob("*.dcm"))[:50]
    planes = [planes_of(read_elements(file), 0)[0] for file in files]
    assert len({id(plane.kind) for plane in planes}) == 1  # equal facts are held once
    assert len({id(plane.orientation) for plane in planes}) == 1
