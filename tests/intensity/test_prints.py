"""A scan's print, as text, and many of them as a table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medtl.intensity.prints import NUMBERS, Print, Prints, from_json, print_of, to_json
from medtl.scans import Scan

NAN = math.nan
numbers = st.floats(width=32) | st.just(NAN)
prints = st.builds(Print, st.tuples(*[numbers] * len(NUMBERS)), st.sampled_from(["", "CT", "US"]), st.text(max_size=5))


def same(a: Print, b: Print) -> bool:
    return a.modality == b.modality and a.manufacturer == b.manufacturer and np.array_equal(a.numbers, b.numbers, True)


def test_a_volume_is_told_in_its_own_units() -> None:
    pixels = np.random.default_rng(0).permutation(np.arange(10 * 20 * 30, dtype=np.float32)).reshape(10, 20, 30) - 1000
    scan = Scan(pixels, None, "CT", (5.0, 0.5, 0.7), {"manufacturer": "ACME "})
    found = print_of(scan)
    assert found.numbers[:3] == pytest.approx(np.percentile(pixels, (1, 50, 99)).tolist())
    assert found.numbers[3:] == (5.0, 0.5, 0.7, 10, 20, 30, 0)
    assert (found.modality, found.manufacturer) == ("CT", "ACME")
    assert found.number("spacing of columns") == 0.7


def test_a_picture_has_no_spacing_of_slices_and_unknown_is_nan() -> None:
    found = print_of(Scan(np.ones((1, 4, 6), np.float32), None, "US", (3.0, 0.1, NAN)))
    assert math.isnan(found.number("spacing of slices")) and math.isnan(found.number("spacing of columns"))
    assert found.number("spacing of rows") == 0.1
    zero = print_of(Scan(np.ones((1, 4, 6), np.float32), None, "US", (NAN, 0.0, -1.0)))  # no pixel is so small
    assert math.isnan(zero.number("spacing of rows")) and math.isnan(zero.number("spacing of columns"))


def test_pet_is_told_as_uptake_whatever_the_dose() -> None:
    uptake = np.random.default_rng(0).gamma(1, 1, (5, 20, 20)).astype(np.float32)
    padded = np.pad(uptake, ((0, 0), (0, 0), (0, 5)), constant_values=-1)
    found = [
        print_of(Scan(padded * dose, None, "PT", header={"suv": 1 / dose, "padding": (-dose, -dose)})).numbers[:3]
        for dose in (1, 2048)
    ]
    assert found[1] == pytest.approx(found[0])
    assert found[0] == pytest.approx(np.percentile(uptake, (1, 50, 99)).tolist(), rel=1e-5)


def test_padding_and_gaps_do_not_count() -> None:
    pixels = np.linspace(0, 100, 2500, dtype=np.float32).reshape(1, 50, 50)
    framed = np.full((1, 90, 90), -2000, np.float32)
    framed[:, 20:70, 20:70] = pixels
    framed[0, 0, :5] = np.nan
    assert print_of(Scan(framed, header={"padding": (-2000.0, -2000.0)})).numbers[:3] == pytest.approx(
        print_of(Scan(pixels)).numbers[:3]
    )
    empty = print_of(Scan(np.full((1, 5, 5), -2000, np.float32), header={"padding": (-2000.0, -2000.0)}))
    assert all(math.isnan(number) for number in empty.numbers[:3])


@pytest.mark.parametrize("shape", [(1, 2048, 2048), (300, 128, 128), (1, 512, 512, 3), (40, 1, 16384)])
def test_a_large_scan_is_looked_at_evenly_and_only_in_part(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    columns = np.linspace(0, 1, shape[2]).reshape([1, 1, -1] + [1] * (len(shape) - 3))  # aliasing would see few of them
    pixels = (1000 * columns + random.normal(size=shape)).astype(np.float32)
    found = print_of(Scan(pixels)).numbers[:3]
    assert found == pytest.approx(np.percentile(pixels, (1, 50, 99)).tolist(), abs=10)  # a rank of 1 %


def test_the_axes_of_a_volume_may_be_stored_in_any_order() -> None:
    affine = np.diag([3.0, 1.0, 2.0, 1.0])[[2, 1, 0, 3]]  # array (slice, row, column) along (z, y, x)
    pixels = np.random.default_rng(0).normal(size=(12, 20, 30)).astype(np.float32)
    scan = Scan(pixels, affine, "MR", (3.0, 1.0, 2.0))
    turned = replace(
        scan,
        pixels=np.flip(pixels.transpose(2, 0, 1), 1),
        affine=affine[:, [2, 0, 1, 3]] @ np.array([[1, 0, 0, 0], [0, -1, 0, 11], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        spacing=(2.0, 3.0, 1.0),
    )
    assert print_of(turned).numbers[3:] == print_of(scan).numbers[3:] == (3.0, 1.0, 2.0, 12, 20, 30, 0)


def test_colour_is_the_share_of_pixels_that_have_some() -> None:
    pixels = np.full((1, 10, 10, 3), 200, np.float32)
    pixels[:, :4, :, 0] = 100
    assert print_of(Scan(pixels)).number("colour") == pytest.approx(0.4)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))))
def test_any_pixels_have_a_print(pixels: np.ndarray) -> None:
    found = print_of(Scan(pixels))
    finite = pixels[np.isfinite(pixels)]
    if finite.size:
        assert finite.min() <= found.number("low") <= found.number("high") <= finite.max()
    else:
        assert math.isnan(found.number("low"))


@given(st.builds(Print, st.tuples(*[st.floats(allow_infinity=False)] * len(NUMBERS)), st.text(), st.text()))
def test_text_gives_the_print_back(found: Print) -> None:
    text = to_json(found)
    assert "\n" not in text and "NaN" not in text
    assert same(from_json(text), found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "{}",
        '{"numbers": [1], "modality": "", "manufacturer": ""}',
        '{"numbers": "1234567890", "modality": "", "manufacturer": 3}',
        '{"numbers": [[],2,3,4,5,6,7,8,9,0], "modality": "", "manufacturer": ""}',
    ],
)
def test_what_is_no_print_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)


@given(st.lists(prints, max_size=8), st.data())
def test_a_table_holds_what_it_was_made_of(several: list[Print], data: st.DataObject) -> None:
    table = Prints.of(iter(several))
    assert len(table) == len(several) and all(map(same, table, several))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(several), max_size=len(several))), bool)
    chosen = table.select(mask)
    assert all(same(a, b) for a, b in zip(chosen, np.array([*several, None], object)[:-1][mask], strict=True))
    both = Prints.concat([table, chosen])
    assert all(same(a, b) for a, b in zip(both, [*several, *chosen], strict=True))
    assert len(Prints.concat([])) == 0


def test_a_hundred_thousand_scans_take_little_memory() -> None:
    one = Print(tuple(np.arange(len(NUMBERS), dtype=float)), "CT", "ACME")
    table = Prints.of(one for _ in range(100_000))
    assert table.numbers.nbytes + table.modality.nbytes + table.manufacturer.nbytes < 6e6
