"""Turning a volume moves no voxel."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import InputError, ScanError
from medtl.scans import Scan
from medtl.scans.orient import reorient

CODES = ["".join(code) for axes in itertools.permutations(("LR", "PA", "IS")) for code in itertools.product(*axes)]


def places(scan: Scan) -> dict[tuple[int, ...], float]:
    """Value by place in µm."""
    assert scan.affine is not None
    index = np.argwhere(np.ones(scan.pixels.shape[:3], bool))
    world = nibabel.affines.apply_affine(scan.affine, index)
    values = scan.pixels[tuple(index.T)].reshape(len(index), -1)[:, 0]
    return {tuple(np.round(where * 1000).astype(int)): value for where, value in zip(world, values, strict=True)}


@settings(max_examples=100, deadline=None)
@given(
    code=st.sampled_from(CODES),
    own=st.sampled_from(CODES),
    tilt=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    size=st.tuples(*[st.floats(0.4, 9)] * 3),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    colour=st.booleans(),
)
def test_every_voxel_keeps_its_place_and_value(code, own, tilt, size, shape, colour) -> None:
    axes = nibabel.orientations.inv_ornt_aff(nibabel.orientations.axcodes2ornt(own), (1, 1, 1))[:3, :3]
    a, b, c = tilt
    turn = np.array([[1, -c, b], [c, 1, -a], [-b, a, 1]])
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1])) @ axes * size
    affine[:3, 3] = (11.5, -20, 3)
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    if colour:
        pixels = np.stack([pixels, pixels + 1, pixels + 2], axis=-1)
    scan = Scan(pixels, affine, "MR", tuple(np.linalg.norm(affine[:3, :3], axis=0)), {"bits": 8})
    turned = reorient(scan, code)
    assert turned.affine is not None and turned.pixels.flags.c_contiguous and turned.pixels.dtype == np.float32
    assert places(turned) == places(scan)
    assert "".join(nibabel.aff2axcodes(turned.affine))[::-1] == code
    np.testing.assert_allclose(turned.spacing, np.linalg.norm(turned.affine[:3, :3], axis=0))
    assert (turned.modality, turned.header, turned.colour) == ("MR", {"bits": 8}, colour)
    back = reorient(turned, "".join(nibabel.aff2axcodes(affine))[::-1])
    np.testing.assert_array_equal(back.pixels, scan.pixels)
    np.testing.assert_allclose(back.affine, affine, atol=1e-9)


def test_equals_nibabels_closest_canonical(shared_data, tmp_path) -> None:
    from medtl.scans import read

    path = sorted((shared_data / "brain-mr").glob("*.nii.gz"))[0]
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    turned = reorient(read(path))
    np.testing.assert_array_equal(turned.pixels.transpose(2, 1, 0), canonical.get_fdata(dtype=np.float32))
    assert turned.affine is not None
    np.testing.assert_allclose(turned.affine[:, [2, 1, 0, 3]], canonical.affine, atol=1e-4)


def test_no_place_and_no_orientation_are_said() -> None:
    scan = Scan(np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ScanError, match="does not say how"):
        reorient(scan)
    for axes in ("", "RA", "RAL", "XYZ", "RRS"):
        with pytest.raises(InputError, match="three letters"):
            reorient(scan, axes)
    flat = np.diag([1.0, 0, 1, 1])
    with pytest.raises(ScanError, match="do not span"):
        reorient(Scan(np.zeros((2, 3, 4), np.float32), flat))
