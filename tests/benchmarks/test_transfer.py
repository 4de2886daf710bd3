"""Many trainings at once: a row each, and one that fails costs no other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medtl.models import Classifier

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def transfer():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("_transfer", BENCHMARKS / "_transfer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["_transfer"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_is_kept_once_and_a_fault_costs_only_itself(transfer, tmp_path, workers):
    rows = transfer.Rows(tmp_path / "rows.jsonl")
    jobs = [transfer.Job({"n": n}, dict, ([("n", n)],)) for n in range(3)] + [transfer.Job({"n": "x"}, int, ("x",))]
    said = transfer.measure(jobs, rows, workers)
    assert [rows.get({"n": n})["result"] for n in range(3)] == [{"n": n} for n in range(3)]
    assert rows.get({"n": "x"}) is None and len(said) == 1 and "ValueError" in said[0]
    other = [transfer.Job({"n": 0}, dict, ([("n", 9)],))]
    transfer.measure(other, rows)
    assert rows.get({"n": 0})["result"] == {"n": 0}
    transfer.measure(other, rows, again=True)
    assert transfer.Rows(rows.path).get({"n": 0})["result"] == {"n": 9}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_none_begins_after_its_time(transfer, tmp_path, workers):
    jobs = [transfer.Job({"n": n}, dict, ([("n", n)],)) for n in range(40)]
    said = transfer.measure(jobs, transfer.Rows(tmp_path / "rows.jsonl"), workers, until=0)
    kept = len(list(transfer.Rows(tmp_path / "rows.jsonl")))
    assert kept < 40 and said == [f"{40 - kept} more"]


def test_unknown_methods_are_named(transfer):
    assert {"source-only", "dann"} <= set(transfer.deep_methods())
    with pytest.raises(SystemExit, match="dan2"):
        transfer.deep_methods("dann,dan2")


def test_a_method_starts_from_the_network_that_it_is_given(transfer, tmp_path):
    class Flat(torch.nn.Module):
        num_features = 16

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(16, 16)

        def forward(self, pixels):
            return self.layer(pixels.flatten(1))

    random = np.random.default_rng(0)
    label = np.arange(40) % 2
    stack = (random.normal(0, 20, (40, 1, 4, 4)) + 128 + 60 * (2 * label - 1)[:, None, None, None]).clip(0, 255)
    pictures = transfer_pictures(transfer, stack.astype(np.uint8), label)
    setting = {"steps": 40, "batch": 16, "lr": 1e-2, "backbone_lr": 1.0}
    file = tmp_path / "start.safetensors"
    told = (pictures, setting, 0, "cpu", None, file)
    start = transfer.source_only(lambda: Classifier(Flat(), 2, bottleneck=8), *told)
    assert transfer.accuracy(start, pictures, "cpu") > 0.95
    again = transfer.source_only(lambda: Classifier(Flat(), 2, bottleneck=8), *told)  # from the file
    assert all(torch.equal(a, b) for a, b in zip(start.state_dict().values(), again.state_dict().values(), strict=True))
    none = {**setting, "steps": 1, "lr": 1e-12}
    model, log = transfer.fitted("dann", start, pictures, pictures, none, 0, "cpu")
    assert torch.allclose(model.head.weight, start.head.weight) and log[-1]["step"] == 1
    assert model is not start


def transfer_pictures(transfer, stack, label):
    from _pictures import Pictures

    return Pictures(stack, label.astype(np.int64))


def test_pictures_of_bytes_become_minus_one_to_one(transfer):
    pictures = transfer_pictures(transfer, np.array([[[[0, 255]]], [[[51, 204]]]], np.uint8), np.array([0, 1]))
    assert np.allclose(pictures.gather(np.array([1, 0])), [[[[-0.6, 0.6]]], [[[-1, 1]]]])
    out = np.empty((1, 1, 1, 2), np.float32)
    assert pictures.gather(np.array([0]), out) is out and pictures.pixels(0).shape == (1, 1, 1, 2)
    assert pictures.select(np.array([False, True])).label.tolist() == [1]
