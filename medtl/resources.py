"""The files that travel with the package: beside it in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from medtl.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def sample_data() -> Path:
    """The folder of real scans that `medtl demo` works on."""
    return _folder("sample_data")


def configs() -> Path:
    """The folder of configs that come with medtl."""
    return _folder("configs")


def _folder(name: str) -> Path:
    for folder in (_PACKAGE / f"_{name}", _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise InputError(f"medtl's own folder {name} is not beside {_PACKAGE}: install medtl again")
