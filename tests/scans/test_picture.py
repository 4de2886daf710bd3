"""PNG and JPEG: depth, colour, orientation, palettes, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import skimage.data
import skimage.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medtl.errors import ScanError
from medtl.scans.picture import read_picture

COFFEE = skimage.data.coffee()[:60, :80]  # colour, real, in scikit-image's wheel
CAMERA = skimage.data.camera()[:60, :80]


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)  # type: ignore[arg-type]
    return path


def test_colour_and_grey_as_scikit_image_reads_them(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        scan = read_picture(saved(tmp_path / name, COFFEE))
        np.testing.assert_array_equal(scan.pixels[0], skimage.io.imread(tmp_path / name))
        assert scan.pixels.dtype == np.float32 and scan.colour and scan.header["bits"] == 8
        scan = read_picture(saved(tmp_path / name, CAMERA))
        np.testing.assert_array_equal(scan.pixels[0], skimage.io.imread(tmp_path / name))
        assert not scan.colour and scan.affine is None and np.isnan(scan.spacing).all()


def test_real_scans_read_as_scikit_image_reads_them(shared_data: Path) -> None:
    for name in ("ultrasound/brazil/bus_0001-l.jpg", "cxr/nih", "cells/jiangxi"):
        path = shared_data / name
        path = path if path.is_file() else next(file for file in sorted(path.rglob("*")) if file.is_file())
        np.testing.assert_array_equal(np.squeeze(read_picture(path).pixels), skimage.io.imread(path))


def test_16_bits_grey_and_colour(tmp_path: Path) -> None:
    deep = (CAMERA.astype(np.uint16) * 257 - 3 * (CAMERA > 3)).astype(np.uint16)
    scan = read_picture(saved(tmp_path / "a.png", deep))
    np.testing.assert_array_equal(scan.pixels[0], deep)
    assert scan.header["bits"] == 16
    colour = (COFFEE.astype(np.uint16) * 257 - 3 * (COFFEE > 3)).astype(np.uint16)
    for channels in (colour, np.dstack([colour, colour[..., 0]])):
        sitk.WriteImage(sitk.GetImageFromArray(channels, isVector=True), str(tmp_path / "b.png"))
        scan = read_picture(tmp_path / "b.png")
        np.testing.assert_array_equal(scan.pixels[0], colour)
        assert scan.header["bits"] == 16


def test_turned_upright_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: show it turned a quarter clockwise
    path = saved(tmp_path / "a.png", COFFEE, exif=exif)
    np.testing.assert_array_equal(read_picture(path).pixels[0], np.rot90(COFFEE, -1))


def test_palette_transparency_black_and_white(tmp_path: Path) -> None:
    image = Image.fromarray(COFFEE).quantize(32)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels[0], np.asarray(image.convert("RGB")))
    alpha = np.dstack([COFFEE, np.full(COFFEE.shape[:2], 9, np.uint8)])
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "b.png", alpha)).pixels[0], COFFEE)
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "c.png", CAMERA, "LA")).pixels[0], CAMERA)
    assert set(np.unique(read_picture(saved(tmp_path / "d.png", CAMERA, "1")).pixels)) == {0, 255}


def test_grey_stored_as_rgb_is_grey(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        path = saved(tmp_path / name, np.repeat(CAMERA[..., None], 3, axis=-1))
        scan = read_picture(path)
        assert not scan.colour
        np.testing.assert_array_equal(scan.pixels[0], skimage.io.imread(path)[..., 0])


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_cut_off_has_a_reason(tmp_path: Path, name: str) -> None:
    whole = saved(tmp_path / name, COFFEE).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="cut off"):
        read_picture(tmp_path / name)


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["png", "jpg", "deep"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_damage_gives_a_scan_or_a_scan_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / f"a.{kind.replace('deep', 'png')}"
    if kind == "deep":
        sitk.WriteImage(sitk.GetImageFromArray(COFFEE.astype(np.uint16), isVector=True), str(path))
    else:
        saved(path, COFFEE)
    damaged = bytearray(path.read_bytes())
    for where, value in flips:
        damaged[int(where * len(damaged))] = value
    path.write_bytes(damaged[: int(len(damaged) * (0.3 + cut))])
    try:
        assert read_picture(path).pixels.dtype == np.float32
    except ScanError as error:
        assert str(error)
