"""PNG, JPEG, TIFF and BMP: depth, colour, orientation, palettes, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import skimage.data
import skimage.io
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

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


DEEP = (CAMERA.astype(np.uint16) * 257 - 3 * (CAMERA > 3)).astype(np.uint16)
IMAGEJ = {"imagej": True, "metadata": {"axes": "ZYX"}}
OME = {"ome": True, "metadata": {"axes": "ZYX"}}
DEEP_COLOUR = (COFFEE.astype(np.uint16) * 257 - 3 * (COFFEE > 3)).astype(np.uint16)


@pytest.mark.parametrize("packing", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}, {"byteorder": ">"}, {"bigtiff": True}])
@pytest.mark.parametrize("pixels", [CAMERA, DEEP, COFFEE, DEEP_COLOUR, DEEP / np.float32(7)])
def test_tiff_as_scikit_image_reads_it(tmp_path: Path, pixels: np.ndarray, layout: dict, packing: str | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=packing, photometric="rgb" if pixels.ndim == 3 else None, **layout)
    scan = read_picture(path)
    np.testing.assert_array_equal(scan.pixels[0], pixels)
    np.testing.assert_array_equal(scan.pixels[0], skimage.io.imread(path))
    assert scan.colour == (pixels.ndim == 3) and scan.header["bits"] == pixels.dtype.itemsize * 8
    assert scan.affine is None and np.isnan(scan.spacing).all() and scan.pixels.flags.c_contiguous


def test_tiff_as_pillow_reads_it(tmp_path: Path) -> None:
    palette = Image.fromarray(COFFEE).quantize(32)
    palette.save(tmp_path / "palette.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.tif").pixels[0], np.asarray(palette.convert("RGB")))
    Image.fromarray(COFFEE).save(tmp_path / "jpeg.tif", compression="jpeg")
    expected = np.asarray(Image.open(tmp_path / "jpeg.tif").convert("RGB")).astype(int)
    assert np.abs(read_picture(tmp_path / "jpeg.tif").pixels[0] - expected).max() <= 2  # two JPEG decoders
    for packing in (None, "group4"):
        Image.fromarray(CAMERA).convert("1").save(tmp_path / "one.tif", compression=packing)
        expected = np.asarray(Image.open(tmp_path / "one.tif")) * 255
        np.testing.assert_array_equal(read_picture(tmp_path / "one.tif").pixels[0], expected)
    for number in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = number
        Image.fromarray(COFFEE).save(tmp_path / "turned.tif", exif=exif)
        with Image.open(tmp_path / "turned.tif") as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(read_picture(tmp_path / "turned.tif").pixels[0], expected)


def test_tiff_where_white_is_zero_is_turned(tmp_path: Path) -> None:
    for pixels, brightest in ((CAMERA, 255), (DEEP, 65535)):
        tifffile.imwrite(tmp_path / "a.tif", brightest - pixels, photometric="miniswhite")
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels[0], pixels)
    tifffile.imwrite(tmp_path / "a.tif", DEEP / np.float32(7), photometric="miniswhite")
    with pytest.raises(ScanError, match="smallest number white"):
        read_picture(tmp_path / "a.tif")


def test_pages_of_one_size_are_slices(tmp_path: Path) -> None:
    stack = np.stack([DEEP, DEEP[::-1], DEEP // 2])
    for how in ({}, IMAGEJ, {"metadata": None, "compression": "lzw"}, OME):
        tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **how)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, stack)
    colour = np.stack([COFFEE, COFFEE[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, colour)
    tifffile.imwrite(tmp_path / "a.tif", COFFEE.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels[0], COFFEE)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(DEEP)
        writer.write(DEEP[:30, :40], subfiletype=1)  # a thumbnail
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels[0], DEEP)


@pytest.mark.parametrize(
    ("pages", "how", "reason"),
    [
        ([CAMERA, CAMERA[:30]], {}, "different sizes"),
        ([np.stack([COFFEE[..., 0]] * 4, axis=-1)], {"photometric": "separated"}, "colours for printing"),
        ([COFFEE], {"photometric": "cielab"}, "colours for printing"),
        ([np.stack([CAMERA] * 4).reshape(2, 2, 60, 80)], {"imagej": True}, "several channels or stacks"),
        ([CAMERA * 1j], {}, "complex"),
        *[
            ([np.stack([CAMERA] * n, axis=-1)], {"photometric": "minisblack", "planarconfig": "contig"}, "channels")
            for n in (2, 3, 4)
        ],
        ([np.stack([CAMERA] * 3)], {"photometric": "minisblack", "planarconfig": "separate"}, "channels"),
        ([np.stack([CAMERA] * 5, axis=-1)], {"photometric": "rgb"}, "channels"),
    ],
)
def test_tiff_that_is_no_picture_is_refused(tmp_path: Path, pages: list[np.ndarray], how: dict, reason: str) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", imagej=how.pop("imagej", False)) as writer:
        for page in pages:
            writer.write(page, **how)
    with pytest.raises(ScanError, match=reason):
        read_picture(tmp_path / "a.tif")


def test_transparency_of_tiff_is_dropped(tmp_path: Path) -> None:
    alpha = np.dstack([COFFEE, np.full(COFFEE.shape[:2], 9, np.uint8)])
    tifffile.imwrite(tmp_path / "a.tif", alpha, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels[0], COFFEE)
    grey = np.dstack([CAMERA, CAMERA // 2])
    tifffile.imwrite(tmp_path / "b.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=[1])
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif").pixels[0], CAMERA)
    tifffile.imwrite(tmp_path / "c.tif", alpha, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_picture(tmp_path / "c.tif").pixels[0], COFFEE)


def test_tiff_whose_pages_run_in_a_circle_ends(tmp_path: Path) -> None:
    for order, big in (("<", False), (">", False), ("<", True)):
        with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order, bigtiff=big) as writer:
            writer.write(CAMERA, metadata=None)
            writer.write(CAMERA, metadata=None)
        with tifffile.TiffFile(tmp_path / "a.tif") as opened:
            first, second = opened.pages[0].offset, opened.pages[1].offset  # type: ignore[union-attr]
        content = bytearray((tmp_path / "a.tif").read_bytes())
        word = "little" if order == "<" else "big"
        at = second + (8 if big else 2) + (20 if big else 12) * int.from_bytes(content[second : second + 2], word)
        if big:
            at = second + 8 + 20 * int.from_bytes(content[second : second + 8], word)
        content[at : at + (8 if big else 4)] = first.to_bytes(8 if big else 4, word)
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ScanError, match="cut off or damaged"):
            read_picture(tmp_path / "a.tif")


def test_bmp_as_pillow_reads_it(tmp_path: Path) -> None:
    for pixels in (CAMERA, COFFEE):
        np.testing.assert_array_equal(read_picture(saved(tmp_path / "a.bmp", pixels)).pixels[0], pixels)


def test_a_picture_has_one_volume(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", CAMERA)
    np.testing.assert_array_equal(read_picture(path, 0).pixels, read_picture(path).pixels)
    with pytest.raises(ScanError, match="no volume 1"):
        read_picture(path, 1)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
def test_cut_off_has_a_reason(tmp_path: Path, name: str) -> None:
    whole = saved(tmp_path / name, COFFEE).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="cut off"):
        read_picture(tmp_path / name)


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["png", "jpg", "deep", "bmp", "tif", "lzw", "tiled"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_damage_gives_a_scan_or_a_scan_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / f"a.{kind.replace('deep', 'png')}"
    if kind == "deep":
        sitk.WriteImage(sitk.GetImageFromArray(COFFEE.astype(np.uint16), isVector=True), str(path))
    elif kind in ("lzw", "tiled"):
        tifffile.imwrite(path, DEEP, compression="lzw", tile=(16, 16) if kind == "tiled" else None)
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
