"""A matplotlib figure as clean inline SVG or as PNG: no script, no font file, no address in it."""

from __future__ import annotations

import base64
import functools
import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from medtl.files import atomic_write
from medtl.reports.palette import INK, LINE, MUTED, PAPER

P = ParamSpec("P")

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "svg.fonttype": "none",
}


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, for as long as the block runs; the user's own settings are left alone."""
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)  # Helvetica is for the browser; that this machine lacks it is no news
    try:
        with mpl.rc_context(STYLE):
            yield
    finally:
        fonts.setLevel(level)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that draws a figure, in this look."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


def svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` that scales with the page.

    Args:
        figure: any.
        name: unique on the page: ids are prefixed with it.
        description: what a reader who cannot see the picture is told.
    """
    buffer = io.StringIO()
    with style(), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]+)"', text)
    assert view is not None
    inside = text[text.index(">") + 1 :]
    inside = re.sub(r'\bid="', f'id="{name}-', inside)
    inside = inside.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    inside = re.sub(r"font: ([^;\"']*?)([\d.]+px) [^;\"]*", r"font: \1\2 sans-serif", inside)
    inside = re.sub(r"<!--.*?-->\s*", "", inside, flags=re.DOTALL)
    inside = re.sub(r"(\d+\.\d\d)\d+", r"\1", inside)
    return f'<svg viewBox="{view[1]}" role="img" aria-label="{_attribute(description)}">{inside.rstrip()}'


def write_picture(figure: Figure, path: str | Path) -> Path:
    """The figure as a file of its own, .png or .svg by its name; text is drawn as shapes, so that it needs no font."""
    path = Path(path)
    with atomic_write(path) as part, style(), mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": path.stem}):
        stamp = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(part, format=path.suffix.lstrip("."), dpi=160, metadata=stamp)
    return path


def picture_uri(rgb: np.ndarray, side: int = 256, quality: int = 82) -> str:
    """Pixels as a JPEG data address.

    Args:
        rgb: uint8 (H, W, 3).
        side: the shorter side is enlarged to this, so that a small picture prints well.
        quality: of the JPEG.
    """
    image = Image.fromarray(rgb)
    factor = max(1.0, side / min(image.size))
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
