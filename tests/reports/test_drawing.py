"""What a figure becomes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from medtl.reports import figures
from medtl.reports.drawing import picture_uri, svg, write_picture
from medtl.reports.palette import model_colours, site_colours

_spec = importlib.util.spec_from_file_location("report", Path(__file__).parent / "report.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)


def test_inline_svg_is_small_clean_and_leaves_the_users_settings_alone() -> None:
    before = dict(mpl.rcParams)
    drawn = svg(figures.roc(made.report()), "roc", 'a "curve"')
    assert drawn.startswith("<svg viewBox=") and drawn.endswith("</svg>")
    assert "http" not in drawn and "<metadata" not in drawn and len(drawn) < 60_000
    assert 'aria-label="a &quot;curve&quot;"' in drawn
    assert dict(mpl.rcParams) == before


def test_the_summary_picture(tmp_path: Path) -> None:
    data = made.report()
    assert Image.open(write_picture(figures.summary(data), tmp_path / "a.png")).size[0] > 1000
    text = write_picture(figures.summary(data), tmp_path / "a.svg").read_text()
    assert "<svg" in text and "<text" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_small_pictures_are_enlarged() -> None:
    assert picture_uri(np.zeros((8, 16, 3), np.uint8)).startswith("data:image/jpeg;base64,")


def test_each_model_and_site_has_a_colour_of_its_own() -> None:
    names = ["source-only", "adapted", "fine-tuned, 10 labels a class", "mmd", "coral"]
    colours = model_colours(names)
    assert len(set(colours.values())) == 5
    assert model_colours(names[:2])["adapted"] == colours["adapted"]
    assert not set(colours.values()) & set(site_colours(["a", "b"]).values())
