"""`medtl methods`: how source and target can be brought together, by training and at pixel level."""

from __future__ import annotations

import re
from collections.abc import Mapping

from medtl import progress

#: What is learnt from where there are no batches to deal by role: by a method on features, and by a harmonisation.
BOTH = ("source", "target")


def methods() -> list[dict[str, str]]:
    """List the methods of `medtl adapt --method`, the strategies of `medtl finetune --strategy`, and harmonisations.

    A harmonisation acts on pixels or their style, beside any method: `harmonise` in the config of `adapt` names it.

    Returns:
        One row each: `method`, the `verb` that takes it, `what` it is, `paper`, and the cohorts it `learns from`.
    """
    from medtl.finetuning import STRATEGIES
    from medtl.training.config import ADAPTING
    from medtl.training.mixes import HARMONISERS, IN_THE_RECIPE

    rows = []
    registries: dict[str, Mapping[str, type]] = {"adapt": ADAPTING, "finetune": STRATEGIES}
    for verb, registry in registries.items():
        for name, method in registry.items():
            what, paper = _what_and_paper(method.__doc__ or "")
            learns_from = ", ".join(getattr(method, "roles", BOTH))
            rows.append({"method": name, "verb": verb, "what": what, "paper": paper, "learns from": learns_from})
    for name, line in HARMONISERS.items():
        what, paper = _what_and_paper(line)
        learns_from = "source" if name in IN_THE_RECIPE else ", ".join(BOTH)
        rows.append(
            {
                "method": name,
                "verb": "adapt, config `harmonise`",
                "what": what,
                "paper": paper,
                "learns from": learns_from,
            }
        )
    progress.table(rows)
    return rows


def _what_and_paper(docstring: str) -> tuple[str, str]:
    """The first line of a method's docstring: "Its name (Authors, journal year)."."""
    line = docstring.strip().splitlines()[0].rstrip(".") if docstring.strip() else ""
    match = re.fullmatch(r"(.*?)\s*\((.*)\)", line)
    return (match[1], match[2]) if match else (line, "")
