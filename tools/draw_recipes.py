"""Draw docs/pictures/recipes/*.png and fill the tables of docs/recipes.md: python tools/draw_recipes.py.

Each picture is a real scan as the file has it, from its darkest to its brightest value, and beside it what the recipe
makes of it. Scans come from the project's shared data and from pydicom's test files; `--text` fills the tables only.
A test compares the tables with the registries.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from medtl.intensity import ABOUT, RECIPES
from medtl.intensity.geometry import orient, resize
from medtl.intensity.recipes import harmonised
from medtl.intensity.steps import LEARNERS, STEPS
from medtl.scans import Scan, read
from medtl.verbs.recipes import first_sentence, parameters_of

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
DOCS = ROOT / "docs" / "recipes.md"
PICTURES = ROOT / "docs" / "pictures" / "recipes"
SIDE, GAP = 176, 8

HEAD, SPINE = "pydicom:J2K_pixelrep_mismatch.dcm", "pydicom:CT_small.dcm"
BRAIN = "brain-mr/IXI039-HH-1261_T1.nii.gz"

#: Recipe -> the scan that shows it. A recipe that is not here has none: no real scan of its kind was at hand.
SHOWN: dict[str, str] = {
    "ultrasound": "ultrasound/brazil/bus_0001-l.jpg",
    "ultrasound-filled": "ultrasound/brazil/bus_0011-l.jpg",
    "radiograph": "tb/yakutia/h151.jpg",
    "radiograph-clean": "cxr/nih/normal/00001680_000.png",
    "radiograph-clahe": "tb/yakutia/h151.jpg",
    "ct": SPINE,
    "ct-lung": SPINE,
    "ct-liver": SPINE,
    "ct-brain": HEAD,
    "ct-subdural": HEAD,
    "ct-bone": HEAD,
    "ct-head": HEAD,
    "mr": BRAIN,
    "mr-n4": BRAIN,
    "colour": "cells/barcelona/BNE_103440.jpg",
    "stained": "cells/jiangxi/001.jpg",
    "picture": "cxr/nih/normal/00001281_000.png",
}


def main() -> None:
    """Draw, unless --text; then fill the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", action="store_true", help="only fill the tables")
    if not parser.parse_args().text:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name in RECIPES.keys() & SHOWN.keys():
            save(before_and_after(name), name)
        save(two_hospitals(), "harmonised")
    DOCS.write_text(filled(DOCS.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text: str) -> str:
    """The page with its tables made anew of the registries."""
    for name, rows in {"recipes": recipe_rows(), "steps": step_rows()}.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, after = text.split(start)[0], text.split(end)[1]
        text = before + start + "\n".join(rows) + "\n" + end + after
    return text


def recipe_rows() -> list[str]:
    """The table of recipes in Markdown."""
    rows = ["| recipe | chosen for | before and after | what it does | its steps |", "|---|---|---|---|---|"]
    for name, recipe in RECIPES.items():
        modalities, does = ABOUT[name]
        chosen_for = ", ".join(each or "files that name no modality" for each in modalities) or "by name only"
        picture = f"![{name}](pictures/recipes/{name}.png)" if name in SHOWN else "no real scan was at hand"
        steps = ", ".join(f"`{step.name}`" for step in recipe.steps)
        rows.append(f"| `{name}` | {chosen_for} | {picture} | {does} | {steps} |")
    return rows


def step_rows() -> list[str]:
    """The table of steps in Markdown."""
    rows = ["| step | what it does | parameters and their defaults |", "|---|---|---|"]
    for name, step in STEPS.items():
        parameters = ", ".join(f"`{key}`: {value}" for key, value in parameters_of(step).items()) or "none"
        learns = "; learns from a cohort" if name in LEARNERS else ""
        rows.append(f"| `{name}` | {first_sentence(step)} | {parameters}{learns} |")
    return rows


def before_and_after(name: str) -> np.ndarray:
    """Grey or colour uint8 (SIDE, 2 * SIDE + GAP[, 3]): the scan as it is, and as the recipe makes it."""
    scan = scan_of(SHOWN[name])
    recipe = replace(RECIPES[name], size=SIDE)
    instances = recipe(scan)
    return side_by_side([plain(scan), instances[len(instances) // 2]])


def two_hospitals() -> np.ndarray:
    """An ultrasound of Brazil, one of Egypt, and that of Egypt matched to twenty of Brazil."""
    recipe = replace(RECIPES["ultrasound"], size=SIDE)
    brazil, egypt = (
        [read(file) for file in sorted((DATA / "ultrasound" / site).glob("*.*g"))[:20]] for site in ("brazil", "egypt")
    )
    matched = harmonised(recipe, ["histogram"]).fit(brazil)
    return side_by_side([recipe(brazil[0])[0], recipe(egypt[4])[0], matched(egypt[4])[0]])


def scan_of(source: str) -> Scan:
    """A scan of the shared data, or of pydicom's test files."""
    if source.startswith("pydicom:"):
        from pydicom.data import get_testdata_file

        return read(str(get_testdata_file(source.removeprefix("pydicom:"))))
    return read(DATA / source)


def plain(scan: Scan) -> np.ndarray:
    """The middle slice, channels first, from its darkest value to its brightest, in a square."""
    turned = orient(scan) if len(scan.pixels) > 1 else scan
    middle = turned.pixels[len(turned.pixels) // 2]
    scaled = (middle - middle.min()) / (middle.max() - middle.min()) * 2 - 1
    rows, columns = (round(SIDE * side / max(middle.shape[:2])) for side in middle.shape[:2])
    square = np.full((SIDE, SIDE, *middle.shape[2:]), -1, dtype=np.float32)
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    square[top : top + rows, left : left + columns] = resize(scaled[None].astype(np.float32), rows, columns)[0]
    return square[None] if square.ndim == 2 else np.moveaxis(square, -1, 0)


def side_by_side(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures (channels, SIDE, SIDE) in [-1, 1] beside each other, white between them, uint8."""
    channels = max(len(picture) for picture in pictures)
    between = np.full((channels, SIDE, GAP), 255, dtype=np.uint8)
    row = []
    for picture in pictures:
        grey = np.round((picture + 1) * 127.5).clip(0, 255).astype(np.uint8)
        row += [np.broadcast_to(grey, (channels, SIDE, SIDE)), between]
    whole = np.concatenate(row[:-1], axis=2)
    return whole[0] if channels == 1 else np.moveaxis(whole, 0, -1)


def save(picture: np.ndarray, name: str) -> None:
    """As an optimised PNG."""
    Image.fromarray(picture).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
