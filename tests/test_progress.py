"""A bar on a terminal, lines in a log, nothing in a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from medtl import progress


@pytest.fixture(autouse=True)
def usual_mode() -> Iterator[None]:
    progress.set_mode("auto")
    yield
    progress.set_mode("auto")


def test_a_log_gets_one_last_line_for_short_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(5), "Reading scans")) == [0, 1, 2, 3, 4]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Reading scans: 5, 0.0 s\n"


def test_a_log_gets_a_line_now_and_then_for_long_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 4))  # each item takes 4 s
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    list(progress.track((i for i in range(10)), "Training", total=10))
    assert capsys.readouterr().err.splitlines() == [
        "Training: 1 of 10, 4 s",  # soon, so that one sees that it works
        "Training: 4 of 10, 16 s, about 24 s to go",
        "Training: 7 of 10, 28 s, about 12 s to go",
        "Training: 10, 44.0 s",
    ]


def test_work_that_stops_early_does_not_look_done(capsys: pytest.CaptureFixture[str]) -> None:
    bar = progress.track(range(10), "Training")
    next(bar), next(bar)
    bar.close()  # type: ignore[attr-defined]
    assert capsys.readouterr().err.startswith("Training: 1 of 10")


@pytest.mark.parametrize("mode", ["quiet", "json"])
def test_scripts_see_warnings_only(mode: progress.Mode, capsys: pytest.CaptureFixture[str]) -> None:
    progress.set_mode(mode)
    assert list(progress.track([1, 2], "Reading")) == [1, 2]
    progress.say("done")
    progress.table([{"a": 1}])
    progress.warn("one scan was set aside")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "one scan was set aside\n")


def test_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say("[bold] is not markup")
    progress.table([{"site": "brazil", "scans": 3}, {"site": "egypt", "scans": None}])
    out, err = capsys.readouterr()
    assert out.startswith("[bold] is not markup\n")
    assert "brazil" in out and "site" in out
    assert err == ""


def test_no_such_mode() -> None:
    with pytest.raises(ValueError, match="loud"):
        progress.set_mode("loud")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminal to open")
def test_a_terminal_gets_bars_also_one_inside_another(tmp_path: Path) -> None:
    """On a real pseudo-terminal; what is said meanwhile still reaches stdout, which goes elsewhere."""
    import pty

    code = (
        "from medtl import progress\n"
        "for i in progress.track(range(2), 'Outer'):\n"
        "    progress.say(f'said {i}')\n"
        "    progress.warn(f'warned {i}')\n"
        "    list(progress.track(range(3), 'Inner'))\n"
    )
    terminal, other_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=other_end, env=environment, timeout=60, check=True
    )
    os.close(other_end)
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert done.stdout.decode() == "said 0\nsaid 1\n"
    assert b"Outer" in shown and b"2/2" in shown and b"warned 1" in shown


def test_rich_is_loaded_only_when_something_is_drawn() -> None:
    code = (
        "import sys, json; from medtl import progress; progress.set_mode('quiet'); list(progress.track([1], 'x'));"
        "print(json.dumps([m for m in sys.modules if m.startswith('rich')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
