"""What a folder holds, to look at: one HTML file with a thumbnail a scan, what is wrong, and what gives labels away."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medtl.errors import ScanError
from medtl.files import atomic_write, refuse_existing
from medtl.measures.shortcuts import FEATURES, TOGETHER, Shortcut, features_of, find_shortcuts, table_of
from medtl.progress import warn
from medtl.reports.render import tidy
from medtl.reports.thumbnails import as_jpeg, thumbnail
from medtl.scans.manifest import Manifest, Row
from medtl.scans.privacy import HASHED
from medtl.scans.read import how_to_read, read_scan
from medtl.scans.source import size_of
from medtl.scans.work import in_parallel

MOST_SITES = 8  # whose labels are looked at one by one
MOST_UNMATCHED = 200  # rows shown
NO_LABEL = "no label"


@dataclass(frozen=True)
class Job:
    """What is to be drawn: the scan's files, how to read them, and how many scans share the first file."""

    files: tuple[Path, ...]
    volume: int | None
    on_gap: str
    sharing: int


@dataclass(frozen=True)
class Tile:
    """What a scan looks like.

    Attributes:
        picture: JPEG in base64; "" where it cannot be read.
        features: as `features_of` gives them; empty likewise.
        reason: why it cannot be read.
    """

    picture: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Told:
    """What tells a target that should not.

    Attributes:
        target: "the site", "the label" or "the label at egypt".
        rows: as `find_shortcuts` gives them.
    """

    target: str
    rows: tuple[Shortcut, ...]

    @property
    def warns(self) -> bool:
        """Whether anything warns."""
        return any(row.warn for row in self.rows)

    @property
    def sentence(self) -> str:
        """What was found, to be read by itself."""
        together, *single = sorted(self.rows, key=lambda row: row.name != TOGETHER)
        found = f"AUROC {together.auroc:.2f}, {together.low:.2f} to {together.high:.2f}"
        warned = [row for row in single if row.warn]
        if warned:
            more = f", and {len(warned) - 1} more" if len(warned) > 1 else ""
            first = warned[0]
            return (
                f"What should not tell {self.target} does: {first.name} (AUROC {first.auroc:.2f}, {first.low:.2f} to "
                f"{first.high:.2f}){more}; all together {together.auroc:.2f}."
            )
        if self.warns:
            return f"Size, border, brightness, file size and what is burned in together tell {self.target} ({found})."
        if together.low > 0.5:
            return f"Size, border, brightness and file size tell {self.target} a little, not enough to warn ({found})."
        return f"Size, border, brightness and file size do not tell {self.target} ({found})."


