"""The digits are the ones they say they are, and a draw is the protocol's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def digits(shared_data):
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("digits", BENCHMARKS / "digits.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["digits"] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module


@pytest.mark.parametrize(("name", "total"), [("mnist", 10_000), ("usps", 9298)])
def test_loads_white_digits_on_black_with_their_labels(digits, name, total):
    loaded = digits.load(name)
    assert loaded.stack.shape == (total, 1, 28, 28) and loaded.stack.dtype == np.float32
    assert loaded.stack.min() >= 0 and loaded.stack.max() <= 1
    assert np.median(loaded.stack) < 0.1
    assert set(loaded.label) == set(range(10))
    ones, zeros = (loaded.stack[loaded.label == digit].mean(0)[0] for digit in (1, 0))
    assert ones[14, 14] > 0.5 > zeros[14, 14]  # a stroke in the middle, a hole in the middle


def test_a_draw_has_the_protocols_size_and_is_seeded(digits):
    one, again, other = digits.draw("usps", 0), digits.draw("usps", 0), digits.draw("usps", 1)
    assert len(one) == 1800 and len(digits.draw("mnist", 0)) == 2000
    assert np.array_equal(one.stack, again.stack) and not np.array_equal(one.stack, other.stack)
    assert len(np.unique(one.stack.reshape(1800, -1), axis=0)) > 1780  # without replacement


def test_lenet_has_caffes_layers(digits):
    model = digits.lenet()
    weights = [tuple(p.shape) for p in model.parameters() if p.ndim > 1 and p.requires_grad]
    assert weights == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    assert model.eval()(torch.zeros(2, 1, 28, 28)).logits.shape == (2, 10)


def test_a_second_view_is_a_digit_on_black_and_the_first_one_untouched(digits):
    pixels = torch.from_numpy(digits.draw("usps", 0).stack[:50])
    random = torch.Generator().manual_seed(0)
    assert torch.equal(digits.AsTheyAre()(pixels, random), pixels)
    view = digits.AsTheyAre().stronger()(pixels, random)
    assert 0 <= float(view.min()) < 1e-3 and float(view.max()) <= 1
    corners = view[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert float(corners.mean()) < 0.05 and not torch.allclose(view, pixels, atol=0.2)


def test_the_setting_is_that_of_most_information_which_costs_the_source_little(digits, tmp_path):
    rows = digits.Rows(tmp_path / "rows.jsonl")
    place = digits.Place(tmp_path, tmp_path, "cpu")
    benchmark = digits.Benchmark(rows, ["dann"], 1, place, 10)
    pair, tried = ("mnist", "usps"), digits.candidates("dann", 10)
    assert benchmark.chosen("dann", pair) is None and len(tried) > 2
    plain = {"held_out": 0.90, "information": 0.1}
    rows.row(benchmark.key("source-only", pair, digits.CHOOSING, {}), lambda: plain)
    seen = [{"held_out": 0.89, "information": 1.0}, {"held_out": 0.8, "information": 2.0}]
    seen += [{"held_out": 0.95, "information": 0.5}] * (len(tried) - 2)
    for setting, each in zip(tried, seen, strict=True):
        rows.row(benchmark.key("dann", pair, digits.CHOOSING, setting), lambda each=each: each)
    assert benchmark.chosen("dann", pair) == tried[0]


def test_every_published_number_is_of_a_method_or_of_one_to_come(digits):
    assert all(0.5 < number < 1 for both in digits.PUBLISHED.values() for number in both[:2])
    assert digits.PUBLISHED["adda"][:2] == (0.894, 0.901)
