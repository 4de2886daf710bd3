"""The shape of a document that goes with a model: sections of statements, some left for the user to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FOR_YOU = "For you to fill in."


@dataclass(frozen=True)
class Statement:
    """One line of a document.

    Attributes:
        what: it is about, a few words.
        said: what this Run says; "" where only its user can know.
        where: the item's numbers in a published checklist, "" in a model card.
    """

    what: str
    said: str
    where: str = ""


@dataclass(frozen=True)
class Section:
    """Lines under a heading."""

    title: str
    statements: tuple[Statement, ...]


def percent_of(value: float | None) -> str:
    """A share in words: "37 %", or "unknown"."""
    return "unknown" if value is None or value != value else f"{100 * value:.0f} %"


def number_of(value: float | None, bounds: Sequence[float] | None = None, digits: int = 2) -> str:
    """A number in words, with its 95 % interval where there is one."""
    if value is None or value != value:
        return "unknown"
    around = "" if bounds is None else f" (95 % interval {bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"
    return f"{value:.{digits}f}{around}"


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence, such as: a, b and c."""
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def markdown(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The document as Markdown."""
    lines = [f"# {title}", "", lead]
    for section in sections:
        lines += ["", f"## {section.title}", ""]
        for line in section.statements:
            number = f" ({line.where})" if line.where else ""
            lines.append(f"- **{line.what}**{number}: {line.said or f'_{FOR_YOU}_'}")
    return "\n".join(lines) + "\n"
