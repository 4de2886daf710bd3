"""What gives the label and the site of the real sets away, beside the finding: python benchmarks/shortcuts.py.

Size, border, brightness, file size and what is burned in, each alone and all together, tell the label or the site that
well (AUROC, cross-validated by patient, 95 % interval over patients); a row with "warns" is what `medtl index --report`
warns of. Nothing is chosen here.
"""

from __future__ import annotations

from pathlib import Path

from _rows import machine, markdown

from medtl.measures.shortcuts import FEATURES, Shortcut, find_shortcuts, table_of
from medtl.reports.contact_sheet import Job, draw
from medtl.scans import index_folders
from medtl.scans.work import in_parallel

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("ultrasound", "tb", "cxr")
SHOWN = 3  # single features, the best


def main() -> None:
    """Print the table."""
    rows = []
    for name in SETS:
        manifest = index_folders(DATA / name).usable
        tiles = list(in_parallel(draw, [Job(row.files, None, "error", 1) for row in manifest], f"Drawing {name}"))
        table = table_of([tile.features for tile in tiles])
        frame, groups = manifest.frame, manifest.groups
        rows.append(_row(name, "site", find_shortcuts(table, FEATURES, frame.site, groups)))
        for site in manifest.sites:
            mine = (frame.site == site).to_numpy()
            found = find_shortcuts(table[mine], FEATURES, frame.label[mine], groups[mine])
            rows.append(_row(f"{name}, {site}", "label", found))
    print(markdown(list(rows[0]), [list(row.values()) for row in rows]))
    print(f"\n{machine()}")


def _row(of: str, told: str, found: list[Shortcut]) -> dict[str, str]:
    together, *single = found
    singles = ", ".join(f"{each.name} {each.auroc:.2f}{' (warns)' * each.warn}" for each in single[:SHOWN])
    whole = f"{together.auroc:.2f} ({together.low:.2f} to {together.high:.2f}){', warns' * together.warn}"
    return {"scans of": of, "told": told, "by all together": whole, "by one alone": singles}


if __name__ == "__main__":
    main()
