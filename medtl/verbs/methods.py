"""`medtl methods`: how source and target can be brought together."""

from __future__ import annotations

import re

from medtl import progress


def methods() -> list[dict[str, str]]:
    """List the methods that `medtl adapt --method` knows, each with its paper.

    Returns:
        One row a method: `method`, `what` it is, `paper`, and the cohorts it `learns from`.
    """
    from medtl.methods import METHODS

    rows = []
    for name, method in METHODS.items():
        what, paper = _what_and_paper(method.__doc__ or "")
        rows.append({"method": name, "what": what, "paper": paper, "learns from": ", ".join(method.roles)})
    progress.table(rows)
    return rows


def _what_and_paper(docstring: str) -> tuple[str, str]:
    """The first line of a method's docstring: "Its name (Authors, journal year)."."""
    line = docstring.strip().splitlines()[0].rstrip(".") if docstring.strip() else ""
    match = re.fullmatch(r"(.*?)\s*\((.*)\)", line)
    return (match[1], match[2]) if match else (line, "")
