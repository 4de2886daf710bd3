"""What a person sees while work goes on: a bar on a terminal, plain lines in a log, nothing in a script.

Bars and warnings go to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
Mode = Literal["auto", "quiet", "json"]

SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_FIRST_LINE = 0.5

_mode: Mode = "auto"
_bars: Progress | None = None  # the one live display; a bar inside a bar is one more row of it


def set_mode(mode: Mode) -> None:
    """Choose what is shown: "auto" bars or lines, "quiet" warnings only, "json" the result only, on stdout."""
    global _mode
    if mode not in ("auto", "quiet", "json"):
        raise ValueError(f"mode {mode!r} is not one of auto, quiet, json")
    _mode = mode


def say(text: str) -> None:
    """Print one line on stdout, except where a script asked for silence or for JSON."""
    if _mode == "auto":
        try:
            print(text, flush=True)
        except BrokenPipeError:  # the reader of our output, such as `head`, has left: the work goes on
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115


def warn(text: str) -> None:
    """Print one line on stderr, in every mode."""
    if _bars is not None:
        _bars.console.print(text, style="yellow", markup=False, highlight=False)
    else:
        print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows with the same keys as a table on stdout, except where a script asked for silence or for JSON."""
    if _mode != "auto" or not rows:
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table(*rows[0], title=title, title_justify="left", header_style="bold")
    for row in rows:
        grid.add_row(*(str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False).print(grid)


def track(iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through `iterable` and show how far it is.

    Args:
        iterable: what is worked through.
        description: what happens to the items, such as "Reading scans".
        total: the number of items, where `len(iterable)` does not know it.
    """
    if _mode != "auto":
        return iter(iterable)
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    return (_bar if sys.stderr.isatty() else _lines)(iterable, description, total)


def _bar(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    global _bars
    outermost = _bars is None
    if _bars is None:
        _bars = _display()
        _bars.start()
    bars = _bars
    task = bars.add_task(description, total=total)
    try:
        for item in iterable:
            yield item
            bars.advance(task)
    finally:
        if outermost:
            bars.stop()
            _bars = None
        else:
            bars.remove_task(task)


def _display() -> Progress:
    from rich import progress
    from rich.console import Console

    columns: tuple[Any, ...] = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    return progress.Progress(
        *columns, console=Console(stderr=True), refresh_per_second=4, redirect_stdout=sys.stdout.isatty()
    )


def _lines(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    start = time.monotonic()
    next_line = start + SECONDS_TO_FIRST_LINE
    done = 0
    try:
        for item in iterable:
            yield item
            done += 1
            now = time.monotonic()
            if now >= next_line and done != total:
                next_line = now + SECONDS_BETWEEN_LINES
                print(_line(description, done, total, now - start), file=sys.stderr, flush=True)
    finally:
        if done:
            print(_line(description, done, total or done, time.monotonic() - start), file=sys.stderr, flush=True)


def _line(description: str, done: int, total: int | None, seconds: float) -> str:
    """One line of a log: how far, how long, how much longer."""
    if done == total:
        return f"{description}: {done}, {seconds:.1f} s"
    if total is None:
        return f"{description}: {done} so far, {seconds:.0f} s"
    if seconds < SECONDS_BETWEEN_LINES:  # work that has only begun says little of how long it takes
        return f"{description}: {done} of {total}, {seconds:.0f} s"
    return f"{description}: {done} of {total}, {seconds:.0f} s, about {seconds / done * (total - done):.0f} s to go"
