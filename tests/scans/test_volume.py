"""NRRD, MetaImage, Analyze and NIfTI pairs against SimpleITK and nibabel: the same value at the same place."""

from __future__ import annotations

import bz2
import gzip
import shutil
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from medtl.errors import ScanError
from medtl.scans import Scan
from medtl.scans.read import read_scan, volumes_in
from medtl.scans.volume import data_beside, read_volume

RANDOM = np.random.default_rng(0)
VOXELS = RANDOM.integers(-1000, 3000, (4, 5, 6), dtype=np.int16)  # (k, j, i)
LPS = np.diag([-1.0, -1, 1, 1])


def oblique(size: tuple[float, ...] = (0.7, 1.5, 3)) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Directions (axes are columns), origin and voxel size, as ITK has them."""
    directions = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
    return directions * np.sign(np.linalg.det(directions)), np.array([12.5, -34, 56]), size


def itk_image(values: np.ndarray, vector: bool = False) -> sitk.Image:
    directions, origin, size = oblique()
    image = sitk.GetImageFromArray(values, isVector=vector)
    image.SetDirection(directions.ravel().tolist())
    image.SetOrigin(origin.tolist())
    image.SetSpacing(size)
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    """(i, j, k, 1) -> RAS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


def assert_same(scan: Scan, image: sitk.Image) -> None:
    expected = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(scan.pixels, expected)
    assert scan.pixels.dtype == np.float32 and scan.affine is not None
    np.testing.assert_allclose(scan.affine[:, [2, 1, 0, 3]], affine_of(image), atol=1e-4)
    np.testing.assert_allclose(scan.spacing, image.GetSpacing()[::-1], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_equal_simpleitk_and_the_same_volume_as_nifti(tmp_path: Path, name: str, packed: bool, kind: type) -> None:
    image = itk_image(np.abs(VOXELS).astype(kind))
    sitk.WriteImage(image, str(tmp_path / name), packed)
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    scan = read_volume(tmp_path / name)
    assert_same(scan, sitk.ReadImage(str(tmp_path / name)))
    as_nifti = read_scan([tmp_path / "a.nii"])
    np.testing.assert_array_equal(scan.pixels, as_nifti.pixels)
    np.testing.assert_allclose(scan.affine, as_nifti.affine, atol=1e-4)  # type: ignore[arg-type]
    assert scan.header["bits"] == np.dtype(kind).itemsize * 8
    assert volumes_in(tmp_path / name) == 1


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii", "a.img"])
def test_a_volume_of_its_own_coordinates(tmp_path: Path, name: str) -> None:
    """Shape and affine cannot be in different orders of axes (MONAI #1357, #1711): each value says where it lies."""
    directions, origin, size = oblique()
    index = np.stack(np.meshgrid(range(4), range(5), range(6), indexing="ij"), axis=-1)[..., ::-1]  # i, j, k at k, j, i
    world = index @ (directions * size).T + origin
    for axis, sign in enumerate((-1, -1, 1)):
        image = sitk.GetImageFromArray(sign * world[..., axis])
        image.SetDirection(directions.ravel().tolist())
        image.SetOrigin(origin.tolist())
        image.SetSpacing(size)
        sitk.WriteImage(image, str(tmp_path / name))
        scan = read_scan([(tmp_path / name).with_suffix(".hdr") if name == "a.img" else tmp_path / name])
        assert scan.pixels.shape == (4, 5, 6) and scan.affine is not None
        where = np.argwhere(np.ones(scan.pixels.shape, bool))
        places = nibabel.affines.apply_affine(scan.affine, where)[:, axis].reshape(scan.pixels.shape)
        np.testing.assert_allclose(scan.pixels, places, atol=1e-3)


def nrrd(values: np.ndarray, header: str, encoding: str = "raw", endian: str = "little") -> bytes:
    """A file written by hand; `values` (k, j, i)."""
    names = {"int16": "short", "uint8": "uchar", "float32": "float", "float64": "double", "int32": "int"}
    raw = values.astype(values.dtype.newbyteorder("<" if endian == "little" else ">")).tobytes()
    packed = {
        "raw": raw, "gzip": gzip.compress(raw), "bzip2": bz2.compress(raw), "hex": raw.hex().encode(),
        "ascii": " ".join(map(str, values.ravel())).encode(),
    }[encoding]  # fmt: skip
    text = f"NRRD0005\n# a remark\ntype: {names[str(values.dtype)]}\ndimension: {values.ndim}\nendian: {endian}\n"
    text += (
        f"sizes: {' '.join(map(str, values.shape[::-1]))}\nencoding: {encoding}\nkey:=value: of the user\n{header}\n"
    )
    return text.encode() + packed


PLACE = "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (10,20,30)\n"


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "hex", "ascii"])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_nrrd_encodings_and_byte_orders(tmp_path: Path, encoding: str, endian: str) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(VOXELS, "space: RAS\n" + PLACE, encoding, endian))
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.pixels, VOXELS)
    if encoding != "bzip2":  # which SimpleITK was built without
        np.testing.assert_array_equal(scan.pixels, sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    np.testing.assert_allclose(scan.affine @ [1, 1, 1, 1], [11, 22, 33, 1])


@pytest.mark.parametrize(
    ("space", "corner"),
    [
        ("right-anterior-superior", [10, 20, 30]), ("RAS", [10, 20, 30]),
        ("left-anterior-superior", [-10, 20, 30]), ("LAS", [-10, 20, 30]),
        ("left-posterior-superior", [-10, -20, 30]), ("LPS", [-10, -20, 30]),
    ],
)  # fmt: skip
def test_nrrd_spaces(tmp_path: Path, space: str, corner: list[float]) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(VOXELS, f"space: {space}\n{PLACE}"))
    scan = read_volume(path)
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine[:3, 3], corner)
    np.testing.assert_allclose(scan.affine[:, [2, 1, 0, 3]], affine_of(sitk.ReadImage(str(path))))
    assert scan.spacing == (3, 2, 1)


