"""The colours of every figure: told apart by eyes of every kind, and in grey print.

Okabe and Ito's set (https://jfly.uni-koeln.de/color/) for models, two of Paul Tol's muted set for sites, so that a
colour never means both.
"""

from __future__ import annotations

from collections.abc import Sequence

INK = "#1b2530"
MUTED = "#5d6976"
LINE = "#d8dde3"
PAPER = "#ffffff"

SOURCE_ONLY = "#6b7785"
ADAPTED = "#0072b2"
FINE_TUNED = "#d55e00"
OTHERS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")

SITES = ("#aa4499", "#44aa99", "#ddaa33", "#332288", "#88ccee", "#882255")
CLASS_MARKERS = ("x", "^", "s", "D", "v", "P")  # of classes whose label was seen; a dot is one that was not

VERDICTS = {
    "better than chance": {"ink": "#00614a", "wash": "#e6f4ef", "sign": "✓"},
    "not": {"ink": "#9c3f00", "wash": "#fceee5", "sign": "✕"},
    "cannot tell yet": {"ink": "#7a5600", "wash": "#fdf4df", "sign": "?"},
}


def model_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each model: source-only is grey, fine-tuned orange, the first other one blue, then the rest.

    The same name has the same colour in every figure of a report.
    """
    free = iter((ADAPTED, *OTHERS) * (1 + len(names)))
    colours: dict[str, str] = {}
    for name in names:
        plain = name.lower().replace("_", "-")
        if "source-only" in plain and SOURCE_ONLY not in colours.values():
            colours[name] = SOURCE_ONLY
        elif "fine" in plain and "tun" in plain and FINE_TUNED not in colours.values():
            colours[name] = FINE_TUNED
        else:
            colours[name] = next(free)
    return colours


def site_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each site, in the order given."""
    return {name: SITES[i % len(SITES)] for i, name in enumerate(names)}
