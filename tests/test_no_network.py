"""Nothing goes to the network that the user did not ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Python tells this hook of every look-up and connection, also of those whose failure a library would swallow.
FORBID_NETWORK = """
import os, socket, sys

SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
LOOKS_UP = {"socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"}

def forbid(event, arguments):
    if event in LOOKS_UP or event in SENDS and arguments[0].family != getattr(socket, "AF_UNIX", None):
        os.write(2, f"NETWORK {event} {arguments[1:]}\\n".encode())
        raise OSError(f"the network is out of bounds: {event}")

sys.addaudithook(forbid)
"""

IMPORT_ALL = """
import importlib, pathlib
for path in sorted(pathlib.Path("medtl").rglob("*.py")):
    importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__").replace(".__main__", ".cli"))
"""

JOB = """
import pathlib, sys
from medtl.cli import main
sys.path[:0] = ["tests/runs", "tests/verbs"]
import small, two_sites
here = pathlib.Path(sys.argv[1])
small.run(here / "run")
source, target = two_sites.site(here / "sites", "here"), two_sites.site(here / "sites", "there", dark=50)
told = ["--config", two_sites.config(here)]
scans = sorted(path for path in pathlib.Path("sample_data/egypt").rglob("IM*") if path.is_file())[:4]
(here / "scans").mkdir()
for i, path in enumerate(scans):
    (here / "scans" / str(i)).write_bytes(path.read_bytes())
for words in (
    ["doctor"], ["methods"], ["backbones"], ["recipes"],
    ["index", here / "scans", "-o", here / "manifest.csv"],
    ["predict", here / "run", here / "manifest.csv", "-o", here / "predictions.csv"],
    ["export", here / "run", "-o", here / "export"],
    ["predict", here / "export", here / "scans", "-o", here / "exported.csv"],
    ["adapt", "--source", source, "--target", target, *told, "-o", here / "adapted"],
    ["finetune", here / "adapted", "--train", target, "--shots", "4", *told, "-o", here / "tuned"],
    ["calibrate", here / "adapted", "--on", target, "-o", here / "calibrated"],
    ["evaluate", here / "tuned", "--on", target, "-o", here / "evaluation"],
):
    assert main([str(word) for word in words]) == 0, words
"""


def without_network(code: str, folder: Path) -> None:
    """Run Python code in a process that may not reach the network, as a user without any caches."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "no-hub")}
    done = subprocess.run(
        [sys.executable, "-c", FORBID_NETWORK + code, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NETWORK" not in done.stderr, done.stderr


def test_the_hook_sees_a_library_that_tries(tmp_path: Path) -> None:
    """Even when the library says nothing of its failure."""
    swallowed = (
        "import contextlib, urllib.request\n"
        "with contextlib.suppress(OSError): urllib.request.urlopen('http://127.0.0.1:9')"
    )
    with pytest.raises(AssertionError, match=r"NETWORK urllib\.Request"):
        without_network(swallowed, tmp_path)


def test_importing_everything(tmp_path: Path) -> None:
    without_network(IMPORT_ALL, tmp_path)


def test_the_job(tmp_path: Path) -> None:
    """Index, predict, export, predict with the export; adapt, fine-tune, calibrate, evaluate."""
    without_network(JOB, tmp_path)
    assert (tmp_path / "exported.csv").is_file() and (tmp_path / "evaluation" / "report.html").is_file()


@pytest.mark.slow
def test_the_default_backbone_needs_none(tmp_path: Path) -> None:
    without_network("from medtl.models import create_backbone; create_backbone()", tmp_path)
