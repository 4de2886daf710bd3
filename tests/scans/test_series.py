"""A folder's series as rows: each stack one, whatever the order and the names of its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from medtl.errors import InputError, ScanError
from medtl.scans import index_folders, read
from medtl.scans.manifest import Manifest

Phantom = Any  # of conftest.py
Save = Callable[..., list[Path]]
TESTS = Path(pydicom.data.__file__).parent / "test_files"


def test_each_echo_is_a_row_and_each_row_reads_as_its_echo(phantom: Phantom, save: Save, tmp_path: Path) -> None:
    first, second = (
        phantom.stack(3, modality="MR", EchoTime=time, add=add) for time, add in ((10.0, 0.0), (30.0, 500.0))
    )
    save([*first, *second][::-1])
    m = index_folders(tmp_path)
    assert list(m.frame.notes) == ["echo 1 of 2", "echo 2 of 2"]
    assert list(m.frame["size"]) == ["3 x 6 x 8"] * 2 and list(m.frame.spacing) == ["3 x 2 x 1"] * 2
    assert m.frame.series.nunique() == 1 and m.frame.scan_id.is_unique
    for row, add in zip(m, (0.0, 500.0), strict=True):
        phantom.assert_true(read(row), add)
    again = Manifest.load(m.save(tmp_path / "out" / "m.csv"))
    np.testing.assert_array_equal(read(list(again)[1]).pixels, read(list(m)[1]).pixels)


def test_the_ids_do_not_hang_on_the_names_of_the_files(phantom: Phantom, save: Save, tmp_path: Path) -> None:
    files = save([*phantom.stack(3, EchoTime=10.0), *phantom.stack(3, EchoTime=30.0, add=500.0)])
    before = index_folders(tmp_path).frame
    for number, file in enumerate(files):
        file.rename(tmp_path / f"z{9 - number}")
    after = index_folders(tmp_path).frame
    assert dict(zip(after.notes, after.scan_id, strict=True)) == dict(zip(before.notes, before.scan_id, strict=True))


@pytest.mark.parametrize("on_gap", ["resample", "keep"])
def test_a_series_with_a_gap_is_refused_until_the_user_says_what_to_do(
    phantom: Phantom, save: Save, tmp_path: Path, on_gap: Any
) -> None:
    files = save(phantom.stack(6))
    files[2].unlink()
    (row,) = index_folders(tmp_path)
    assert row.status == "unreadable" and "slice 3 of 6 is missing" in row.reason
    assert "--on-gap resample" in row.reason and str(tmp_path) not in row.reason
    with pytest.raises(ScanError, match="slice 3 of 6"):
        read(row)
    (mended,) = index_folders(tmp_path, on_gap=on_gap)
    assert (mended.status, mended.extra["on_gap"]) == ("ok", on_gap)
    scan = read(mended)
    assert mended.extra["size"] == " x ".join(map(str, scan.pixels.shape))
    assert mended.extra["notes"].count("missing slices") <= 1
    if on_gap == "resample":
        assert len(scan.pixels) == 6
        phantom.assert_true(scan)
    else:
        assert len(scan.pixels) == 5 and scan.affine is None


def test_a_whole_series_needs_no_mending(phantom: Phantom, save: Save, tmp_path: Path) -> None:
    save(phantom.stack(4))
    assert list(index_folders(tmp_path, on_gap="resample").frame.on_gap) == [""]
    with pytest.raises(InputError, match="--on-gap 'skip' is not known"):
        index_folders(tmp_path, on_gap="skip")  # type: ignore[arg-type]


def test_volumes_of_one_file_are_rows_of_it(shared_data: Path, tmp_path: Path) -> None:
    ref = shared_data / "dicom" / "dcm_qa_nih" / "Ref" / "EPI_PE=AP_3.nii"
    shutil.copy(ref, tmp_path)
    m = index_folders(tmp_path)
    assert list(m.frame.volume) == ["0", "1"] and m.frame.group.nunique() == 1 and m.frame.fingerprint.is_unique
    mosaics = index_folders(shared_data / "dicom" / "dcm_qa_nih" / "In" / "20180918Si" / "mr_0003").usable
    assert list(mosaics.frame.notes) == ["time 1 of 2", "time 2 of 2"]
    for ours, theirs in zip(mosaics, m, strict=True):
        np.testing.assert_array_equal(np.sort(read(ours).pixels.ravel()), np.sort(read(theirs).pixels.ravel()))


def test_screenshots_beside_a_series_are_set_aside_and_alone_they_are_the_scans(tmp_path: Path) -> None:
    shutil.copy(TESTS / "CT_small.dcm", tmp_path)
    screenshot = pydicom.dcmread(TESTS / "SC_rgb_small_odd.dcm")
    for number, study in enumerate((pydicom.dcmread(TESTS / "CT_small.dcm").StudyInstanceUID, "1.2.9")):
        screenshot.StudyInstanceUID = study
        screenshot.save_as(tmp_path / f"screenshot {number}")
    m = index_folders(tmp_path)
    assert list(m.frame.status) == ["ok", "set aside", "ok"]  # the last is all that its study has
    assert "secondary capture" in m.frame.reason[1]
    assert m.frame.notes[2].startswith("secondary capture")


def test_everything_that_is_no_picture_is_set_aside_with_its_kind(tmp_path: Path) -> None:
    kinds = {
        "reportsi.dcm": "structured report", "rtplan.dcm": "radiotherapy", "rtstruct.dcm": "radiotherapy",
        "rtdose.dcm": "radiotherapy", "waveform_ecg.dcm": "waveform",
    }  # fmt: skip
    for name in (*kinds, "CT_small.dcm"):
        shutil.copy(TESTS / name, tmp_path)
    frame = index_folders(tmp_path).frame.set_index("path")
    for name, kind in kinds.items():
        row = frame.loc[str(tmp_path / name)]
        assert row.status == "set aside" and kind in row.reason


def test_a_dicomdir_names_the_files_of_a_disc() -> None:
    disc = TESTS / "dicomdirtests"
    m = index_folders(disc / "DICOMDIR")
    assert m.frame.status.tolist().count("set aside") == 1  # itself
    whole = index_folders(disc)
    there = {row.scan_id for row in m.usable}
    assert len(there) > 5 and there <= {row.scan_id for row in whole.usable}


def enhanced(slices: list[Any], groups: list[dict[str, Any]]) -> Any:
    """One multi-frame file of single slices, with what belongs to each frame in its functional group."""
    dataset = slices[0]
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(each.PixelData for each in slices)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.Modality = "MR"
    shared = Dataset()
    shared.PixelMeasuresSequence = [items(PixelSpacing=[2.0, 1.0], SliceThickness=3.0)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for each, group in zip(slices, groups, strict=True):
        frame = Dataset()
        frame.PlanePositionSequence = [items(ImagePositionPatient=each.ImagePositionPatient)]
        frame.PlaneOrientationSequence = [items(ImageOrientationPatient=each.ImageOrientationPatient)]
        for name, value in group.items():
            setattr(frame, name, [value])
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    return dataset


def items(**fields: Any) -> Dataset:
    dataset = Dataset()
    for name, value in fields.items():
        setattr(dataset, name, value)
    return dataset


def test_each_echo_of_an_enhanced_file_is_a_row_with_its_own_name(phantom: Phantom, save: Save, tmp_path: Path) -> None:
    slices, groups = [], []
    for echo in (10.0, 20.0, 30.0):
        for each in phantom.stack(4, add=echo):
            slices.append(each)
            groups.append({"MREchoSequence": items(EffectiveEchoTime=echo)})
    save([enhanced(slices, groups)])
    m = index_folders(tmp_path)
    assert list(m.frame.notes) == ["echo 1 of 3", "echo 2 of 3", "echo 3 of 3"]
    assert list(m.frame.volume) == ["0", "1", "2"]
    for row, echo in zip(m, (10.0, 20.0, 30.0), strict=True):
        phantom.assert_true(read(row), echo)


def test_two_enhanced_files_of_two_directions_each(phantom: Phantom, save: Save, tmp_path: Path) -> None:
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    files = []
    for part in range(2):
        slices = []
        for orientation in (phantom.axial, sagittal):
            up = 3 * np.cross(orientation[:3], orientation[3:])
            slices += phantom.stack(
                4, up, orientation=orientation, position=np.array((-8.0, -6.0, 0.0)) + 4 * part * up
            )
        files.append(enhanced(slices, [{} for _ in slices]))
        files[-1].InstanceNumber = part + 1
    save(files)
    m = index_folders(tmp_path)
    assert list(m.frame.status) == ["ok", "ok"], list(m.frame.reason)
    assert list(m.frame["size"]) == ["8 x 6 x 8"] * 2
    for row in m:
        phantom.assert_true(read(row))


def test_many_time_points_in_one_file_are_split_once(
    phantom: Phantom, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medtl.scans import series

    slices, groups = [], []
    for time in range(30):
        slices += phantom.stack(3)
        groups += [{"FrameContentSequence": items(TemporalPositionIndex=time + 1)} for _ in range(3)]
    save([enhanced(slices, groups)])
    splits: list[int] = []
    real = series.split_stacks
    monkeypatch.setattr(series, "split_stacks", lambda *what: splits.append(1) or real(*what))
    assert len(index_folders(tmp_path)) == 30
    assert len(splits) <= 2