@pytest.mark.parametrize(
    ("header", "spacing"),
    [
        ("space: scanner-xyz\n" + PLACE, (3, 2, 1)),
        ("space dimension: 3\n" + PLACE, (3, 2, 1)),
        ("space: RAS\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n", (3, 2, 1)),  # no origin
        ("space: RAS\nspace directions: (1,0,0) (0,2,0) (0,2,0)\nspace origin: (0,0,0)\n", (2, 2, 1)),
        ("spacings: 1 2 3\n", (3, 2, 1)),
        ('spacings: 1000 2 nan\nunits: "um" "mm" ""\n', (np.nan, 2, 1)),
        ("", (np.nan,) * 3),
    ],
)
def test_nrrd_makes_no_place_up(tmp_path: Path, header: str, spacing: tuple[float, ...]) -> None:
    (tmp_path / "a.nrrd").write_bytes(nrrd(VOXELS, header))
    scan = read_volume(tmp_path / "a.nrrd")
    assert scan.affine is None
    np.testing.assert_allclose(scan.spacing, spacing)


def test_nrrd_micrometres_and_shear(tmp_path: Path) -> None:
    header = 'space: RAS\nspace units: "um" "um" "um"\nspace directions: (100,0,0) (50,200,0) (0,0,300)\n'
    (tmp_path / "a.nrrd").write_bytes(nrrd(VOXELS, header + "space origin: (1000,0,0)\n"))
    scan = read_volume(tmp_path / "a.nrrd")
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine @ [0, 1, 0, 1], [1.05, 0.2, 0, 1])
    np.testing.assert_allclose(scan.spacing, (0.3, np.hypot(0.05, 0.2), 0.1))


SERIES = RANDOM.integers(-1000, 3000, (3, 4, 5, 6), dtype=np.int16)  # (volume, k, j, i)


def time_series(folder: Path) -> list[Path]:
    """The same three volumes in every form that a time series has."""
    nibabel.save(nibabel.Nifti1Image(SERIES.transpose(3, 2, 1, 0), np.eye(4)), folder / "a.nii.gz")
    nibabel.save(nibabel.AnalyzeImage(SERIES.transpose(3, 2, 1, 0), np.eye(4)), folder / "b.img")
    nibabel.save(nibabel.Nifti2Pair(SERIES.transpose(3, 2, 1, 0), np.eye(4)), folder / "c.img")
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume) for volume in SERIES]), str(folder / "d.mha"), True)
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume) for volume in SERIES]), str(folder / "e.nrrd"))
    first, last = SERIES.transpose(1, 2, 3, 0), SERIES
    place = "space: LPS\nspace origin: (0,0,0)\nspace directions: "
    lists = "none (1,0,0) (0,1,0) (0,0,1)\nkinds: list domain domain domain\n"
    (folder / "f.nrrd").write_bytes(nrrd(first, place + lists, "gzip"))
    times = "(1,0,0) (0,1,0) (0,0,1) none\nkinds: space space space time\n"
    (folder / "g.nrrd").write_bytes(nrrd(last, place + times, "gzip"))
    (folder / "h.nrrd").write_bytes(nrrd(last, place + times, "ascii"))
    return [folder / name for name in ("a.nii.gz", "b.hdr", "c.hdr", "d.mha", "e.nrrd", "f.nrrd", "g.nrrd", "h.nrrd")]


