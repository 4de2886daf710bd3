"""The command line is a contract: scripts depend on its flags, its exit status and what stands on stdout."""

from __future__ import annotations

import errno
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import medtl
from medtl import cli, progress
from medtl.errors import InputError
from medtl.verbs import VERBS

if TYPE_CHECKING:
    from medtl.runs.run import Run

    M = str | Path

ROOT = Path(__file__).resolve().parent.parent


def mix(  # noqa: D417
    recipe: Path | str,
    inputs: list[M],
    target: M,
    out: str | Path | None = None,
    extra: list[M] | None = None,
    from_run: Run | Path | None = None,
    name: str = "soup",
    shots: int | None = None,
    weight: float = 0.3,
    resume: bool = False,
    keep_identifiers: bool = False,
) -> dict[str, Any]:
    """Mix what is given.

    A second paragraph.

    Args:
        recipe: how to mix,
            said on two lines.
        inputs: what goes in.
        target: where it goes.
        weight: how much of it.

    Returns:
        What was given.
    """
    progress.say("mixing")
    return locals()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `medtl mix ...` and return (exit status, what the verb was given)."""
    calls: list[dict[str, Any]] = []

    def verb(**arguments: Any) -> Any:
        calls.append(arguments)
        return mix(**arguments)

    verb.__signature__ = inspect.signature(mix)  # type: ignore[attr-defined]
    verb.__doc__ = mix.__doc__
    monkeypatch.setitem(VERBS, "mix", ("recipe",))
    function = cli._function
    monkeypatch.setattr(cli, "_function", lambda name: verb if name == "mix" else function(name))

    def run(*words: str) -> tuple[int, dict[str, Any] | None]:
        calls.clear()
        status = cli.main(["mix", *words])
        return status, calls[0] if calls else None

    return run


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run a verb that raises, and return the exit status."""

    def run(error: BaseException) -> int:
        def fail(resume: bool = False) -> None:
            raise error

        monkeypatch.setitem(VERBS, "fail", ())
        monkeypatch.setattr(cli, "_function", lambda name: fail)
        monkeypatch.setattr(cli, "VERBS", {"fail": ()})
        return cli.main(["fail"])

    return run


# --- what is typed reaches the verb ----------------------------------------------------------------------------------


def test_defaults_are_those_of_the_signature(given: Callable[..., Any]) -> None:
    status, arguments = given("r.yaml", "--inputs", "a", "--target", "t")
    assert status == 0
    assert arguments == {
        "recipe": Path("r.yaml"),
        "inputs": [Path("a")],
        "target": Path("t"),
        "out": None,
        "extra": None,
        "from_run": None,
        "name": "soup",
        "shots": None,
        "weight": 0.3,
        "resume": False,
        "keep_identifiers": False,
    }


@pytest.mark.parametrize(
    "words",
    [
        ("r", "--inputs", "a", "b c", "--target", "t"),
        ("--inputs", "a", "b c", "--target", "t", "r"),
        ("r", "--inputs", "a", "--inputs", "b c", "--target", "t"),
        ("r", "--target", "t", "--inputs", "a", "b c"),
        ("r", "--target=t", "--inputs=a", "--inputs", "b c"),
        ("--target", "t", "--inputs", "a", "b c", "--", "r"),
    ],
)
def test_several_values_after_one_flag_or_the_flag_repeated(given: Callable[..., Any], words: tuple[str, ...]) -> None:
    status, arguments = given(*words)
    assert status == 0
    assert arguments["inputs"] == [Path("a"), Path("b c")]
    assert arguments["recipe"] == Path("r")


def test_flags_are_the_contracts(given: Callable[..., Any]) -> None:
    words = ["--from", "RUN", "-o", "x.csv", "--shots", "10", "--weight", "1", "--resume", "--keep-identifiers"]
    status, arguments = given("r", "--inputs", "a", "--target", "t", "--extra", "e1", "e2", *words)
    assert status == 0
    assert arguments["from_run"] == Path("RUN")
    assert arguments["out"] == Path("x.csv")
    assert arguments["shots"] == 10 and arguments["weight"] == 1.0
    assert arguments["resume"] and arguments["keep_identifiers"]
    assert arguments["extra"] == [Path("e1"), Path("e2")]


