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
