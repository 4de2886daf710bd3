"""Letters and callipers are found where they are drawn, and nowhere else."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from medtl.scans import Scan, read
from medtl.scans.burned_in import _opened, find_overlay

LABELS = Path(__file__).resolve().parents[2] / "benchmarks" / "burned_in_labels.csv"


def speckle(seed: int = 0, shape: tuple[int, int] = (256, 240)) -> np.ndarray:
    """Blurred bands and noise, wide rather than high, as ultrasound has them."""
    noise = np.random.default_rng(seed).gamma(2.0, 1.0, shape)
    smooth = ndimage.gaussian_filter(noise, (1.2, 4)) + ndimage.gaussian_filter(noise, (6, 12)) * 2
    return (smooth / smooth.max() * 150).astype(np.uint8)


def radiograph(shape: tuple[int, int] = (320, 300)) -> np.ndarray:
    """A bright trunk in black air, with soft ribs."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    trunk = 170 * np.exp(-(((x - 150) / 95.0) ** 4))
    return np.clip(trunk + 12 * np.sin(y / 9.0) * (trunk > 90), 0, 255).astype(np.uint8)


def scan_of(picture: np.ndarray, modality: str = "US") -> Scan:
    return Scan(picture[None].astype(np.float32), None, modality, header={"bits": 8})


def written(picture: np.ndarray, text: str, at: tuple[int, int], size: int = 11, value: int = 235) -> np.ndarray:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(at, text, value, font=ImageFont.load_default(size))
    return np.asarray(image)


def crossed(picture: np.ndarray, *middles: tuple[int, int]) -> np.ndarray:
    picture = picture.copy()
    for y, x in middles:
        picture[y - 4 : y + 5, x] = 240
        picture[y, x - 4 : x + 5] = 240
    return picture


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_picture_gives_no_alarm(seed):
    assert find_overlay(scan_of(speckle(seed))) == ""


@pytest.mark.parametrize("text", ["MAMA DIREITA", "LEFT BREAST", "3 cm 12:41:20"])
@pytest.mark.parametrize("at", [(20, 200), (90, 120)])
def test_a_line_of_letters_is_text(text, at):
    assert find_overlay(scan_of(written(speckle(), text, at))) == "text"


def test_callipers_are_told_from_text():
    picture = speckle()
    assert find_overlay(scan_of(crossed(picture, (80, 60), (84, 150)))) == "callipers"
    both = written(crossed(picture, (80, 60), (84, 150)), "RETROAREOLAR", (60, 200))
    assert find_overlay(scan_of(both)) == "text and callipers"


def test_the_side_marker_of_a_radiograph_is_text():
    assert find_overlay(scan_of(radiograph(), "DX")) == ""
    assert find_overlay(scan_of(written(radiograph(), "R", (12, 20), 18), "DX")) == "text"


def test_the_pictures_size_and_range_do_not_matter():
    picture = written(radiograph(), "R", (12, 20), 18)
    large = np.kron(picture, np.ones((6, 6), np.uint8)).astype(np.float32) * 16  # 12 bits, 1920 rows
    assert find_overlay(Scan(large[None], None, "DX", header={"bits": 12})) == "text"


def test_coloured_letters_on_a_grey_picture_are_text():
    grey = speckle()
    colour = np.stack([written(grey, "LT 3 cm", (60, 150), value=250), grey, grey], axis=-1)
    assert find_overlay(Scan(colour[None].astype(np.float32), None, "US", header={"bits": 8})) == "text"


def test_only_the_middle_frame_of_a_loop_is_looked_at():
    frames = np.stack([written(speckle(), "MAMA DIREITA", (20, 200)), speckle(1), speckle(2)]).astype(np.float32)
    assert find_overlay(Scan(frames, None, "US", header={"bits": 8})) == ""
    assert find_overlay(Scan(frames[[1, 0, 2]], None, "US", header={"bits": 8})) == "text"


def test_what_holds_measurements_is_not_looked_at():
    picture = written(speckle(), "MAMA DIREITA", (20, 200)).astype(np.float32)
    assert find_overlay(Scan(picture[None], None, "CT")) == ""
    assert find_overlay(Scan(np.repeat(picture[None], 3, axis=0), np.eye(4))) == ""


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_an_even_or_broken_picture_says_nothing(value):
    assert find_overlay(Scan(np.full((1, 64, 64), value, np.float32), None, "US")) == ""


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 300), (1, 7, 9000), (1, 40, 9000), (1, 0, 0)])
def test_tiny_pictures_say_nothing(shape):
    assert find_overlay(Scan(np.ones(shape, np.float32), None, "US")) == ""


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 90), st.integers(1, 900)),
    values=st.lists(st.floats(width=32), min_size=1, max_size=50),
    colour=st.booleans(),
    bits=st.sampled_from([None, 8, 16]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_pixels_it_answers(shape, values, colour, bits):
    pixels = np.resize(np.array(values, np.float32), (*shape, 3) if colour else shape)
    with np.errstate(all="ignore"):
        answer = find_overlay(Scan(pixels, None, "US", header={"bits": bits}))
    assert answer in ("", "text", "callipers", "text and callipers")


@pytest.mark.parametrize("sides", [(1, 5), (1, 7), (5, 5), (7, 7)])
def test_the_opening_is_scipys(sides):
    picture = np.random.default_rng(0).random((41, 58), dtype=np.float32)
    assert np.array_equal(_opened(picture, *sides), ndimage.grey_opening(picture, sides, mode="nearest"))


def test_hand_labelled_pictures_of_held_out_patients(shared_data):
    """At most 1 in 20 clean pictures alarms; of those with something burned in, 4 in 5 are found."""
    with LABELS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "report" and row["small_mark"] == "0"]
    found = {row["file"]: find_overlay(read(shared_data / row["file"])) != "" for row in rows}
    burned = [row["file"] for row in rows if "1" in (row["text"], row["callipers"])]
    clean = [row["file"] for row in rows if row["file"] not in burned]
    assert len(burned) == 100 and len(clean) == 62
    assert sum(found[file] for file in clean) <= 3
    assert sum(found[file] for file in burned) >= 80


def test_real_volumes_and_ct_say_nothing(shared_data):
    from pydicom.data import get_testdata_file

    assert find_overlay(read(get_testdata_file("CT_small.dcm"))) == ""
    volume = next(iter(sorted((shared_data / "brain-mr").glob("*.nii.gz"))))
    assert find_overlay(read(volume)) == ""