def test_a_time_series_is_read_volume_by_volume(tmp_path: Path) -> None:
    for path in time_series(tmp_path):
        assert volumes_in(path) == 3
        for number, volume in enumerate(SERIES):
            scan = read_scan([path], number)
            np.testing.assert_array_equal(scan.pixels, volume)
            assert "volumes" not in scan.header
        scan = read_scan([path])
        np.testing.assert_array_equal(scan.pixels, SERIES[0])
        assert scan.header["volumes"] == 3
        with pytest.raises(ScanError, match="no volume 3: it has 3 volumes, 0 to 2"):
            read_scan([path], 3)


def test_colour_is_colour_and_vectors_are_refused(tmp_path: Path) -> None:
    colour = RANDOM.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    for name in ("a.nrrd", "a.mha"):
        sitk.WriteImage(itk_image(colour, vector=True), str(tmp_path / name))
        scan = read_volume(tmp_path / name)
        np.testing.assert_array_equal(scan.pixels, colour)
        assert scan.colour and scan.header["photometric"] == "RGB" and scan.affine is not None
        sitk.WriteImage(itk_image(colour.astype(np.float32), vector=True), str(tmp_path / name))
        for reads in (read_volume, volumes_in):
            with pytest.raises(ScanError, match="vectors"):
                reads(tmp_path / name)
    header = "space: RAS\nspace origin: (0,0,0)\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\n"
    rgba = np.concatenate([colour, colour[..., :1]], axis=-1)
    (tmp_path / "b.nrrd").write_bytes(nrrd(rgba, header + "kinds: RGBA-color domain domain domain\n"))
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nrrd").pixels, colour)


def test_flat_pictures(tmp_path: Path) -> None:
    for name in ("a.nrrd", "a.mha"):
        image = sitk.GetImageFromArray(VOXELS[0])
        image.SetSpacing((0.5, 0.25))
        sitk.WriteImage(image, str(tmp_path / name))
        scan = read_volume(tmp_path / name)
        np.testing.assert_array_equal(scan.pixels, VOXELS[:1])
        assert scan.affine is None
        np.testing.assert_allclose(scan.spacing, (np.nan, 0.25, 0.5))


def test_metaimage_without_place_skips_and_letters(tmp_path: Path) -> None:
    text = "NDims = 3\nDimSize = 6 5 4\nElementSpacing = 1 2 3\nElementType = MET_SHORT\n"
    big = VOXELS.astype(">i2").tobytes()
    (tmp_path / "v.raw").write_bytes(b"7 bytes" + big)
    for number, ending in enumerate(
        (
            "HeaderSize = 7\nElementByteOrderMSB = True\nElementDataFile = v.raw\n",
            "HeaderSize = -1\nBinaryDataByteOrderMSB = True\nElementDataFile = ./v.raw\n",
            f"BinaryData = False\nElementDataFile = LOCAL\n{' '.join(map(str, VOXELS.ravel()))}",
        )
    ):
        path = tmp_path / f"{number}.mhd"
        path.write_text(text + ending)
        scan = read_volume(path)
        np.testing.assert_array_equal(scan.pixels, VOXELS)
        assert scan.affine is None and scan.spacing == (3, 2, 1)
    scaled = text + "ElementToIntensityFunctionSlope = 2\nElementDataFile = v.raw\n"
    (tmp_path / "s.mhd").write_text(scaled)
    with pytest.raises(ScanError, match="scaling"):
        read_volume(tmp_path / "s.mhd")