def test_help_is_the_docstring(given: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert given("--help") == (0, None)
    said = " ".join(capsys.readouterr().out.split())
    assert "Mix what is given. A second paragraph." in said
    assert "how to mix, said on two lines." in said
    assert "-o, --out PATH" in said and "--inputs PATH..." in said and "--shots N" in said
    assert "Returns" not in said and "--no-" not in said


# --- what comes back -------------------------------------------------------------------------------------------------


def test_usually_the_verb_speaks(given: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    given("r", "--inputs", "a", "--target", "t")
    assert capsys.readouterr().out == "mixing\n"


def test_quiet(given: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert given("r", "--inputs", "a", "--target", "t", "--quiet")[0] == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_all_that_stands_on_stdout(given: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert given("r", "--inputs", "a", "b", "--target", "t", "--json")[0] == 0
    result = json.loads(capsys.readouterr().out)
    assert result["inputs"] == ["a", "b"] and result["weight"] == 0.3


def test_results_become_plain_json() -> None:
    table = pd.DataFrame({"scan_id": ["a", "b"], "p": [0.5, float("nan")], "refer": [True, False]})
    result = cli._plain({"table": table, "n": np.int64(3), "auroc": np.float32(0.5), "ci": np.array([0.1, np.inf])})
    assert result == {
        "table": [{"scan_id": "a", "p": 0.5, "refer": True}, {"scan_id": "b", "p": None, "refer": False}],
        "n": 3,
        "auroc": 0.5,
        "ci": [0.1, None],
    }
    json.dumps(result, allow_nan=False)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evalaute"], "did you mean 'evaluate'?"),
        (["methods", "--jsno"], "did you mean '--json'?"),
        (["mix", "r", "--inputs", "a", "--traget", "t"], "did you mean '--target'?"),
        (["mix", "r", "--inputs", "a"], "--target"),
        (["mix", "--inputs", "a", "--target", "t"], "RECIPE"),
        (["mix", "r", "--inputs", "a", "--target", "t", "--shots", "many"], "--shots"),
        (["methods", "surplus"], "surplus"),
        (["index", "no/such/folder"], "no/such/folder"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_2(
    given: Callable[..., Any], words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("medtl: ") and err.count("\n") == 1
    assert says in err


def test_a_misspelt_method_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = str(ROOT / "sample_data" / "egypt")
    words = ["adapt", "--source", sample, "--target", sample, "--method", "dnn", "-o", str(tmp_path / "run")]
    assert cli.main(words) == 2
    assert "'dann'" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_input_errors_are_one_sentence_and_2(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(InputError("labels.csv matches no scan: check its names")) == 2
    assert capsys.readouterr() == ("", "medtl: labels.csv matches no scan: check its names\n")


def test_a_full_disk_is_one_sentence_and_2(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(OSError(errno.ENOSPC, "No space left on device", "cache/x.npy")) == 2
    assert capsys.readouterr().err == (
        "medtl: the disk is full: cache/x.npy could not be written; free some space and run again\n"
    )


def test_a_fault_of_ours_is_a_traceback_and_1(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(ZeroDivisionError("ours")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "ZeroDivisionError: ours" in err


def test_stopping_says_how_to_go_on(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(KeyboardInterrupt()) == 130
    assert "--resume" in capsys.readouterr().err


# --- at the shell ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["doctor", "--help"]])
def test_help_and_version_answer_at_once(words: list[str]) -> None:
    """In under half a second of work (the clock on the wall measures the machine's other work too), loading little."""
    code = (
        f"import sys, time\nfrom medtl.cli import main\nmain({words!r})\n"
        "print(time.process_time(), *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, text=True)
    seconds, *loaded = done.stderr.split()
    assert done.stdout
    assert float(seconds) < 0.5
    assert not set(loaded) & {"torch", "pandas", "numpy", "pydicom", "rich", "matplotlib"}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"medtl {medtl.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_lists_every_verb_with_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb} " in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = cli._function(verb)
    missing = inspect.signature(function).parameters.keys() - cli._argument_helps(function).keys()
    assert not missing, f"the docstring of {verb} says nothing of {missing}"
    assert cli.main([verb, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_fault() -> None:
    code = "import sys; from medtl.cli import main; sys.exit(main(['methods']))"
    done = subprocess.run(f'"{sys.executable}" -c "{code}" | true', shell=True, capture_output=True, cwd=ROOT)
    assert b"Traceback" not in done.stderr
