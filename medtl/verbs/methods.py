"""`medtl methods`: how source and target can be brought together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from medtl import progress


def methods() -> list[dict[str, str]]:
    """List the methods of `medtl adapt --method` and the strategies of `medtl finetune --strategy`, with their papers.

    Returns:
        One row each: `method`, the `verb` that takes it, `what` it is, `paper`, and the cohorts it `learns from`.
    """
    from medtl.finetuning import STRATEGIES
    from medtl.methods import METHODS, Method

    rows = []
    registries: dict[str, Mapping[str, type[Method]]] = {"adapt": METHODS, "finetune": STRATEGIES}
    for verb, registry in registries.items():
        for name, method in registry.items():
            what, paper = _what_and_paper(method.__doc__ or "")
            learns_from = ", ".join(method.roles)
            rows.append({"method": name, "verb": verb, "what": what, "paper": paper, "learns from": learns_from})
    progress.table(rows)
    return rows


def _what_and_paper(docstring: str) -> tuple[str, str]:
    """The first line of a method's docstring: "Its name (Authors, journal year)."."""
    line = docstring.strip().splitlines()[0].rstrip(".") if docstring.strip() else ""
    match = re.fullmatch(r"(.*?)\s*\((.*)\)", line)
    return (match[1], match[2]) if match else (line, "")
