"""CONTRIBUTING's "Add a method in ten minutes", followed to the letter in a copy of the package."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
WALK = GUIDE.partition("## Add a method in ten minutes")[2].partition("\n## ")[0]
BLOCK = re.compile(r"(?:`(?P<file>[\w/.]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
TOO_LONG = ("medtl adapt", "medtl evaluate")  # on real scans: tests/test_readme.py looks at their options


def add_lines(old: str, diff: str) -> str:
    """The file after a diff that only adds: each + line stands below the line that the guide shows above it."""
    lines = old.splitlines()
    at = -1
    for line in diff.splitlines():
        mark, text = line[0], line[1:]
        assert mark in " +", line
        if mark == " ":
            assert text in lines, f"the guide shows {text!r}, which is not in the file"
            at = lines.index(text)
        elif text not in lines:
            at += 1
            lines.insert(at, text)
    return "\n".join(lines) + "\n"


def commands(text: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(TOO_LONG)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the reader has before the first step."""
    folder = tmp_path / "reader"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "medtl", folder / "medtl", ignore=ignored)
    shutil.copytree(ROOT / "tests" / "methods", folder / "tests" / "methods", ignore=ignored)
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(command: str, folder: Path) -> str:
    """One command of the guide, with the tools of this environment and the package of the copy."""
    program, *words = shlex.split(command)
    module = {"python": [], "medtl": ["-m", "medtl"], "ruff": ["-m", "ruff"], "mypy": ["-m", "mypy"]}[program]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *module, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def written(block: re.Match[str], copy: Path) -> bool:
    """Whether the block is a file, or lines for one: they are then in the copy."""
    if block["kind"] == "diff":
        path = copy / block["file"]
        path.write_text(add_lines(path.read_text(encoding="utf-8"), block["text"]), encoding="utf-8")
    elif block["kind"] == "python":
        (copy / block["file"]).write_text(block["text"], encoding="utf-8")
    return block["kind"] in ("diff", "python")


def test_what_the_guide_adds_fits_the_files(copy):
    files = [block["file"] for block in BLOCK.finditer(WALK) if written(block, copy)]
    assert len(files) > 2
    for file in files:
        compile((copy / file).read_text(encoding="utf-8"), file, "exec")


@pytest.mark.slow
def test_the_whole_walk_through_works(copy):
    if (ROOT / ".mypy_cache").is_dir():  # of `make lint`: what mypy knows of the libraries
        shutil.copytree(ROOT / ".mypy_cache", copy / ".mypy_cache")
    said = {}  # by command
    for block in BLOCK.finditer(WALK):
        if not written(block, copy):
            said |= {command: run(command, copy) for command in commands(block["text"])}
    assert "cmd" in said["medtl methods"] and "Zellinger et al." in said["medtl methods"]
    tests = [output for command, output in said.items() if "pytest" in command]
    assert len(tests) == 2 and all(re.search(r"\d+ passed", output) for output in tests)
    assert not any("skipped" in output for output in tests)
    assert any(command.startswith("mypy") for command in said)
    refused = (
        "from medtl.errors import InputError; from medtl.training.config import load_config\n"
        "assert load_config(method='cmd', options={'weight': 3}).options == {'weight': 3}\n"
        "try: load_config(method='cmd', options={'wieght': 3})\n"
        "except InputError as error: print(error)"
    )
    assert "did you mean 'weight'?" in run(f"python -c {shlex.quote(refused)}", copy)


def test_the_files_that_the_guide_names_are_there():
    named = set(re.findall(r"`((?:medtl|tests|benchmarks|docs)/[\w/.]+\.(?:py|md))`", GUIDE))
    of_the_walk = {block["file"] for block in BLOCK.finditer(WALK) if block["kind"] == "python"}
    missing = [name for name in named - of_the_walk if not (ROOT / name).exists()]
    assert named and not missing


def test_make_targets_are_the_makefiles():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", GUIDE, re.MULTILINE))
    assert named and named <= targets
