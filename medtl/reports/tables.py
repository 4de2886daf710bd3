"""What the tables of the report say, in words and whole numbers."""

from __future__ import annotations

import re
from typing import NamedTuple

from medtl.reports.contents import ConfusionTable, OperatingRow, PairedDifference, ReportData
from medtl.reports.thresholds import MEAN

SURE = 0.05  # the level of a test, as the house's intervals are of 95 %


class Thousand(NamedTuple):
    """What a threshold means for a thousand scans like these, or at the prevalence that the user named."""

    share: float  # of the class among them
    ill: int
    found: int
    missed: int
    alarms: int  # called so, and are not
    calls: int  # all that are called so


def in_a_thousand(row: OperatingRow) -> Thousand | None:
    """Natural frequencies, which readers of a risk understand best (Gigerenzer et al., 2007); None where undefined."""
    share = row.named[0] if row.named is not None else row.prevalence
    if any(value != value for value in (share, row.sensitivity, row.specificity)):
        return None
    ill = round(1000 * share)
    found = round(ill * row.sensitivity)
    alarms = round((1000 - ill) * (1 - row.specificity))
    return Thousand(share, ill, found, ill - found, alarms, found + alarms)


def operating_tables(data: ReportData) -> list[tuple[str, list[OperatingRow]]]:
    """The handed-over model's thresholds by class; of several classes their mean comes first."""
    tables: dict[str, list[OperatingRow]] = {}
    for row in data.handed_over.operating:
        tables.setdefault(row.of, []).append(row)
    return sorted(tables.items(), key=lambda table: table[0] != MEAN)


def rule_of(row: OperatingRow) -> str:
    """How a threshold came about, in a line under its name."""
    if row.where == "home":
        return f"came with the model: {plain(row.how)}"
    return f"set on {row.n_labels} labelled scans here, {row.n_positive} of them {row.of}; {row.how}"


def plain(rule: str) -> str:
    """A rule as Trust keeps it, without its marks: "youden" is a name."""
    return re.sub(r"^youden\b", "Youden's J", rule.replace("_", " "))


def told_apart(pair: PairedDifference) -> str:
    """What a paired test says of two models' ranking: "better", "worse" or "cannot tell"."""
    if not pair.auroc_p_holm < SURE:
        return "cannot tell"
    return "better" if pair.auroc > 0 else "worse"


def p_value(value: float) -> str:
    """A p-value as journals print it."""
    return "–" if value != value else "< 0.001" if value < 0.001 else f"{value:.2g}"


def shaded(table: ConfusionTable) -> list[list[tuple[int, int, str]]]:
    """Rows of (count, its share of the row in per cent, colour): right answers blue, wrong ones orange."""
    rows = []
    for r, counts in enumerate(table.counts.tolist()):
        total = max(sum(counts), 1)
        shares = [count / total for count in counts]
        rows.append(
            [
                (
                    count,
                    round(100 * share),
                    f"rgba({'0,114,178' if c == r else '213,94,0'},{0.04 + 0.26 * share:.2f})",
                )
                for c, (count, share) in enumerate(zip(counts, shares, strict=True))
            ]
        )
    return rows