def write_contact_sheet(
    manifest: Manifest,
    out: str | Path,
    force: bool = False,
    unmatched: Sequence[Mapping[str, str]] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> Path:
    """Draw every scan of a manifest, and write one HTML file that opens with no network.

    It names scans by scan_id, and patients only where their name is hashed: no path, no identifier. The pictures are
    the scans', though, with whatever is burned into them.

    Args:
        manifest: what `medtl index` found.
        out: sheet.html.
        force: replace `out` where it exists.
        unmatched: what matched nothing on either side of a labels file, as `scans.labels.unmatched_table` gives it.
        facts: the summary, (name, text) a line; by default a short one is made.

    Raises:
        InputError: `out` exists and `force` was not given, or it cannot be written.
    """
    out = refuse_existing(out, force)
    rows = list(manifest)
    tiles = _tiles(rows)
    told = _shortcuts(manifest, tiles)
    for each in told:
        if each.warns and each.target != "the site":
            warn(f"{each.sentence} A model may learn that and not the finding")
    page = _page(manifest, rows, tiles, told, unmatched, facts)
    with atomic_write(out) as part:
        part.write_text(page, encoding="utf-8")
    return out


# --- pictures ------------------------------------------------------------------------------------------------------


def _tiles(rows: Sequence[Row]) -> list[Tile]:
    """A tile of each row; only what is a scan is read."""
    sharing = Counter(row.path for row in rows)
    tiles = [Tile() for _ in rows]
    readable: list[int] = []
    jobs: list[Job] = []
    for i, row in enumerate(rows):
        if row.status != "ok":
            continue
        try:
            volume, on_gap = how_to_read(row)
        except ScanError as error:
            tiles[i] = Tile(reason=str(error))
            continue
        readable.append(i)
        jobs.append(Job(row.files, volume, on_gap, sharing[row.path]))
    for i, tile in zip(readable, in_parallel(draw, jobs, "Drawing scans"), strict=True):
        tiles[i] = tile
    return tiles


def draw(job: Job) -> Tile:
    """Read a scan (of a series of many files the middle one), draw it small, and take what should not tell its label.

    Never raises for what a file may hold.
    """
    many = len(job.files) > 1
    try:
        if many:
            file = job.files[len(job.files) // 2]
            scan = read_scan([file])
        else:
            file = job.files[0]
            scan = read_scan(job.files, job.volume, job.on_gap)
        features = features_of(scan, size_of(file) // (1 if many else job.sharing))
        if many:
            features["slices"] *= len(job.files)
        return Tile(as_jpeg(thumbnail(scan)), features)
    except ScanError as error:
        return Tile(reason=str(error))
    except IndexError:
        return Tile(reason="no file is known for this scan: index the folder again")


# --- what gives labels away ----------------------------------------------------------------------------------------


def _shortcuts(manifest: Manifest, tiles: Sequence[Tile]) -> list[Told]:
    """Whether size, border and file tell the site, and the label at each site."""
    drawn = [i for i, tile in enumerate(tiles) if tile.features]
    table = table_of([tiles[i].features for i in drawn])
    frame = manifest.frame.iloc[drawn]
    site, label, group = frame.site.to_numpy(str), frame.label.to_numpy(str), manifest.groups[drawn]
    sites = sorted(set(site))
    everywhere = np.full(len(site), True)
    asked = [("the site", site, everywhere)] if len(sites) > 1 else []
    if 1 < len(sites) <= MOST_SITES:
        asked += [(f"the label at {name}", label, site == name) for name in sites]
    else:
        asked.append(("the label", label, everywhere))
    told = [
        Told(name, tuple(find_shortcuts(table[mine], FEATURES, target[mine], group[mine], targets=len(asked))))
        for name, target, mine in asked
    ]
    return [each for each in told if each.rows]


# --- the page ------------------------------------------------------------------------------------------------------


def _page(
    manifest: Manifest,
    rows: Sequence[Row],
    tiles: Sequence[Tile],
    told: Sequence[Told],
    unmatched: Sequence[Mapping[str, str]],
    facts: Sequence[tuple[str, str]],
) -> str:
    environment = Environment(
        loader=PackageLoader("medtl.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labelled = any(row.label for row in rows)
    cards = [_card(row, tile, labelled) for row, tile in zip(rows, tiles, strict=True)]
    problems = Counter(kind for card in cards for kind in card["problems"])
    usable = manifest.usable.frame
    known = usable.patient[usable.patient != ""]
    return environment.get_template("contact_sheet.html.j2").render(
        created=datetime.date.today().isoformat(),
        title=_title(manifest),
        scans=len(usable),
        patients=known.nunique() if len(known) else None,
        sites=manifest.usable.sites,
        labels=Counter(label for cell in usable.label if cell for label in cell.split(";")).most_common(),
        unlabelled=int((usable.label == "").sum()),
        apart=len(rows) - len(usable),
        facts=facts,
        problems=problems.most_common(),
        told=told,
        unmatched=[_without_names(row) for row in unmatched[:MOST_UNMATCHED]],
        unmatched_in_all=Counter(row.get("what", "") for row in unmatched).most_common(),
        cards=_json(cards),
    )


def _title(manifest: Manifest) -> str:
    sites = manifest.usable.sites or manifest.sites
    named = ", ".join(sites[:3]) + (f" and {len(sites) - 3} more" if len(sites) > 3 else "")
    return f"Scans of {named}" if named else "Scans"


def _card(row: Row, tile: Tile, labelled: bool) -> dict[str, Any]:
    reason = tidy(row.reason or tile.reason)
    status = "unreadable" if tile.reason and row.status == "ok" else row.status
    notes = [tidy(note) for note in row.extra.get("notes", "").split("; ") if note]
    problems = [reason.partition(":")[0]] if reason else []
    problems += [note.partition(": ")[0] for note in notes if ": " in note]
    if labelled and status == "ok" and not row.label:
        problems.append(NO_LABEL)
    return {
        "id": row.scan_id,
        "site": row.site,
        "patient": row.patient if HASHED.fullmatch(row.patient) else "",
        "label": row.label,
        "split": row.split,
        "status": status,
        "reason": reason,
        "modality": row.extra.get("modality", ""),
        "size": row.extra.get("size", ""),
        "spacing": row.extra.get("spacing", ""),
        "notes": notes,
        "problems": sorted(set(problems)),
        "picture": tile.picture,
    }


def _without_names(row: Mapping[str, str]) -> dict[str, str]:
    """A row of `unmatched` with names only where they are hashed."""
    name = row.get("name", "")
    return {
        "what": row.get("what", ""),
        "row": row.get("row", ""),
        "name": name if HASHED.fullmatch(name) else "",
        "label": row.get("label", ""),
        "scan_id": row.get("scan_id", ""),
    }


def _json(cards: Iterable[Mapping[str, Any]]) -> Markup:
    """JSON that may stand in a `<script>`: no text in it can end the element."""
    text = json.dumps(list(cards), ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
