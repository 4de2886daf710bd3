"""The command line, made from the verbs' signatures and docstrings: it parses, calls one verb, prints.

Exit status: 0 done; 1 a fault of ours, with a traceback; 2 the input or the options are wrong, with one sentence;
130 stopped by the user.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import errno
import importlib
import inspect
import io
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import medtl
from medtl import progress
from medtl.errors import InputError
from medtl.verbs import VERBS

FLAGS = {"out": ("-o", "--out"), "from_run": ("--from",)}  # every other option is named as its argument
PLAIN_TYPES = {"int": int, "float": float, "bool": bool, "str": str}
HELP_OPTIONS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: the words after `medtl`; those of the shell if not given.
    """
    words = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows pipe may know fewer letters than a patient's label
            stream.reconfigure(errors="replace")
    verb = next((word for word in words if not word.startswith("-")), None)
    try:
        if verb is not None and verb not in VERBS:
            raise InputError(f"medtl has no verb {verb!r}{_nearest(verb, VERBS)}: `medtl --help` lists them all")
        call = typer.main.get_command(_app())(_one_value_a_flag(words), prog_name="medtl", standalone_mode=False)
        if callable(call):  # no verb to call after --help or --version
            call()
    except InputError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, typer.Abort):
        goes_on = verb is not None and "resume" in inspect.signature(_function(verb)).parameters
        print("stopped" + ("; the same command with --resume goes on from here" if goes_on else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of Typer, whose class moved between its versions
            return _refuse(_usage(error, verb))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _refuse(f"the disk is full{_at(error)}; free some space and run again")
        traceback.print_exc()
        return 1
    finally:
        progress.set_mode("auto")
    return 0


def _refuse(sentence: str) -> int:
    print(f"medtl: {sentence}", file=sys.stderr)
    return 2


def _at(error: OSError) -> str:
    return f": {error.filename} could not be written" if error.filename else ""


def _nearest(word: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(names), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _usage(error: Any, verb: str | None) -> str:
    """A usage error of Typer as one sentence."""
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        options = (
            [flag for name in inspect.signature(_function(verb)).parameters for flag in _flags(name)] if verb else []
        )
        said = f"there is no option {option}{_nearest(option, [*options, '--quiet', '--json', '--help', '--version'])}"
    else:
        said = " ".join(error.format_message().split()).rstrip(".")
        said = said[:1].lower() + said[1:]
    return f"{said}: `medtl {verb + ' ' if verb else ''}--help` shows what it takes"


# --- from signatures to commands -----------------------------------------------------------------------------------


def _app() -> typer.Typer:
    app = typer.Typer(
        name="medtl",
        help=(medtl.__doc__ or "").split("\n\n")[0],
        add_completion=False,
        rich_markup_mode=None,
        context_settings=HELP_OPTIONS,
    )

    @app.callback()
    def medtl_(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
        ] = False,
    ) -> None: ...

    for verb, by_place in VERBS.items():
        function = _function(verb)
        said = _description(function)
        app.command(
            verb, help=said, short_help=said.split("\n\n")[0].replace("\n", " "), context_settings=HELP_OPTIONS
        )(_command(function, by_place))
    return app


def _version(asked: bool) -> None:
    if asked:
        print(f"medtl {medtl.__version__}")
        raise typer.Exit


def _function(verb: str) -> Callable[..., Any]:
    return getattr(importlib.import_module(f"medtl.verbs.{verb.replace('-', '_')}"), verb.replace("-", "_"))


def _command(function: Callable[..., Any], by_place: Sequence[str]) -> Callable[..., Callable[[], None]]:
    """The function that Typer sees: it takes the verb's arguments and gives the call to make."""
    helps = _argument_helps(function)
    parameters = [
        _parameter(parameter, name in by_place, helps.get(name, ""))
        for name, parameter in inspect.signature(function).parameters.items()
    ]
    for name, says in (
        ("quiet", "Print warnings only."),
        ("json", "Print the result as JSON, and nothing else, on stdout."),
    ):
        annotation = Annotated[bool, typer.Option(f"--{name}", help=says)]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation))

    def command(**arguments: Any) -> Callable[[], None]:
        as_json, quiet = arguments.pop("json"), arguments.pop("quiet")
        return partial(_call, function, arguments, "json" if as_json else "quiet" if quiet else "auto")

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _call(function: Callable[..., Any], arguments: dict[str, Any], mode: progress.Mode) -> None:
    progress.set_mode(mode)
    with contextlib.redirect_stdout(sys.stderr) if mode == "json" else contextlib.nullcontext():
        result = function(**arguments)
    if mode == "json":
        print(json.dumps(_plain(result), indent=2, allow_nan=False))


