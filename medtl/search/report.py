"""A learning curve as one HTML file that opens with no network."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from medtl.reports.drawing import styled, svg
from medtl.reports.palette import ADAPTED, INK, MUTED
from medtl.search.answer import Answer, mean_of
from medtl.search.curve import Curve, Point


@styled
def figure(curve: Curve, answer: Answer) -> Figure:
    """AUROC by labels a class: every draw, their mean, and what is expected with its 90 % interval."""
    drawn = Figure(figsize=(6.4, 3.9), layout="constrained")
    axes = drawn.subplots()
    ahead = np.geomspace(answer.now, 2 * answer.ahead, 40)
    _, lowest, highest = np.array([curve.expect(n, same_patients=False) for n in ahead]).T
    middle, low, high = np.array([curve.expect(n, same_patients=answer.apart) for n in ahead]).T
    axes.fill_between(ahead, lowest, highest, color=ADAPTED, alpha=0.10, lw=0, label="90 %, on new patients")
    if answer.apart:
        axes.fill_between(ahead, low, high, color=ADAPTED, alpha=0.18, lw=0, label="90 %, on these patients")
    axes.plot(ahead, middle, color=ADAPTED, lw=2, label="expected")
    before = np.geomspace(1, answer.now, 20)
    line = [curve.expect(n, same_patients=answer.apart)[0] for n in before]
    axes.plot(before, line, color=ADAPTED, lw=1.2, alpha=0.6)
    shots = [point.shots for point in curve.points]
    axes.plot(shots, [point.auroc for point in curve.points], "o", ms=4, color=MUTED, alpha=0.55, mew=0, label="a draw")
    levels = sorted(set(shots))
    means = [mean_of(curve.points, level) for level in levels]
    axes.plot(levels, means, "o", ms=7, color="white", mec=INK, mew=1.6, label="mean of the draws")
    axes.axhline(0.5, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.set(xscale="log", xlabel="Labelled patients a class", ylabel="AUROC")
    ticks = sorted({*levels, answer.ahead, 2 * answer.ahead})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(max(0.0, min(0.45, *lowest, *(point.auroc - 0.02 for point in curve.points))), 1.0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8.5, ncols=3, columnspacing=1.2)
    return drawn


def render(curve: Curve, answer: Answer, facts: Mapping[str, str], chosen: Sequence[Mapping[str, Any]]) -> str:
    """The page.

    Args:
        curve: fitted.
        answer: in words.
        facts: name -> text, a line each.
        chosen: the rows of next.csv; the first of them are shown.
    """
    environment = Environment(
        loader=PackageLoader("medtl.search", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    picture = Markup(svg(figure(curve, answer), "curve", "AUROC by labelled patients a class, with its forecast"))
    return environment.get_template("learning_curve.html.j2").render(
        created=datetime.date.today().isoformat(),
        answer=answer,
        facts=facts,
        picture=picture,
        rows=_rows(curve.points),
        chosen=list(chosen),
        shown=20,
    )


def _rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """A row a number of labels."""
    rows = []
    for level in sorted({point.shots for point in points}):
        mine = [point for point in points if point.shots == level]
        areas = [point.auroc for point in mine]
        rows.append(
            {
                "labels": int(level),
                "draws": len(mine),
                "auroc": float(np.mean(areas)),
                "lowest": min(areas),
                "highest": max(areas),
                "error": float(np.mean([point.standard_error for point in mine])),
            }
        )
    return rows
