"""`medtl index`: folders of scans, to a manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medtl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from medtl.scans import Manifest


def index(
    folders: Sequence[Path | str] = (),
    out: Path | str | None = None,
    labels: Path | str | None = None,
    label_column: str | None = None,
    site: str | None = None,
    on_gap: Literal["error", "resample", "keep"] = "error",
    report: Path | str | None = None,
    explain: Path | str | None = None,
    cluster: str | None = None,
    keep_identifiers: bool = False,
    force: bool = False,
) -> Manifest:
    """List the scans of one or several folders in a table that a spreadsheet opens.

    Args:
        folders: folders of DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF, however nested, zipped or not.
        out: manifest.csv, one row a scan, and what cannot be read has its row too, with the reason; or dataset.json, a
            datalist for MONAI.
        labels: a table (.csv, .tsv, .xlsx), .json, or the participants.tsv of BIDS that names scans by file, patient,
            study or series, and their label; one that lies in the folder is found.
        label_column: the column that is the label, if it is not called so; several of 0 and 1 as A,B,C; folder, where
            folders are the classes.
        site: the hospital's name; by default what the labels file says, else the folder's name.
        on_gap: error (refuse), resample or keep a series with slices missing, doubled, uneven or tilted.
        report: sheet.html, to look at: a thumbnail a scan, what is wrong, and what gives the label away.
        explain: one file: say all that is known of it and what was decided.
        cluster: the address of a Dask scheduler, whose workers read the files: tcp://HOST:8786.
        keep_identifiers: write patient, study and series as the files have them, not their keyed hash.
        force: replace `out` and `report` where they exist; a scan that stands in `out` keeps its split.

    Returns:
        The manifest.

    Raises:
        InputError: no scans are there, the labels file matches nothing, `out` exists or is neither .csv nor .json.
    """
    from medtl.cluster import work_on
    from medtl.files import refuse_existing
    from medtl.progress import say
    from medtl.scans.index import look_through
    from medtl.scans.manifest import place_to_save

    folders = [folders] if isinstance(folders, str | Path) else list(folders or ())
    if not folders and explain is None:
        raise InputError("no folder is named: medtl index FOLDER -o manifest.csv")
    if out is not None:
        place_to_save(out, force)
        refuse_existing(_unmatched_beside(out), force)
    if report is not None:
        refuse_existing(report, force)
    if explain is not None and not folders:
        return _explained_alone(Path(explain), keep_identifiers)
    with work_on(cluster):
        manifest, unmatched = look_through(
            folders, site, labels, label_column, on_gap, keep_identifiers=keep_identifiers, earlier=_before(out)
        )
        written = []
        if out is not None:
            manifest.save(out, force)
            written.append(f"written: {out}")
            _unmatched_beside(out).unlink(missing_ok=True)  # that of the manifest before
            if unmatched:
                path = _save_unmatched(unmatched, out)
                written.append(f"written: {path}, what has no partner in the labels file or among the scans")
        if report is not None:
            from medtl.reports.contact_sheet import write_contact_sheet

            write_contact_sheet(manifest, report, force=force, unmatched=unmatched, facts=_facts(manifest))
            written.append(f"written: {report}")
    say(_summary(manifest) if explain is None else _explained(Path(explain), manifest, keep_identifiers))
    if written:
        say("\n" + "\n".join(written))
    return manifest


def _before(out: Path | str | None) -> Manifest | None:
    """The manifest that is to be replaced, None where there is none."""
    from medtl.scans import Manifest

    try:
        return Manifest.load(out) if out is not None and Path(out).is_file() else None
    except InputError:  # it is something else, which the user lets go
        return None


def _explained(file: Path, manifest: Manifest, keep_identifiers: bool) -> str:
    from medtl.verbs._explain import explain

    return explain(file, manifest, keep_identifiers)


def _explained_alone(file: Path, keep_identifiers: bool) -> Manifest:
    """Explain a file by those that lie beside it, in its folder or its zip archive."""
    from medtl.progress import say
    from medtl.scans import Manifest, index_folders

    if file.is_dir():
        raise InputError(f"{file} is a folder: name one file of it, or give it without --explain")
    if not file.exists() and not any(parent.is_file() for parent in file.parents):
        raise InputError(f"{file} is not there: check its name")
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    try:
        manifest = index_folders(folder, keep_identifiers=keep_identifiers)
    except InputError:  # no scans there, or its labels file is wrong: what the file is can still be said
        manifest = Manifest.concat([])
    say(_explained(file, manifest, keep_identifiers))
    say(f"\nSeen beside {folder} alone; with the labels of a folder above: medtl index FOLDER --explain {file}")
    return manifest


def _unmatched_beside(manifest: Path | str) -> Path:
    return Path(manifest).with_suffix(".unmatched.csv")


def _save_unmatched(rows: Sequence[dict[str, str]], manifest: Path | str) -> Path:
    from medtl.files import atomic_write
    from medtl.scans.table import to_csv

    path = _unmatched_beside(manifest)
    with atomic_write(path) as part:
        text = to_csv(list(rows[0]), [list(row.values()) for row in rows])
        part.write_text(text, encoding="utf-8", errors="backslashreplace")  # a file's name may be no UTF-8
    return path


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
        ("series", f"{usable.series[usable.series != ''].nunique():,}"),
        ("scans", f"{len(usable):,}"),
        ("modalities", _counts(usable.modality)),
        ("manufacturers", _counts(usable.manufacturer)),
        ("sizes", _sizes(usable["size"])),
        ("spacings", _spacings(usable.get("spacing"))),
        ("labels", _counts(usable.label[usable.label != ""])),
        ("unlabelled", f"{int((usable.label == '').sum()):,}" if (usable.label != "").any() else ""),
        ("splits", _counts(usable.split)),
    ]
    if joined:
        facts.append(("same picture", f"{joined:,} also there by another name, or nearly; both stay in one split"))
    if "notes" in usable:
        notes = usable.notes.str.split("; ").explode()
        told = notes[notes.str.contains(": ")].str.split(": ").str[0]  # the others name a stack: echo 2 of 3
        facts.append(("notes", _counts(told)))
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


def _spacings(cells: pd.Series | None) -> str:
    """`0.4 to 0.9 mm in the picture, 1.25 to 5 mm between slices`, as far as the files know."""
    known = [] if cells is None else [[float(x) for x in cell.split(" x ")] for cell in cells.unique() if cell]
    in_plane = [value for values in known for value in values[-2:]]
    between = [values[0] for values in known if len(values) == 3]
    parts = []
    for values, where in ((in_plane, "in the picture"), (between, "between slices")):
        if values:
            low, high = f"{min(values):.3g}", f"{max(values):.3g}"
            parts.append(f"{low if low == high else f'{low} to {high}'} mm {where}")
    return ", ".join(parts)


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