def _parameter(parameter: inspect.Parameter, by_place: bool, says: str) -> inspect.Parameter:
    kind, many = _kind(parameter.annotation)
    required = parameter.default is inspect.Parameter.empty and not _may_be_left_out(parameter.annotation)
    if by_place:
        information = typer.Argument(help=says, metavar=parameter.name.upper())
    else:
        information = typer.Option(
            *_flags(parameter.name), help=says, metavar=None if kind is bool else _metavar(kind, many)
        )
    default = None if parameter.default is inspect.Parameter.empty and not required else parameter.default
    default = default if required or not many else list(default or []) or None
    whole: Any = list[kind] if many else kind  # type: ignore[valid-type]
    if default is None:
        whole = whole | None
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[whole, information]
    )


def _flags(name: str) -> tuple[str, ...]:
    return FLAGS.get(name, ("--" + name.replace("_", "-"),))


def _metavar(kind: type, many: bool) -> str:
    return {int: "N", float: "X", str: "NAME"}.get(kind, "PATH") + ("..." if many else "")


def _kind(annotation: Any) -> tuple[type, bool]:
    """What the shell gives for an argument: a type, and whether several of it; anything but plain types is a path."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    names = [ast.unparse(node) for node in _alternatives(ast.parse(text, mode="eval").body)]
    for name in names:
        container, _, inner = name.partition("[")
        if container.rpartition(".")[2] in ("list", "Sequence", "Iterable"):
            return _kind(inner.removesuffix("]"))[0], True
    plain = {name for name in names if name != "None"}
    if all(name.rpartition(".")[2].startswith("Literal[") for name in plain):
        return str, False
    return (PLAIN_TYPES[plain.pop()], False) if len(plain) == 1 and plain <= PLAIN_TYPES.keys() else (Path, False)


def _may_be_left_out(annotation: Any) -> bool:
    """Whether an argument may be None: in Python it keeps its place then, in the shell it is no required option."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return "None" in [ast.unparse(node) for node in _alternatives(ast.parse(text, mode="eval").body)]


def _alternatives(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
    else:
        yield node


def _description(function: Callable[..., Any]) -> str:
    """The docstring up to its first section, such as "Args:"."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    end = next((i for i, line in enumerate(lines) if line in ("Args:", "Returns:", "Raises:", "Example:")), len(lines))
    return "\n".join(lines[:end]).strip()


def _argument_helps(function: Callable[..., Any]) -> dict[str, str]:
    """The "Args:" section of a docstring in Google's style: name -> text."""
    helps: dict[str, str] = {}
    name, inside = "", False
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        if not line.startswith(" ") and line:
            inside = line == "Args:"
        elif inside and line.startswith("    ") and line[4:5] != " ":
            name, _, text = line.strip().partition(":")
            name = name.split(" ")[0]
            helps[name] = text.strip()
        elif inside and line.strip():
            helps[name] += " " + line.strip()
    return helps


def _one_value_a_flag(words: Sequence[str]) -> list[str]:
    """`--source A B` as `--source A --source B`, which is how Typer takes several values."""
    if not words or words[0] not in VERBS:
        return list(words)
    parameters = inspect.signature(_function(words[0])).parameters.values()
    several = {
        flag for p in parameters if p.name not in VERBS[words[0]] and _kind(p.annotation)[1] for flag in _flags(p.name)
    }
    result: list[str] = []
    flag, given = "", 0
    for word in words:
        if word.startswith("-"):
            flag, given = (word if word in several else ""), 0
        elif flag:
            if given:
                result.append(flag)
            given += 1
        result.append(word)
    return result


# --- from results to JSON --------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A verb's result in what JSON has: a Run as its facts, a table as a list of rows, not-a-number as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "frame"):
        return _plain(value.frame)
    if hasattr(value, "facts"):
        return {"run": _plain(value.path), **_plain(value.facts)}
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _plain(value.to_dict("records"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if value != value else str(value)
