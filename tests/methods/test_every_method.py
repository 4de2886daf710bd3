"""What every method of the registry must do: learn, adapt, be seeded, survive a kill, stay equal on two processes."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medtl import progress
from medtl.methods import METHODS

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("shifted", HERE / "shifted.py")
shifted = importlib.util.module_from_spec(_spec)
sys.modules["shifted"] = shifted
_spec.loader.exec_module(shifted)


@pytest.fixture(autouse=True)
def quiet_on_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that these tests start: sums are then in the same order
    progress.set_mode("quiet")
    yield
    progress.set_mode("auto")
    torch.set_num_threads(threads)


@pytest.fixture(params=list(METHODS))
def name(request) -> str:
    return request.param


def start(names: str, folder: Path, devices: int = 1, slow: bool = False) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, HERE / "shifted.py", names, folder, str(devices), *(["slow"] if slow else [])]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_learns_the_source_and_adapts_to_the_target(name):
    method = shifted.train(name)
    assert shifted.accuracy(method, site=0) > 0.9
    on_target = shifted.accuracy(method, site=1)
    if "target" in METHODS[name].roles:
        assert on_target > 0.8
    else:
        assert on_target < 0.6, "the problem is too easy: source-only must fail it"


def test_same_seed_same_weights_and_another_seed_others(name):
    one = shifted.train(name, steps=30)
    assert shifted.same(one, shifted.train(name, steps=30))
    assert not shifted.same(one, shifted.train(name, steps=30, seed=1))


def test_every_trained_parameter_is_inside_the_method(name):
    method = shifted.make(name)
    own = {id(parameter) for parameter in method.parameters()}
    for group, parameters in method.groups().items():
        assert parameters and all(id(parameter) in own for parameter in parameters), group
    assert all(step.moves in method.groups() for step in method.steps(0.0))


def test_gives_named_finite_losses_and_predicts_logits(name):
    method = shifted.make(name)
    roles = shifted.roles(METHODS[name])
    batch = {role: each.batch(0, 0, torch.device("cpu")) for role, each in roles.items()}
    for step in method.steps(0.5):
        losses = getattr(method, step.losses)(batch, 0.5)
        assert losses and all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    assert method.predictor().eval()(batch["source"].pixels).logits.shape == (32, 2)


def test_killed_and_resumed_ends_at_the_same_weights(name, tmp_path):
    process = start(name, tmp_path, slow=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    steps_done = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < steps_done < shifted.STEPS
    resumed = shifted.train(name, steps=shifted.STEPS, checkpoint=tmp_path / "checkpoint.pt")
    assert shifted.same(resumed, shifted.train(name, steps=shifted.STEPS))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    """Every method's weights as each of two processes has them: NAME.RANK.safetensors."""
    folder = tmp_path_factory.mktemp("two")
    process = start(",".join(METHODS), folder, devices=2)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-2000:]
    return folder


def test_two_processes_stay_equal(name, two_processes):
    first, second = (load_file(two_processes / f"{name}.{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]
