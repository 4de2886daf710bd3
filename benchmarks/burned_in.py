"""How often `medtl.scans.burned_in` finds letters and callipers that are there, and alarms where none are.

    python benchmarks/burned_in.py

`burned_in_labels.csv` was labelled by eye on enlarged pictures, one a patient, 36 (18 a radiograph site) drawn for each
part. The rule was chosen on the part "choose" alone; "report" holds other patients (halved by a hash of the patient)
and gives the numbers to quote. Letters count whoever put them there: a marker of lead is a shortcut, too. A
`small_mark` is a drawn sign of about 5 pixels (a probe's logo in a corner, an arrow, a box): it is neither counted as
clean nor as text; how many of them are found is its own column.

Besides: all Polish ultrasound, brain volumes (which are not looked at) and blood cells, where nothing is burned in and
any alarm is false. One number of the rule, how high a lone glyph on noisy ground must be, was raised after 6 Polish
pictures of patients of the second half had alarmed; so of the Polish pictures, no share of alarms is held out.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from _rows import markdown  # noqa: E402

from medtl.scans import read  # noqa: E402
from medtl.scans.burned_in import find_overlay  # noqa: E402

DATA = HERE.parent.parent / "shared" / "data"
CLEAN = ("ultrasound/poland", "brain-mr", "cells/barcelona", "cells/jiangxi", "cells/cellavision")
MOST = 200  # drawn of each


def main() -> None:
    """Print both tables."""
    labels = pd.read_csv(HERE / "burned_in_labels.csv")
    began = time.perf_counter()
    labels["found"] = [find_overlay(read(DATA / file)) for file in labels.file]
    each = 1000 * (time.perf_counter() - began) / len(labels)
    for part in ("choose", "report"):
        rows = labels[labels.part == part]
        table = [_line(site, mine) for site, mine in rows.groupby("site")] + [_line("all", rows)]
        head = ["site", "burned in", "found", "text", "callipers", "clean", "alarms", "small marks", "of them found"]
        print(f'\nPart "{part}"\n\n{markdown(head, table)}')
    print(f"\n{each:.1f} ms a picture, with reading it\n")
    draw = random.Random(0)
    clean = []
    for folder in CLEAN:
        files = sorted(file for file in (DATA / folder).iterdir() if file.suffix != ".csv")
        files = draw.sample(files, min(len(files), MOST))
        alarms = sum(find_overlay(read(file)) != "" for file in files)
        clean.append([folder, str(len(files)), str(alarms)])
    print(markdown(["nothing is burned in", "scans", "alarms"], clean))


def _line(site: str, rows: pd.DataFrame) -> list[str]:
    burned = (rows.text == 1) | (rows.callipers == 1)
    marked = rows.small_mark == 1
    alarm = rows.found != ""
    clean = ~burned & ~marked
    return [
        site,
        str(burned.sum()),
        _share(alarm[burned]),
        _share(rows.found[rows.text == 1].str.contains("text")),
        _share(rows.found[rows.callipers == 1].str.contains("callipers")),
        str(clean.sum()),
        str(alarm[clean].sum()),
        str(marked.sum()),
        str(alarm[marked].sum()),
    ]


def _share(hits: Sequence[bool]) -> str:
    return f"{sum(hits) / len(hits):.2f}" if len(hits) else "–"


if __name__ == "__main__":
    main()
