"""What travels with the package is found in a checkout and in a wheel."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import medtl
from medtl import resources

ROOT = Path(__file__).resolve().parent.parent


def test_a_checkout_has_its_scans_and_configs() -> None:
    assert resources.sample_data() == ROOT / "sample_data"
    assert resources.configs() == ROOT / "configs"


def test_the_version_stands_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == medtl.__version__
    assert f"version: {medtl.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_pins_carry_no_address_and_cover_the_dependencies() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock and "--" not in lock
    pinned = {line.split("==")[0].lower() for line in lock.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]:
        assert wanted.split(">")[0].split("[")[0].lower() in pinned, f"{wanted}: run `make lock`"


@pytest.mark.slow
def test_the_wheel_works_like_the_checkout(tmp_path: Path) -> None:
    """Built, unpacked and run away from the checkout: the scans and the configs are inside."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    wheel = next((tmp_path / "dist").glob("medtl-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    assert wheel.stat().st_size < 40e6
    for folder, name in (("sample_data", "_sample_data"), ("configs", "_configs")):
        here = [path.relative_to(ROOT / folder).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()]
        assert here and {f"medtl/{name}/{path}" for path in here} <= inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    code = "from medtl import resources; print(resources.sample_data()); print(resources.configs())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60
    )
    expected = [tmp_path / "site" / "medtl" / name for name in ("_sample_data", "_configs")]
    assert done.stdout.decode().split() == [str(path) for path in expected]
