"""Draw the two pictures of docs/architecture.md: python tools/draw_pictures.py writes docs/pictures/*.svg.

A change to the floors (tests/test_floors.py) is a change here too; a test compares the files with what this draws.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDTH = 820
INK, MUTED, LINE, PAPER, BLUE, WASH = "#1b2530", "#5d6976", "#c9d0d8", "#ffffff", "#0072b2", "#eef4f9"

# from the roof down: the parts on a floor, and what is done there
FLOORS = [
    ("cli", "the shell: parses, calls one verb, prints"),
    ("verbs", "one file a verb: index, adapt, evaluate, ..."),
    ("reports · exports · search", "what leaves the house; many models"),
    ("training", "the loop, checkpoints, the choice of a model"),
    ("runs", "the folder that a training leaves; predict"),
    ("methods · finetuning", "one file a method or strategy"),
    ("models", "backbones, pooling over a bag, heads"),
    ("data", "cohorts, cache, dealing batches, random views"),
    ("trust · measures", "calibrators, thresholds, sets; metrics"),
    ("intensity", "recipes: pixels to network input"),
    ("scans", "files to Scan, folders to Manifest"),
]
WITHOUT_TORCH = ("trust · measures", "intensity", "scans")

# a row of the second picture: what goes through, and what makes it (in the end, what it is good for)
WAY = [
    [("files", "DICOM, NIfTI, PNG, JPEG"), ("Manifest", "a row a scan: site, label, split"), ("Scan", "pixels, mm")],
    [("Recipe", "one size, one range"), ("Cohort", "cached, dealt in batches"), ("Classifier", "backbone, head")],
    [
        ("Method", "brings two sites together"),
        ("Run", "models, recipe, log, choice"),
        ("Trust", "calibrated, sets, refer"),
    ],
    [("evaluate", "metrics, report.html"), ("predict", "predictions.csv"), ("export", "ONNX, no PyTorch")],
]
BY = [("index", "read"), ("", ""), ("adapt", "calibrate")]


def text(
    x: float, y: float, words: str, size: int = 14, colour: str = INK, bold: bool = False, at: str = "start"
) -> str:
    """One line of text; `at` is start, middle or end."""
    style = f'font-size="{size}" fill="{colour}" text-anchor="{at}"' + (' font-weight="600"' if bold else "")
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str = PAPER, edge: str = LINE) -> str:
    """A box with round corners."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="{fill}" stroke="{edge}"/>'


def arrow(*points: tuple[float, float]) -> str:
    """A line with a head at its last point."""
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="1.6" marker-end="url(#head)"/>'


def picture(height: float, says: str, *parts: str) -> str:
    """A whole SVG file, on white, so that it reads on a dark page too."""
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 Z" fill="{BLUE}"/></marker>'
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
            f'aria-label="{escape(says)}" font-family="Helvetica, Arial, sans-serif">',
            f"<defs>{head}</defs>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="{PAPER}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def floors() -> str:
    """The house: a floor for each row of FLOORS."""
    left, top, step, width = 92, 46, 42, 620
    parts = [text(left, 28, "An import goes down, never up", 15, bold=True)]
    for number, (names, says) in enumerate(FLOORS):
        y = top + number * step
        parts += [
            box(left, y, width, step - 6, WASH if names in WITHOUT_TORCH else PAPER),
            text(left + 16, y + 23, names, 14, bold=True),
            text(left + 218, y + 23, says, 13, MUTED),
        ]
    bottom = top + len(FLOORS) * step - 6
    first = top + next(i for i, (names, _) in enumerate(FLOORS) if names in WITHOUT_TORCH) * step
    right = left + width + 14
    parts += [
        arrow((left - 34, top + 4), (left - 34, bottom - 4)),
        text(left - 42, top + 16, "uses", 13, BLUE, at="end"),
        f'<path d="M{right} {first + 2} h8 V{bottom - 2} h-8" fill="none" stroke="{MUTED}"/>',
        text(right + 16, (first + bottom) / 2, "no", 13, MUTED),
        text(right + 16, (first + bottom) / 2 + 17, "PyTorch", 13, MUTED),
        text(left, bottom + 26, "Under all of them: cluster, errors, files, progress, resources.", 13, MUTED),
    ]
    return picture(bottom + 44, "The floors of medtl, from cli at the top to scans at the bottom", *parts)


def way() -> str:
    """A scan's way, row by row."""
    left, top, wide, high, gap, between = 25, 44, 214, 60, 64, 38
    parts = [text(left, 26, "A scan's way through the house", 15, bold=True)]
    columns = [left + number * (wide + gap) for number in range(3)]
    for row, nouns in enumerate(WAY):
        y = top + row * (high + between)
        last = row == len(WAY) - 1
        for column, (noun, says) in enumerate(nouns):
            x = columns[column]
            parts += [
                box(x, y, wide, high, WASH if last else PAPER, BLUE if last else LINE),
                text(x + wide / 2, y + 26, noun, 15, bold=True, at="middle"),
                text(x + wide / 2, y + 46, says, 12, MUTED, at="middle"),
            ]
        for column in range(2) if not last else ():
            x = columns[column] + wide
            parts.append(arrow((x + 3, y + high / 2), (x + gap - 3, y + high / 2)))
            if BY[row][column]:
                parts.append(text(x + gap / 2, y + high / 2 - 8, BY[row][column], 11, BLUE, at="middle"))
        below, middle = y + high, y + high + between / 2
        if row < len(WAY) - 2:
            start, end = columns[2] + wide / 2, columns[0] + wide / 2
            parts.append(arrow((start, below + 3), (start, middle), (end, middle), (end, below + between - 3)))
        elif not last:
            start = columns[2] + wide / 2
            for x in columns:
                to = x + wide / 2
                parts.append(arrow((start, below + 3), (start, middle), (to, middle), (to, below + between - 3)))
    height = top + len(WAY) * (high + between) - between + 24
    return picture(height, "A scan's way: from files over manifest, cohort, method and Run to a report", *parts)


DRAWN = {"floors.svg": floors, "way.svg": way}


def main() -> None:
    """Write both."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWN.items():
        (PICTURES / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
