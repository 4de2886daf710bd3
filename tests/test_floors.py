"""An import goes down, never up; and the floors that the hospital's runtime stands on know no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "medtl"

FLOORS = [
    {"cli", "__main__"},
    {"verbs", "__init__"},  # medtl.adapt is the function of medtl/verbs/adapt.py
    {"reports", "exports", "hospital", "federated", "search"},
    {"training"},
    {"runs"},
    {"methods", "finetuning"},
    {"models"},
    {"data"},
    {"trust", "measures"},
    {"intensity"},
    {"scans"},
    {"cluster", "errors", "files", "progress", "resources"},
]
LEVEL = {part: level for level, parts in enumerate(FLOORS) for part in parts}

WITHOUT_TORCH = ("scans", "intensity", "measures", "trust", "exports/runtime.py")
TORCH = {"torch", "torchvision", "torchmetrics", "monai", "timm", "lightning", "lightning_fabric", "captum"}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; `from medtl import x` counts as medtl.x."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which floor it reaches"
            assert node.module
            if node.module == "medtl":
                yield from (f"medtl.{alias.name}" for alias in node.names)
            else:
                yield node.module


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def edges() -> set[tuple[str, str, str]]:
    """(file, its part of the house, the part that it imports)."""
    return {
        (str(path.relative_to(PACKAGE)), part_of(path), module.split(".")[1])
        for path in FILES
        for module in imports(path)
        if module.startswith("medtl.")
    }


def test_every_part_of_the_house_has_its_floor() -> None:
    assert {part_of(path) for path in FILES} <= LEVEL.keys()


def test_imports_go_down() -> None:
    up = sorted(
        f"medtl/{file} imports medtl.{to}, a floor above"
        for file, part, to in edges()
        if to in LEVEL and LEVEL[to] < LEVEL[part]
    )
    assert not up, "\n".join(up)


def test_neighbours_on_a_floor_do_not_import_each_other_both_ways() -> None:
    sideways = {(part, to) for _, part, to in edges() if to in LEVEL and part != to and LEVEL[to] == LEVEL[part]}
    assert not {(a, b) for a, b in sideways if (b, a) in sideways}


def test_what_is_imported_from_the_root_is_a_part_or_the_version() -> None:
    unknown = {(file, to) for file, _, to in edges() if to not in LEVEL} - {("cli.py", "__version__")}
    assert not unknown


def files_without_torch() -> list[Path]:
    return [path for path in FILES if path.relative_to(PACKAGE).as_posix().startswith(WITHOUT_TORCH)]


@pytest.mark.parametrize("path", files_without_torch(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_torch_on_the_lower_floors(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & TORCH


def test_importing_the_lower_floors_loads_no_torch() -> None:
    """What a package's own imports drag in counts too."""
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in files_without_torch()
    ]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"loaded = sorted(set(sys.modules) & {TORCH!r})\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=PACKAGE.parent, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
