"""Checkpoints: whole or not there, and never trusted to be what their name says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from medtl.errors import InputError
from medtl.files import atomic_write


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values; a reader sees the old checkpoint or the new one, never a part.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    with atomic_write(path) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's own writer says a full disk in its own way
            raise InputError(f"{path} could not be written: is the disk full? Free some space and --resume") from error
        with part.open("rb") as file:
            os.fsync(file.fileno())


def load_checkpoint(path: Path, signature: str) -> dict[str, Any]:
    """Read a checkpoint of this medtl; nothing in it can run code.

    Args:
        path: the file.
        signature: what the run trains on and how; a checkpoint of something else is refused.

    Raises:
        InputError: it is no checkpoint, or one of another configuration.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = dict(state)["signature"]
    except Exception as error:  # whatever torch says, this is no checkpoint
        raise InputError(f"{path} is not a checkpoint of medtl: give --force to start again") from error
    if found != signature:
        raise InputError(
            f"{path.parent} was begun with other scans, options or seed: give the same ones to --resume, "
            f"or --force to start again"
        )
    return dict(state)
