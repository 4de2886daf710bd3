"""`medtl index`: folders of scans, to a manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from medtl.scans import Manifest


def index(
    folders: Sequence[Path | str],
    out: Path | str | None = None,
    labels: Path | str | None = None,
    site: str | None = None,
    keep_identifiers: bool = False,
    force: bool = False,
) -> Manifest:
    """List the scans of one or several folders in a table that a spreadsheet opens.

    Args:
        folders: folders of DICOM, NIfTI, PNG or JPEG, however nested.
        out: manifest.csv, one row a scan, and what cannot be read has its row too, with the reason.
        labels: CSV that names scans by file, patient, study or series, and their label; FOLDER/labels.csv is found.
        site: the hospital's name; by default what the labels file says, else the folder's name.
        keep_identifiers: write patient, study and series as the files have them, not their keyed hash.
        force: replace `out` where it exists.

    Returns:
        The manifest.

    Raises:
        InputError: no scans are there, the labels file matches nothing, `out` exists or is no .csv.
    """
    from medtl.progress import say
    from medtl.scans import index_folders
    from medtl.scans.manifest import place_to_save

    if out is not None:
        place_to_save(out, force)
    manifest = index_folders(folders, site=site, labels=labels, keep_identifiers=keep_identifiers)
    say(_summary(manifest))
    if out is not None:
        manifest.save(out, force)
        say(f"\nwritten: {out}")
    return manifest


def _summary(manifest: Manifest) -> str:
    """What a person wants to know of a folder, in lines that fit a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _facts(manifest):
        table.add_row(name, text)
    console = Console()
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines())


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    usable = manifest.usable.frame
    known = usable.patient[usable.patient != ""]
    joined = known.nunique() + int((usable.patient == "").sum()) - usable.group.nunique()
    facts = [
        ("sites", _counts(usable.site)),
        ("patients", f"{known.nunique():,}" if len(known) else "not known: each scan counts as its own"),
        ("studies", f"{usable.study[usable.study != ''].nunique():,}"),
        ("scans", f"{len(usable):,}"),
        ("modalities", _counts(usable.modality)),
        ("manufacturers", _counts(usable.manufacturer)),
        ("sizes", _sizes(usable["size"])),
        ("labels", _counts(usable.label[usable.label != ""])),
        ("unlabelled", f"{int((usable.label == '').sum()):,}" if (usable.label != "").any() else ""),
        ("splits", _counts(usable.split)),
    ]
    if joined:
        facts.append(("same picture", f"{joined:,} also there by another name, or nearly; both stay in one split"))
    facts += [
        (status, _counts(manifest.frame.reason[manifest.frame.status == status].str.partition(": ")[0]))
        for status in ("unreadable", "set aside")
        if (manifest.frame.status == status).any()
    ]
    return [(name, text) for name, text in facts if text not in ("", "0")]


def _sizes(cells: pd.Series) -> str:
    """`256 x 175 to 256 x 256, 109 kinds`, where they are many."""
    if cells.nunique() <= 3:
        return _counts(cells)
    by_area = sorted(cells.unique(), key=lambda size: math.prod(int(side) for side in size.split(" x ")))
    return f"{by_area[0]} to {by_area[-1]}, {len(by_area):,} kinds"


def _counts(cells: pd.Series, most: int = 5) -> str:
    """`benign 942, malignant 470`; nothing where no cell has a word."""
    counts = cells.value_counts()
    most = most + 1 if len(counts) == most + 1 else most  # one more word is as short as "and 1 others"
    words = [f"{word or 'not known'} {number:,}" for word, number in counts.head(most).items()]
    more = len(counts) - most
    if not any(counts.index):
        return ""
    rest = f" and {more:,} others ({int(counts.iloc[most:].sum()):,})" if more > 1 else ""
    return ", ".join(words) + rest
