"""The files of a Run and the rules of run.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from medtl.errors import InputError
from medtl.files import atomic_write, refuse_existing
from medtl.scans.privacy import keyed_hash

SCHEMA_VERSION = 1
TASKS = ("binary", "multiclass", "multilabel")
MODEL = "model"  # the name of what is handed over
BEGUN = ("config.yaml", "log.csv", "model.safetensors", "models", "checkpoints")  # what a run that was cut off leaves


def weights_file(name: str) -> str:
    """Where in a Run the weights of a model lie."""
    return "model.safetensors" if name == MODEL else f"models/{name}.safetensors"


def read_facts(path: Path) -> dict[str, Any]:
    """run.json, checked.

    Raises:
        InputError: `path` is no Run, was cut off, or was written by another schema.
    """
    file = path / "run.json"
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}: give a Run, the folder that `medtl adapt -o` wrote")
    if not file.is_file():
        if any((path / name).exists() for name in BEGUN) or any(path.glob("*checkpoint*")):
            raise InputError(f"{path} was cut off before it was done: give the same command again with --resume")
        raise InputError(f"{path} is not a Run (it has no run.json): give the folder that `medtl adapt -o` wrote")
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        version = facts["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not what a Run holds: give the folder that `medtl adapt -o` wrote") from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema version {version} and this medtl reads {SCHEMA_VERSION}: "
            f"use the medtl that wrote it ({facts.get('medtl', 'unknown')})"
        )
    if wrong := what_is_wrong(facts):
        raise InputError(f"{file} is not what a Run holds, {wrong}: copy the whole Run again")
    return facts


def what_is_wrong(facts: Mapping[str, Any]) -> str:
    """What is wrong with the content of run.json; "" where nothing is."""
    classes, models = facts.get("classes"), facts.get("models")
    if not isinstance(classes, list) or not classes or len(set(map(str, classes))) != len(classes):
        return "`classes` is not a list of different names"
    if facts.get("task") not in TASKS:
        return f"`task` is none of {', '.join(TASKS)}"
    if facts["task"] == "binary" and len(classes) != 2:
        return f"a binary task with {len(classes)} classes"
    if not isinstance(models, dict) or MODEL not in models:
        return "`models` does not name the model"
    if not isinstance(facts.get("recipe_digest"), str):
        return "`recipe_digest` is missing"
    if not isinstance(facts.get("backbone"), str) or not isinstance(facts.get("bottleneck"), int):
        return "`backbone` or `bottleneck` is missing"
    return ""


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is whole or not there; NumPy values are plain numbers in it, NaN is null."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """The same in JSON's types: NumPy scalars and arrays as numbers and lists, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def pseudonyms(names: Iterable[str]) -> list[str]:
    """Patients as a Run knows them: by keyed hash, also where the user's own manifest has their names or numbers."""
    return [keyed_hash(str(name), "P-") for name in names]


def without_paths(value: Any) -> Any:
    """The same without places on this disk: a Run travels, and folder names carry patients' and users' names.

    An absolute path, and any `pathlib` path, becomes "(path)".
    """
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, os.PathLike):
        return "(path)"
    if isinstance(value, str) and (
        Path(value).is_absolute() or PureWindowsPath(value).is_absolute() or value.startswith("~/")
    ):
        return "(path)"
    return value


def may_replace(out: str | Path, marker: str, what: str, force: bool) -> Path:
    """`out`, which does not exist, or which `force` may replace because it is what it replaces.

    Args:
        out: a folder to be written.
        marker: the file that tells that it is one of ours.
        what: the kind of folder, with its article, for the message.
        force: replace it.

    Raises:
        InputError: it exists and `force` was not given, or it is some other folder, whose files must not go.
    """
    out = refuse_existing(out, force)
    if out.is_file() or (out.is_dir() and not (out / marker).is_file() and any(out.iterdir())):
        raise InputError(f"{out} is not {what}, so it is not replaced: choose another name with -o")
    return out