def test_analyze_equals_nibabel_and_has_no_place(tmp_path: Path) -> None:
    for kind in (nibabel.AnalyzeImage, nibabel.Spm2AnalyzeImage):
        image = kind(VOXELS.transpose(2, 1, 0), np.diag([2.0, 3, 4, 1]))
        if kind is nibabel.Spm2AnalyzeImage:
            image.header.set_slope_inter(0.5)
        nibabel.save(image, tmp_path / "a.img")
        scan = read_volume(tmp_path / "a.hdr")
        expected = nibabel.load(tmp_path / "a.img").get_fdata(dtype=np.float32)
        np.testing.assert_array_equal(scan.pixels.transpose(2, 1, 0), expected)
        assert scan.affine is None and scan.spacing == (4, 3, 2)
    real = Path(nibabel.__file__).parent / "tests" / "data" / "analyze.hdr"
    for reads in (volumes_in, read_volume):
        with pytest.raises(ScanError, match="do not lie beside"):
            reads(real)


def test_a_nifti_pair_equals_the_same_in_one_file(tmp_path: Path) -> None:
    affine = np.array([[0, -2, 0.1, 5], [1.5, 0, 0, -7], [0, 0.2, 3, 9], [0, 0, 0, 1]])
    for one, two in ((nibabel.Nifti1Image, nibabel.Nifti1Pair), (nibabel.Nifti2Image, nibabel.Nifti2Pair)):
        nibabel.save(one(VOXELS, affine), tmp_path / "one.nii")
        nibabel.save(two(VOXELS, affine), tmp_path / "two.img")
        nibabel.save(two(VOXELS, affine), tmp_path / "packed.img.gz")
        single = read_scan([tmp_path / "one.nii"])
        for header in ("two.hdr", "packed.hdr.gz"):
            pair = read_scan([tmp_path / header])
            np.testing.assert_array_equal(pair.pixels, single.pixels)
            np.testing.assert_allclose(pair.affine, single.affine)  # type: ignore[arg-type]


def test_pairs_read_alike_from_a_zip_archive_or_packed(tmp_path: Path) -> None:
    image = itk_image(VOXELS)
    for name in ("a.nhdr", "b.mhd", "c.mha", "d.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name), name != "a.nhdr")
    nibabel.save(nibabel.Nifti1Pair(VOXELS.transpose(2, 1, 0), np.eye(4)), tmp_path / "e.img")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in tmp_path.iterdir():
            if path.suffix != ".zip":
                archive.write(path, f"in/{path.name}")
    for name in ("a.nhdr", "b.mhd", "c.mha", "d.nrrd", "e.hdr"):
        inside = tmp_path / "all.zip" / "in" / name
        np.testing.assert_array_equal(read_scan([inside]).pixels, VOXELS)
        beside = data_beside(inside)
        assert (beside is None) == (name in ("c.mha", "d.nrrd"))
        if beside:
            assert beside.parent == inside.parent
    (tmp_path / "d.nrrd.gz").write_bytes(gzip.compress((tmp_path / "d.nrrd").read_bytes()))
    np.testing.assert_array_equal(read_scan([tmp_path / "d.nrrd.gz"]).pixels, VOXELS)
    assert data_beside(tmp_path / "all.zip") is None


@pytest.mark.parametrize(
    "name",
    ["../secret.raw", "/etc/passwd", "inner/x.raw", "..", "LIST", "LIST 2", "slice%03d.raw 1 4 1", "..\\x.raw"],
)
def test_voxels_elsewhere_are_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    folder = tmp_path / "in"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "x.raw").write_bytes(VOXELS.tobytes())
    text = f"NDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = {name}\n"
    (folder / "a.mhd").write_text(text)
    (folder / "a.nhdr").write_bytes(nrrd(VOXELS, f"data file: {name}\n")[: -VOXELS.nbytes])
    for header in ("a.mhd", "a.nhdr"):
        for reads in (read_volume, data_beside):
            with pytest.raises(ScanError, match="another folder or in several files"):
                reads(folder / header)


