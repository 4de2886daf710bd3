"""What every method of the registry must do: learn, adapt, be seeded, survive a kill, stay equal on two processes."""

from __future__ import annotations

import copy
import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medtl import progress
from medtl.errors import InputError
from medtl.methods import METHODS
from medtl.models import Classifier

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


#: Those with state of another kind each run always, the rest with the slow tests.
KINDS = ("source-only", "dann", "mcd", "mean-teacher", "dsbn", "kmm", "shot")
SLOWLY = [pytest.param(name, marks=[] if name in KINDS else [pytest.mark.slow]) for name in METHODS]


def start(names: str, folder: Path, devices: int = 1, slow: bool = False) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, HERE / "shifted.py", names, folder, str(devices), *(["slow"] if slow else [])]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_several_labels_a_scan_are_refused_where_it_needs_one_class_and_nowhere_else(name):
    method, several = METHODS[name], SimpleNamespace(label=np.zeros((4, 2), np.float32))
    method.expect({role: SimpleNamespace(label=np.zeros(4, int)) for role in method.roles}, name)
    refusal = pytest.raises(InputError, match=f"^{name} needs one class a scan") if method.one_class else nullcontext()
    with refusal as found:
        method.expect(dict.fromkeys(method.roles, several), name)
    assert found is None or ("use dann" in str(found.value)) == ("source" in method.roles)


def test_those_that_need_one_class():
    need_it = {"cdan", "cdan-e", "mcd", "mdd", "iwan", "pada", "mcc", "pseudo-label", "fixmatch", "shot", "tent"}
    assert need_it <= {name for name, method in METHODS.items() if method.one_class}
    assert not METHODS["dann"].one_class and not METHODS["mean-teacher"].one_class  # what the refusal names instead


@pytest.mark.parametrize("name", SLOWLY)
def test_learns_the_source_and_adapts_to_the_target(name):
    problem = shifted.PROBLEM_OF.get(name, "shortcut")
    method = shifted.train(name)
    if "source" in METHODS[name].roles and not METHODS[name].own_statistics:
        assert shifted.accuracy(method.predictor(), 0, problem) > 0.9
    on_target = shifted.accuracy(method.predictor(), 1, problem)
    if "target" in METHODS[name].roles:
        assert on_target > 0.8
    else:
        assert on_target < 0.6, "the problem is too easy: source-only must fail it"


@pytest.mark.parametrize("problem", list(shifted.PROBLEMS))
def test_source_only_fails_every_problem(problem):
    classifier = shifted.source_only(problem, 0)
    assert shifted.accuracy(classifier, 0, problem) > 0.9
    assert shifted.accuracy(classifier, 1, problem) < 0.65


@pytest.mark.parametrize("name", SLOWLY)
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
    roles = shifted.roles(name)
    method.prepare(roles, 0.0)
    batch = {role: each.batch(0, 0, torch.device("cpu"), views=method.views) for role, each in roles.items()}
    for step in method.steps(0.5):
        losses = getattr(method, step.losses)(batch, 0.5)
        assert losses and all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    pixels = next(iter(batch.values())).pixels
    assert method.predictor().eval()(pixels).logits.shape == (32, 2)


def test_predicts_by_a_plain_classifier_so_that_it_is_saved_and_exported_as_all_are(name):
    predictor = shifted.make(name).predictor()
    assert type(predictor) is Classifier
    other = Classifier(copy.deepcopy(predictor.backbone), 2, bottleneck=predictor.width)
    other.load_state_dict(predictor.state_dict())


@pytest.mark.parametrize("name", SLOWLY)
def test_cut_off_and_resumed_ends_at_the_same_weights(name, tmp_path):
    def cut(epoch: int, method: object) -> dict[str, float]:
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        shifted.train(name, steps=shifted.STEPS, checkpoint=tmp_path / "checkpoint.pt", after_epoch=cut)
    resumed = shifted.train(name, steps=shifted.STEPS, checkpoint=tmp_path / "checkpoint.pt")
    assert shifted.same(resumed, shifted.train(name, steps=shifted.STEPS))


#: Of three kinds: with a discriminator, with a second network that follows, with pseudo-labels and no source. What a
#: real kill adds to the cut that every method has to pass is the file, and the file is the same for all.
KILLED = ["dann", *[pytest.param(name, marks=pytest.mark.slow) for name in ("mean-teacher", "shot")]]


@pytest.mark.parametrize("name", KILLED)
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
def two_processes(request, tmp_path_factory) -> Path:
    """The weights of each method that is asked for as each of two processes has them: NAME.RANK.safetensors.

    Trained once for all of pytest-xdist's workers: whoever comes first does, the others wait.
    """
    asked = sorted({item.callspec.params["name"] for item in request.session.items if two_processes_of(item)})
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / f"{name}.{rank}.safetensors").exists() for name in asked for rank in range(2)):
            process = start(",".join(asked), folder, devices=2)
            _, errors = process.communicate(timeout=120 + 60 * len(asked))
            assert process.returncode == 0, errors.decode()[-2000:]
    return folder


def two_processes_of(item: pytest.Item) -> bool:
    return "two_processes" in getattr(item, "fixturenames", ())


@pytest.mark.parametrize("name", ["dann", *[pytest.param(n, marks=pytest.mark.slow) for n in METHODS if n != "dann"]])
def test_two_processes_stay_equal(name, two_processes):
    first, second = (load_file(two_processes / f"{name}.{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]
