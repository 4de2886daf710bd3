"""A checkpoint is whole, is what it says, runs no code, and the old one stays until the new one is there."""

from __future__ import annotations

import errno
import pickle

import pytest
import torch

from medtl.errors import InputError
from medtl.training.checkpoint import load_checkpoint, save_checkpoint

STATE = {"signature": "this", "step": 3, "log": [{"loss": 0.5}], "method": {"weight": torch.arange(3.0)}}


def test_what_was_saved_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "folder" / "checkpoint.pt", STATE)
    state = load_checkpoint(tmp_path / "folder" / "checkpoint.pt", "this")
    assert state["step"] == 3 and state["log"] == STATE["log"]
    assert torch.equal(state["method"]["weight"], torch.arange(3.0))


def test_another_runs_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", STATE)
    with pytest.raises(InputError, match="begun with other scans, options or seed"):
        load_checkpoint(tmp_path / "checkpoint.pt", "that")


class Writes:
    """Pickled code that leaves a file where it runs."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


@pytest.mark.parametrize("kind", ["text", "truncated", "empty", "other tensors", "code"])
def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path, kind):
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, STATE)
    match kind:
        case "text":
            file.write_text("not a checkpoint")
        case "truncated":
            file.write_bytes(file.read_bytes()[:-40])
        case "empty":
            file.write_bytes(b"")
        case "other tensors":
            torch.save(torch.zeros(3), file)
        case "code":
            file.write_bytes(pickle.dumps({"signature": "this", "step": Writes(tmp_path / "ran")}, protocol=2))
    with pytest.raises(InputError, match="is not a checkpoint of medtl") as error:
        load_checkpoint(file, "this")
    assert "\n" not in str(error.value) and str(file) in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), RuntimeError("PytorchStreamWriter")])
def test_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch, fault):
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, STATE)

    def half(state, path):
        path.write_bytes(b"half")
        raise fault

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(InputError, match=r"disk (is )?full"):
        save_checkpoint(file, {**STATE, "step": 4})
    assert load_checkpoint(file, "this")["step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