def test_what_is_cut_off_or_not_there_is_said(tmp_path: Path) -> None:
    image = itk_image(VOXELS)
    for name in ("a.nrrd", "a.mha", "a.mhd", "a.nhdr"):
        for packed in (False, True):
            sitk.WriteImage(image, str(tmp_path / name), packed)
            data = data_beside(tmp_path / name) or tmp_path / name
            whole = data.read_bytes()
            for end in (1, 30, 100):
                data.write_bytes(whole[:-end])
                with pytest.raises(ScanError, match=r"cut off|damaged"):
                    read_volume(tmp_path / name)
            if data != tmp_path / name:
                data.unlink()
                with pytest.raises(ScanError, match="does not lie beside"):
                    read_volume(tmp_path / name)
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "p.img")
    (tmp_path / "p.img").write_bytes((tmp_path / "p.img").read_bytes()[:-1])
    with pytest.raises(ScanError, match="cut off"):
        read_volume(tmp_path / "p.hdr")
    (tmp_path / "p.img").unlink()
    with pytest.raises(ScanError, match="do not lie beside"):
        read_volume(tmp_path / "p.hdr")


def test_a_later_volume_that_is_missing_is_noticed_at_the_first(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(volume) for volume in SERIES]), str(tmp_path / "a.mha"))
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:-1])
    with pytest.raises(ScanError, match="cut off"):
        read_volume(tmp_path / "a.mha", 0)


def test_numbers_that_float32_cannot_hold_are_said(tmp_path: Path) -> None:
    values = np.array([[[0, 5, 2**24 + 1, -(2**31) + 1]]], np.int32)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.nrrd"))
    nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), tmp_path / "a.nii")
    for name in ("a.nrrd", "a.nii"):
        scan = read_scan([tmp_path / name])
        assert scan.header["rounded"] == np.abs(values - scan.pixels.astype(np.float64)).max() == 1
    sitk.WriteImage(sitk.GetImageFromArray(np.clip(values, -(2**24), 2**24)), str(tmp_path / "a.nrrd"))
    assert "rounded" not in read_volume(tmp_path / "a.nrrd").header
    sitk.WriteImage(sitk.GetImageFromArray(np.array([[[1e300, 1.0]]])), str(tmp_path / "a.nrrd"))
    with pytest.raises(ScanError, match="larger than"):
        read_volume(tmp_path / "a.nrrd")


def test_a_small_file_that_promises_much_takes_little(tmp_path: Path) -> None:
    for encoding in ("raw", "gzip", "bzip2", "ascii", "hex"):
        content = nrrd(VOXELS, "", encoding).replace(b"sizes: 6 5 4\n", b"sizes: 3000 3000 3000\n")
        (tmp_path / f"{encoding}.nrrd").write_bytes(content)
    text = "NDims = 3\nDimSize = 3000 3000 3000\nElementType = MET_DOUBLE\nCompressedData = True\n"
    text += "ElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + zlib.compress(bytes(10**6)))
    tracemalloc.start()
    for path in tmp_path.iterdir():
        with pytest.raises(ScanError):
            read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@settings(max_examples=150, deadline=5000)
@given(
    name=st.sampled_from(["a.nrrd", "b.nrrd", "c.mha", "d.mha", "e.hdr"]),
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.binary(min_size=1, max_size=3) | st.sampled_from([b"99999999", b"-", b"\n", b"(", b"nan", b"%"]),
            st.booleans(),
        ),
        min_size=1, max_size=4,
    ),
    cut=st.floats(0.3, 1.5),
)  # fmt: skip
def test_damage_gives_a_scan_or_a_scan_error(tmp_path_factory, name: str, changes: list, cut: float) -> None:
    seeds = tmp_path_factory.getbasetemp() / "volumes"
    if not seeds.exists():
        seeds.mkdir()
        sitk.WriteImage(itk_image(VOXELS), str(seeds / "a.nrrd"))
        sitk.WriteImage(itk_image(VOXELS), str(seeds / "b.nrrd"), True)
        sitk.WriteImage(itk_image(VOXELS), str(seeds / "c.mha"))
        sitk.WriteImage(itk_image(VOXELS), str(seeds / "d.mha"), True)
        nibabel.save(nibabel.Spm2AnalyzeImage(VOXELS, np.eye(4)), seeds / "e.img")
    folder = tmp_path_factory.mktemp("damaged")
    content = (seeds / name).read_bytes()
    for where, what, instead in changes:
        at = int(where * min(len(content), 500))
        content = content[:at] + what + content[at + instead * len(what) :]
    path = folder / name
    path.write_bytes(content[: max(1, int(len(content) * cut))])
    if name == "e.hdr":
        shutil.copy(seeds / "e.img", folder / "e.img")
    for reads in (lambda: read_volume(path), lambda: volumes_in(path), lambda: data_beside(path)):
        try:
            reads()
        except ScanError as error:
            assert str(error)
